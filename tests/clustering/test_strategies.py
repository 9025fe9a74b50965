"""Every grouping strategy gives valid partitions; the SDP finds the optimum that brute force knows."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgx_core.clustering.partitions import agreement, make_partition, partition_value
from pgx_core.clustering.strategies import (
    STRATEGIES,
    Strategy,
    brute_force_groups,
    random_groups,
    relax_partition,
    sdp_groups,
    spectral_groups,
)
from pgx_core.errors import ConfigError
from pgx_core.types import Affinity, canonical_labels

EVERY = pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: strategy.__name__)


def make_affinity(matrix: np.ndarray) -> Affinity:
    names = tuple(f"o{i}" for i in range(len(matrix)))
    return Affinity(matrix, np.zeros_like(matrix), np.zeros((0, *matrix.shape)), names)


def random_affinity(n: int, seed: int, labels: np.ndarray | None = None) -> Affinity:
    matrix = np.random.default_rng(seed).normal(size=(n, n))
    matrix = (matrix + matrix.T) / 2
    if labels is not None:
        matrix += 4.0 * (labels[:, None] == labels)
    np.fill_diagonal(matrix, 0.0)
    return make_affinity(matrix)


@EVERY
@pytest.mark.parametrize("n", [1, 2, 3, 5, 8])
def test_partitions_are_valid_for_every_k(strategy: Strategy, n: int) -> None:
    affinity = random_affinity(n, n)
    for k in range(1, n + 1):
        partition = strategy(affinity, k, 0)
        assert partition.k == k
        assert sorted(itertools.chain(*partition.groups)) == sorted(affinity.names)
        np.testing.assert_array_equal(partition.labels, canonical_labels(partition.labels))
        assert partition.value == pytest.approx(partition_value(affinity.matrix, partition.labels))
        assert np.isnan(partition.stability)
        np.testing.assert_array_equal(partition.labels, strategy(affinity, k, 0).labels)


@EVERY
@pytest.mark.parametrize(
    "matrix", [np.zeros((6, 6)), 1 - np.eye(6), np.eye(6) - 1, np.kron(np.eye(3), np.ones((2, 2)))]
)
def test_degenerate_matrices_still_give_k_groups(strategy: Strategy, matrix: np.ndarray) -> None:
    for k in (2, 3, 5):
        assert strategy(make_affinity(matrix), k, 0).k == k


@EVERY
def test_missing_pairs_and_bad_k_are_refused(strategy: Strategy) -> None:
    affinity = random_affinity(4, 0)
    with pytest.raises(ConfigError, match="expected 1 to 4 groups for 4 objectives, got k=5"):
        strategy(affinity, 5, 0)
    with pytest.raises(ConfigError, match="got k=0"):
        strategy(affinity, 0, 0)
    affinity.matrix[1, 3] = affinity.matrix[3, 1] = np.nan
    with pytest.raises(ConfigError, match=r"'o1' and 'o3' is missing.*sample more subsets"):
        strategy(affinity, 2, 0)


def test_brute_force_knows_its_limit() -> None:
    with pytest.raises(ConfigError, match="at most 10 objectives, got 11: use sdp_groups"):
        brute_force_groups(random_affinity(11, 0), 2, 0)


def test_sdp_finds_what_brute_force_finds() -> None:
    """Measured on matrices of pure noise, the hardest: no miss in 480 (n = 6, 8, 10)."""
    misses = []
    for n, k, seed in itertools.product((6, 8), (2, 3, 4), range(10)):
        affinity = random_affinity(n, 100 * n + seed)
        best, found = brute_force_groups(affinity, k, 0).value, sdp_groups(affinity, k, 0).value
        assert found <= best + 1e-9
        if found < best - 1e-9:
            misses.append((n, k, seed, (best - found) / abs(best)))
    assert len(misses) <= 2, misses  # of 60
    assert all(gap < 0.2 for *_, gap in misses)


@pytest.mark.parametrize(("n", "k"), [(6, 2), (8, 3), (10, 4)])
def test_relaxation_bounds_every_partition(n: int, k: int) -> None:
    affinity = random_affinity(n, n)
    relaxed = relax_partition(affinity.matrix, k)
    np.testing.assert_allclose(relaxed.sum(1), 1.0, atol=1e-3)
    assert np.trace(relaxed) == pytest.approx(k, abs=1e-3)
    assert relaxed.min() > -1e-3 and np.linalg.eigvalsh(relaxed).min() > -1e-3
    assert (affinity.matrix * relaxed).sum() >= brute_force_groups(affinity, k, 0).value - 1e-2


@pytest.mark.parametrize("strategy", [sdp_groups, spectral_groups, brute_force_groups])
@pytest.mark.parametrize("seed", range(3))
def test_planted_groups_are_found(strategy: Strategy, seed: int) -> None:
    labels = canonical_labels(np.random.default_rng(seed).permutation(np.arange(9) % 3))
    partition = strategy(random_affinity(9, seed, labels), 3, seed)
    np.testing.assert_array_equal(partition.labels, labels)


@settings(max_examples=15)
@given(order=st.permutations(range(7)), seed=st.integers(0, 1000), k=st.integers(2, 4))
def test_order_of_the_objectives_does_not_matter(order: list[int], seed: int, k: int) -> None:
    affinity = random_affinity(7, seed, np.arange(7) % k)
    permuted = make_affinity(affinity.matrix[np.ix_(order, order)])
    for strategy in (sdp_groups, brute_force_groups):
        before, after = strategy(affinity, k, 0), strategy(permuted, k, 0)
        np.testing.assert_array_equal(after.labels, canonical_labels(before.labels[order]))


@settings(max_examples=10)
@given(seed=st.integers(0, 1000), scale=st.floats(1e-6, 1e6))
def test_scale_of_the_affinities_does_not_matter(seed: int, scale: float) -> None:
    affinity = random_affinity(6, seed, np.arange(6) % 2)
    scaled = make_affinity(affinity.matrix * scale)
    np.testing.assert_array_equal(sdp_groups(affinity, 2, 0).labels, sdp_groups(scaled, 2, 0).labels)


@pytest.mark.parametrize(("n", "k"), [(7, 3), (6, 6), (5, 1), (12, 5)])
def test_random_groups_are_balanced(n: int, k: int) -> None:
    sizes = np.bincount(random_groups(random_affinity(n, 0), k, 0).labels)
    assert sizes.min() == n // k and sizes.max() == math.ceil(n / k)


def test_random_groups_differ_by_seed() -> None:
    affinity = random_affinity(10, 0)
    assert len({tuple(random_groups(affinity, 3, seed).labels) for seed in range(20)}) > 15


def test_agreement_of_partitions() -> None:
    affinity = random_affinity(6, 0)
    a = make_partition(affinity, np.array([0, 0, 0, 1, 1, 1]), "a")
    renamed = make_partition(affinity, np.array([1, 1, 1, 0, 0, 0]), "b")
    crossed = make_partition(affinity, np.array([0, 1, 0, 1, 0, 1]), "c")
    assert agreement(a, renamed) == (1.0, 1.0)
    nmi, ari = agreement(a, crossed)
    assert nmi < 0.2 and ari < 0.0
    assert agreement(a, crossed) == pytest.approx(agreement(crossed, a))
    other = make_partition(random_affinity(5, 0), np.zeros(5, dtype=int), "d")
    with pytest.raises(ConfigError, match="same objectives"):
        agreement(a, other)
