from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr

from pgx_core.affinity.matrix import AffinityConfig, estimate_affinity
from pgx_core.affinity.subsets import SubsetConfig, sample_subsets
from pgx_core.clustering.partitions import agreement
from pgx_core.validation.agreement import correlate, mean_spearman, regret, spearman_by_size
from pgx_core.validation.estimates import groups_of

SUBSETS = sample_subsets(4, SubsetConfig())


def test_planted_groups_are_found_and_others_are_told_apart(validation, planted) -> None:
    truth = groups_of(planted(SUBSETS, [0, 0, 1, 1]), validation, 2)
    same, other = (groups_of(planted(SUBSETS, g, 0.1), validation, 2) for g in ([0, 0, 1, 1], [0, 1, 0, 1]))
    assert truth.labels.tolist() == [0, 0, 1, 1]
    assert tuple(agreement(same, truth)) == (1.0, 1.0)
    assert agreement(other, truth).nmi == pytest.approx(0.0, abs=1e-9)


def test_correlations_are_those_of_scipy() -> None:
    rng = np.random.default_rng(0)
    members = rng.random((40, 3)) < 0.6
    real = np.where(members, rng.normal(size=members.shape), np.nan)
    estimated = np.where(members, real + 0.5 * rng.normal(size=members.shape), np.nan)
    found = correlate(estimated, real, members, seed=0)
    for i, held in enumerate(members.T):
        pair = estimated[held, i], real[held, i]
        assert found.spearman[i] == pytest.approx(spearmanr(*pair).statistic)
        assert found.pearson[i] == pytest.approx(pearsonr(*pair).statistic)
        assert found.spearman_low[i] < found.spearman[i] < found.spearman_high[i]
        low, high = pearsonr(*pair).confidence_interval()
        assert found.pearson_low[i] == pytest.approx(low, abs=0.15)
        assert found.pearson_high[i] == pytest.approx(high, abs=0.15)
    assert mean_spearman(estimated, real, members) == pytest.approx(found.spearman.mean())


def test_constant_scores_have_no_correlation() -> None:
    members = np.ones((6, 2), dtype=bool)
    real = np.column_stack([np.arange(6.0), np.ones(6)])
    found = correlate(real, real, members, seed=0)
    assert found.spearman[0] == found.pearson[0] == 1.0
    assert np.isnan([found.spearman[1], found.pearson_low[1]]).all()
    assert mean_spearman(real, real, members) == 1.0
    assert np.isnan(mean_spearman(real[:, 1:], real[:, 1:], members[:, 1:]))


@pytest.mark.filterwarnings("error")
def test_scores_that_follow_the_size_of_the_subset_are_told() -> None:
    subsets = sample_subsets(6, SubsetConfig())
    noise = np.random.default_rng(0).normal(size=subsets.shape)
    by_size = np.where(subsets, -subsets.sum(1)[:, None] + 1e-3 * noise, np.nan)
    most = np.sqrt(3 * 5 * 10 / (15**2 - 1))  # of 5 pairs and 10 triples that hold an objective: ties miss the rest
    assert spearman_by_size(by_size, subsets) == pytest.approx(most)
    assert spearman_by_size(-by_size, subsets) == pytest.approx(-most)
    assert abs(spearman_by_size(np.where(subsets, noise, np.nan), subsets)) < 0.3


def test_few_subsets_have_an_interval_and_no_warning() -> None:
    """Some draws are of one subset alone, and have no correlation."""
    real, noise = np.random.default_rng(0).normal(size=(2, 4, 1))
    found = correlate(real + 0.3 * noise, real, np.ones((4, 1), dtype=bool), seed=0)
    assert np.isfinite([found.spearman_low, found.spearman_high, found.pearson_low, found.pearson_high]).all()


def test_regret_is_nothing_for_the_best_and_one_on_average(planted) -> None:
    matrix = estimate_affinity(planted(SUBSETS, [0, 0, 1, 1], 0.1), AffinityConfig()).matrix
    two = [[0, 0, 1, 1], [0, 1, 0, 1], [0, 1, 1, 0], [0, 1, 1, 1], [0, 0, 1, 0], [0, 0, 0, 1], [0, 1, 0, 0]]
    regrets = [regret(matrix, np.array(labels)) for labels in two]
    assert regrets[0] == 0.0 == min(regrets)
    assert np.mean(regrets) == pytest.approx(1.0)
    assert regret(np.zeros((4, 4)), np.array([0, 0, 1, 1])) == 0.0
