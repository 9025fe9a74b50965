"""The number of groups: planted structure is found, noise gives one group."""

import time
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from pgx_core.affinity.matrix import AffinityConfig, estimate_affinity
from pgx_core.affinity.subsets import SubsetConfig, sample_subsets
from pgx_core.clustering.auto import ClusteringConfig, ClusteringTable, cluster
from pgx_core.clustering.partitions import partition_value
from pgx_core.clustering.search import all_partitions, search_partitions
from pgx_core.clustering.strategies import random_groups, sdp_groups
from pgx_core.errors import ConfigError
from pgx_core.types import Affinity, SubsetScores, canonical_labels, load_record, save_record

PAIRS = np.arange(12) // 2
HALVES = np.arange(12) // 6
FAST = AffinityConfig(bootstrap=60)


def same(labels: np.ndarray) -> np.ndarray:
    return (labels[:, None] == labels).astype(float)


def measured(help_from: np.ndarray, seed: int, by_subset: float, by_block: float = 0.0) -> Affinity:
    """Affinity of objectives whose score in a subset is the mean of its members' help, plus noise."""
    n = len(help_from)
    subsets = sample_subsets(n, SubsetConfig())
    generator = np.random.default_rng(seed)
    score = (subsets @ help_from.T) / subsets.sum(1, keepdims=True)
    score = score + by_subset * generator.normal(size=score.shape)
    blocks = score[..., None] + by_block * generator.normal(size=(*score.shape, 8))
    blocks = np.where(subsets[..., None], blocks, np.nan)
    names = tuple(f"o{i}" for i in range(n))
    return estimate_affinity(SubsetScores(subsets, blocks.mean(-1), blocks, names, "surrogate"), FAST)


@pytest.mark.parametrize("n", [3, 4, 5, 6, 8])
def test_noise_gives_one_group(n: int) -> None:
    """Measured at 60 seeds: 5% of n = 5 and 6 are split, fewer of the others."""
    nothing = np.zeros((n, n))
    noises = [(1.0, 0.0), (0.0, 1.0)] * 6  # of the subset, or of the held-out blocks
    affinities = [measured(nothing, seed, *noise) for seed, noise in enumerate(noises)]
    ks = [cluster(affinity, ClusteringConfig()).partition.k for affinity in affinities]
    assert ks.count(1) >= 11, ks


PLANTED = {
    "2 blocks of 3": (same(np.arange(6) // 3), np.arange(6) // 3),
    "3 pairs": (same(np.arange(6) // 2), np.arange(6) // 2),
    "2 and 3": (same(np.array([0, 0, 1, 1, 1])), np.array([0, 0, 1, 1, 1])),
    "3 blocks of 3": (same(np.arange(9) // 3), np.arange(9) // 3),
    "2 blocks of 5": (same(np.arange(10) // 5), np.arange(10) // 5),
    "pairs in halves, pairs matter": (0.7 * same(PAIRS) + 0.3 * same(HALVES), PAIRS),
    "pairs in halves, halves matter": (0.2 * same(PAIRS) + 0.8 * same(HALVES), HALVES),
}


@pytest.mark.parametrize("structure", PLANTED)
def test_planted_groups_are_found(structure: str) -> None:
    help_from, labels = PLANTED[structure]
    hits = 0
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(labels))
        partition = cluster(measured(help_from[np.ix_(order, order)], seed, 0.1), ClusteringConfig()).partition
        hits += np.array_equal(partition.labels, canonical_labels(labels[order]))
        assert partition.k == 1 or partition.stability >= ClusteringConfig().stability_threshold
    assert hits >= 4


@pytest.mark.parametrize("seed", [2, 3, 4])
def test_a_cut_that_could_lie_anywhere_is_not_made(seed: int) -> None:
    """On a ring neighbours help and opposites hurt, far beyond the noise; but any two halves are as good."""
    angle = 2 * np.pi * np.arange(8) / 8
    affinity = measured(np.cos(angle[:, None] - angle), seed, 0.1)
    result = cluster(affinity, ClusteringConfig(k_max=2))
    assert result.partition.k == 1
    assert result.table.gains[1] > result.table.noise[1] + 5 * result.table.noise_spread[1]
    assert cluster(affinity, ClusteringConfig(k_max=2, stability_threshold=0.0)).partition.k == 2


def test_table_says_why() -> None:
    affinity = measured(PLANTED["3 pairs"][0], 0, 0.1)
    result = cluster(affinity, ClusteringConfig(k_max=5))
    table = result.table
    np.testing.assert_array_equal(table.ks, [1, 2, 3, 4, 5])
    for row, k in enumerate(table.ks):
        assert table.values[row] == pytest.approx(partition_value(affinity.matrix, table.labels[row]))
        best = max(partition_value(affinity.matrix, labels) for labels in all_partitions(6, int(k)))
        assert table.values[row] == pytest.approx(best)
    np.testing.assert_allclose(table.gains, table.values - table.values[0])
    assert table.errors[0] == table.gains[0] == table.noise[0] == 0.0
    assert np.isnan(table.stability[0]) and (np.abs(table.stability[1:]) <= 1).all()
    assert result.partition.k == 3 and result.partition.stability == table.stability[2]
    replicate_gains = [
        partition_value(matrix, table.labels[2]) - partition_value(matrix, table.labels[0])
        for matrix in affinity.replicates
    ]
    assert table.errors[2] == pytest.approx(np.std(replicate_gains, ddof=1))


def test_table_survives_the_disk(tmp_path: Path) -> None:
    table = cluster(measured(PLANTED["3 pairs"][0], 0, 0.1), ClusteringConfig()).table
    save_record(tmp_path / "table.npz", table)
    loaded = load_record(ClusteringTable, tmp_path / "table.npz")
    for name, value in vars(table).items():
        np.testing.assert_array_equal(getattr(loaded, name), value)


def test_fixed_k_is_kept_and_measured() -> None:
    affinity = measured(PLANTED["2 blocks of 3"][0], 0, 0.1)
    for k in (1, 2, 3, 6):
        result = cluster(affinity, ClusteringConfig(k=k))
        assert result.partition.k == k and len(result.table.ks) == 1
        np.testing.assert_array_equal(result.partition.labels, sdp_groups(affinity, k, 0).labels)
    assert cluster(affinity, ClusteringConfig(k=2)).partition.stability > 0.95
    assert cluster(affinity, ClusteringConfig(k=3)).partition.stability < 0.9
    assert np.isnan(cluster(affinity, ClusteringConfig(k=6)).partition.stability)


def test_stability_is_the_mean_agreement_of_all_replicates() -> None:
    affinity, config = measured(PLANTED["3 pairs"][0], 0, 0.7), ClusteringConfig(k=3, bootstrap=40)
    partition = cluster(affinity, config).partition
    found = search_partitions(affinity.replicates[:40], partition.labels[None], 3, config.seed)
    assert 1 < len({tuple(canonical_labels(labels)) for labels in found}) < 40, "some are found again and again"
    agreements = [adjusted_rand_score(partition.labels, labels) for labels in found]
    assert partition.stability == pytest.approx(np.mean(agreements))


def test_any_strategy_fits() -> None:
    affinity = measured(PLANTED["2 blocks of 3"][0], 0, 0.1)
    result = cluster(affinity, ClusteringConfig(k=2, seed=2), random_groups)
    assert result.partition.method == "random" and result.partition.stability < 0.8


def test_deterministic_for_the_seed() -> None:
    affinity = measured(np.zeros((8, 8)), 0, 1.0)
    first, again = (cluster(affinity, ClusteringConfig()).table for _ in range(2))
    for name, value in vars(first).items():
        np.testing.assert_array_equal(getattr(again, name), value)


@pytest.mark.parametrize(("n", "limit"), [(6, 2.0), (12, 10.0)])
def test_auto_is_quick(n: int, limit: float) -> None:
    affinity = measured(np.zeros((n, n)), 0, 1.0)
    start = time.process_time()
    cluster(affinity, ClusteringConfig())
    assert time.process_time() - start < limit


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"k": 7}, "k: expected auto, or 1 to the 6 objectives, got 7"),
        ({"k": 0}, "k: expected auto, or 1 to the 6 objectives, got 0"),
        ({"k_max": 6}, r"k_max: expected 1 to 5 \(of 6 objectives\), got 6"),
        ({"k_max": 0}, r"k_max: expected 1 to 5 \(of 6 objectives\), got 0"),
        ({"stability_threshold": 1.5}, "stability_threshold: expected 0 to 1, got 1.5"),
        ({"bootstrap": 1}, "bootstrap: expected 2 or more, got 1"),
    ],
)
def test_bad_settings_are_refused(settings: dict, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        cluster(measured(np.zeros((6, 6)), 0, 1.0), ClusteringConfig(**settings))


@pytest.mark.parametrize(
    ("n", "ks"), [(1, (1,)), (2, (1, 2)), (3, (1, 2)), (4, (1, 2)), (5, (1, 2, 3)), (12, (1, 2, 3, 4, 5, 6))]
)
def test_up_to_half_as_many_groups_as_objectives_are_considered(n: int, ks: tuple[int, ...]) -> None:
    assert ClusteringConfig().choices(n) == ks
    assert ClusteringConfig(k_max=max(1, n - 1)).choices(n) == tuple(range(1, max(1, n - 1) + 1))


def test_missing_pairs_are_refused() -> None:
    affinity = measured(np.zeros((6, 6)), 0, 1.0)
    affinity.matrix[0, 2] = affinity.matrix[2, 0] = np.nan
    with pytest.raises(ConfigError, match="'o0' and 'o2' is missing"):
        cluster(affinity, ClusteringConfig())
