"""The affinity matrix against its definition written as loops, its laws, and the calibration of its errors."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgx_core.affinity.matrix import AffinityConfig, _widened, estimate_affinity
from pgx_core.affinity.subsets import SubsetConfig, sample_subsets
from pgx_core.errors import ConfigError
from pgx_core.types import SubsetScores

QUICK = AffinityConfig(bootstrap=8)


def make_scores(subsets: np.ndarray, blocks: np.ndarray) -> SubsetScores:
    blocks = np.where(subsets[..., None], blocks, np.nan)
    names = tuple(f"o{i}" for i in range(subsets.shape[1]))
    return SubsetScores(subsets, blocks.mean(-1), blocks, names, "surrogate")


def noise_scores(n: int, count: int, seed: int, n_blocks: int = 4, shared: bool = True) -> SubsetScores:
    """Pure noise, by subset (the same in all its blocks) or by block."""
    subsets = sample_subsets(n, SubsetConfig(count=count))
    draws = np.random.default_rng(seed).normal(size=(len(subsets), n, 1 if shared else n_blocks))
    return make_scores(subsets, np.broadcast_to(draws, (len(subsets), n, n_blocks)))


def affinity_by_loops(scores: SubsetScores) -> np.ndarray:
    n = len(scores.names)
    one_way = np.full((n, n), np.nan)
    for i in range(n):
        own = scores.values[scores.subsets[:, i], i]
        for j in range(n):
            both = scores.subsets[:, i] & scores.subsets[:, j]
            if both.any():
                one_way[i, j] = np.mean([(score - own.mean()) / own.std() for score in scores.values[both, i]])
    return (one_way + one_way.T) / 2


@settings(max_examples=20)
@given(n=st.integers(3, 10), seed=st.integers(0, 10_000))
def test_matches_the_definition(n: int, seed: int) -> None:
    scores = noise_scores(n, 60, seed)
    affinity = estimate_affinity(scores, QUICK)
    np.testing.assert_allclose(affinity.matrix, affinity_by_loops(scores), atol=1e-12)
    np.testing.assert_array_equal(affinity.matrix, affinity.matrix.T)
    np.testing.assert_array_equal(np.diag(affinity.matrix), 0.0)
    np.testing.assert_array_equal(affinity.replicates, affinity.replicates.transpose(0, 2, 1))
    np.testing.assert_allclose(affinity.errors, affinity.replicates.std(0, ddof=1))


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000), data=st.data())
def test_units_of_the_scores_do_not_matter(seed: int, data: st.DataObject) -> None:
    scores = noise_scores(6, 35, seed)
    scale = np.array(data.draw(st.lists(st.floats(1e-3, 1e3), min_size=6, max_size=6)))
    shift = np.array(data.draw(st.lists(st.floats(-100, 100), min_size=6, max_size=6))) * scale
    rescaled = make_scores(scores.subsets, scores.blocks * scale[:, None] + shift[:, None])
    before, after = estimate_affinity(scores, QUICK), estimate_affinity(rescaled, QUICK)
    np.testing.assert_allclose(after.matrix, before.matrix, atol=1e-9)
    np.testing.assert_allclose(after.replicates, before.replicates, atol=1e-9)


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000), order=st.permutations(range(7)))
def test_order_of_the_objectives_does_not_matter(seed: int, order: list[int]) -> None:
    scores = noise_scores(7, 40, seed)
    permuted = make_scores(scores.subsets[:, order], scores.blocks[:, order])
    before, after = estimate_affinity(scores, QUICK), estimate_affinity(permuted, QUICK)
    np.testing.assert_allclose(after.matrix, before.matrix[np.ix_(order, order)], atol=1e-12)
    np.testing.assert_allclose(after.errors, before.errors[np.ix_(order, order)], atol=1e-12)


def test_pairs_never_sampled_stay_missing() -> None:
    subsets = np.array([[1, 1, 0, 0], [0, 1, 1, 0], [1, 0, 1, 0], [1, 1, 1, 0]], dtype=bool)
    affinity = estimate_affinity(make_scores(subsets, np.random.default_rng(0).normal(size=(4, 4, 3))), QUICK)
    for array in (affinity.matrix, affinity.errors, affinity.replicates):
        assert np.isnan(array[..., 3, :3]).all() and np.isnan(array[..., :3, 3]).all()
        assert np.isfinite(array[..., :3, :3]).all()


@pytest.mark.parametrize("constant", [0.0, 0.1, -1e6])
def test_constant_scores_become_zeros(constant: float) -> None:
    scores = noise_scores(6, 35, 0)
    blocks = scores.blocks.copy()
    blocks[:, :2] = constant
    affinity = estimate_affinity(make_scores(scores.subsets, blocks), QUICK)
    assert np.isfinite(affinity.replicates).all()
    assert affinity.matrix[0, 1] == 0.0 and (affinity.replicates[:, 0, 1] == 0.0).all()
    assert affinity.matrix[0, 2] != 0.0  # the other's half of the pair still speaks


def test_planted_helpers_are_found() -> None:
    subsets = sample_subsets(6, SubsetConfig())
    block = np.arange(6) < 3
    share = np.where(block, subsets[:, :3].sum(1)[:, None], subsets[:, 3:].sum(1)[:, None]) / subsets.sum(1)[:, None]
    noise = np.random.default_rng(0).normal(scale=0.05, size=(35, 6, 4))
    affinity = estimate_affinity(make_scores(subsets, share[..., None] + noise), AffinityConfig())
    same = (block[:, None] == block) & ~np.eye(6, dtype=bool)
    across = block[:, None] != block
    assert affinity.matrix[same].min() > affinity.matrix[across].max() + 2 * affinity.errors.max()


def test_errors_shrink_with_the_square_root_of_the_number_of_subsets() -> None:
    few, many = (estimate_affinity(noise_scores(12, m, 0), AffinityConfig()).errors for m in (100, 400))
    pairs = np.triu_indices(12, 1)
    assert few[pairs].mean() / many[pairs].mean() == pytest.approx(2.0, rel=0.15)


@pytest.mark.parametrize("shared", [True, False])
def test_errors_are_as_large_as_the_real_spread(shared: bool) -> None:
    trials = [
        estimate_affinity(noise_scores(8, 64, seed, 8, shared), AffinityConfig(bootstrap=60)) for seed in range(60)
    ]
    pairs = np.triu_indices(8, 1)
    real = np.std([trial.matrix for trial in trials], axis=0)[pairs].mean()
    estimated = np.mean([trial.errors for trial in trials], axis=0)[pairs].mean()
    assert 0.8 < estimated / real < 1.35


@pytest.mark.parametrize("count", [2, 4, 8])
def test_few_blocks_do_not_hide_their_noise(count: int) -> None:
    weights = _widened(np.random.default_rng(0).dirichlet(np.ones(count), 20_000))
    np.testing.assert_allclose(weights.sum(-1), 1.0)
    blocks = np.random.default_rng(1).normal(size=count)
    assert (weights @ blocks).std() == pytest.approx(blocks.std(ddof=1) / np.sqrt(count), rel=0.03)
    assert _widened(np.ones((5, 1))).tolist() == [[1.0]] * 5


def test_noise_that_whole_blocks_share_is_seen() -> None:
    """The same held-out data judge all subsets: resampling subsets alone would miss their noise."""
    subsets = sample_subsets(6, SubsetConfig())
    generator = np.random.default_rng(0)
    partner = generator.normal(size=(6, 6, 4))  # a partner's effect, but measured anew in each block
    blocks = np.einsum("mj,ije->mie", subsets.astype(float), partner)
    flat = np.repeat(blocks.mean(-1, keepdims=True), 4, axis=-1)
    with_blocks, without = (estimate_affinity(make_scores(subsets, b), AffinityConfig()) for b in (blocks, flat))
    assert with_blocks.errors.mean() > 1.5 * without.errors.mean()


def test_deterministic_for_the_seed() -> None:
    scores = noise_scores(6, 35, 0)
    first, again, other = (estimate_affinity(scores, AffinityConfig(20, seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.replicates, again.replicates)
    assert (first.replicates != other.replicates).any()


def test_large_problems_are_quick() -> None:
    scores = noise_scores(20, 500, 0)
    start = time.process_time()
    estimate_affinity(scores, AffinityConfig())
    assert time.process_time() - start < 2.0


def test_refuses_what_it_cannot_use() -> None:
    scores = noise_scores(6, 35, 0)
    with pytest.raises(ConfigError, match="at least 2 bootstrap"):
        estimate_affinity(scores, AffinityConfig(bootstrap=1))
    blocks = scores.blocks.copy()
    blocks[0, np.flatnonzero(scores.subsets[0])[0], 2] = np.nan
    with pytest.raises(ConfigError, match="'o0' in subset 0"):
        estimate_affinity(make_scores(scores.subsets, blocks), QUICK)
