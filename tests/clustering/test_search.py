"""Local search and enumeration against slow definitions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgx_core.clustering.partitions import fill_groups, partition_value, partition_values
from pgx_core.clustering.search import _gains, all_partitions, local_search, random_start, search_partitions
from pgx_core.types import canonical_labels


def symmetric(generator: np.random.Generator, *shape: int) -> np.ndarray:
    matrix = generator.normal(size=shape)
    return (matrix + matrix.swapaxes(-1, -2)) / 2


def value_by_loops(matrix: np.ndarray, labels: np.ndarray) -> float:
    total = 0.0
    for group in set(labels.tolist()):
        members = [i for i in range(len(labels)) if labels[i] == group]
        total += sum(matrix[i, j] for i in members for j in members) / len(members)
    return total


def stirling(n: int, k: int) -> int:
    if k in (0, n):
        return int(k == n)
    return k * stirling(n - 1, k) + stirling(n - 1, k - 1)


@pytest.mark.parametrize(("n", "k"), [(n, k) for n in range(1, 8) for k in range(1, n + 1)])
def test_enumeration_is_complete(n: int, k: int) -> None:
    partitions = all_partitions(n, k)
    assert len(partitions) == len(np.unique(partitions, axis=0)) == stirling(n, k)
    for labels in partitions:
        np.testing.assert_array_equal(labels, canonical_labels(labels))
    assert (partitions.max(1) == k - 1).all()


@settings(max_examples=40)
@given(n=st.integers(2, 9), data=st.data(), seed=st.integers(0, 10_000))
def test_values_and_gains_match_the_definition(n: int, data: st.DataObject, seed: int) -> None:
    k = data.draw(st.integers(1, n))
    generator = np.random.default_rng(seed)
    matrix, labels = symmetric(generator, n, n), random_start(n, k, generator)  # a diagonal that is not zero, too
    value = value_by_loops(matrix, labels)
    assert partition_value(matrix, labels) == pytest.approx(value)
    assert partition_values(matrix[None], labels[None], k)[0] == pytest.approx(value)
    gains = _gains(matrix[None], labels[None], k)[0]
    for step, gain in enumerate(gains):
        after = labels.copy()
        if step < n * k:
            after[step // k] = step % k
        else:
            i, j = divmod(step - n * k, n)
            after[[i, j]] = after[[j, i]]
        if np.isfinite(gain):
            assert gain == pytest.approx(value_by_loops(matrix, after) - value, abs=1e-9)
        else:
            assert len(set(after.tolist())) < k or (canonical_labels(after) == canonical_labels(labels)).all()


@settings(max_examples=30)
@given(n=st.integers(2, 12), data=st.data(), seed=st.integers(0, 10_000))
def test_local_search_climbs_to_where_no_step_helps(n: int, data: st.DataObject, seed: int) -> None:
    k = data.draw(st.integers(1, n))
    generator = np.random.default_rng(seed)
    matrices = symmetric(generator, 5, n, n)
    starts = np.stack([random_start(n, k, generator) for _ in range(5)])
    kept = starts.copy()
    found = local_search(matrices, starts, k)
    np.testing.assert_array_equal(starts, kept)
    assert (partition_values(matrices, found, k) >= partition_values(matrices, starts, k) - 1e-9).all()
    assert (_gains(matrices, found, k) <= 1e-8).all()
    assert all(len(set(labels.tolist())) == k for labels in found)
    for matrix, start, labels in zip(matrices, starts, found, strict=True):  # a batch is its problems, one by one
        np.testing.assert_array_equal(local_search(matrix[None], start[None], k)[0], labels)


@pytest.mark.parametrize("n", [6, 8])
def test_search_finds_nearly_every_optimum_of_pure_noise(n: int) -> None:
    no_start = np.zeros((0, n), dtype=np.int64)
    for k in range(2, n):
        matrices = symmetric(np.random.default_rng(k), 100, n, n)
        found = partition_values(matrices, search_partitions(matrices, no_start, k, 0), k)
        candidates = all_partitions(n, k)
        best = np.array([partition_values(matrix, candidates, k).max() for matrix in matrices])
        assert np.mean(found > best - 1e-9) >= 0.97


@settings(max_examples=40)
@given(data=st.data(), n=st.integers(1, 10))
def test_fill_groups_gives_exactly_k(data: st.DataObject, n: int) -> None:
    labels = canonical_labels(data.draw(st.lists(st.integers(0, n - 1), min_size=n, max_size=n)))
    k = data.draw(st.integers(int(labels.max()) + 1, n))
    filled = fill_groups(labels, k)
    assert set(filled.tolist()) == set(range(k))
    for group in range(k):  # groups are only split
        assert len(set(labels[filled == group].tolist())) == 1


@settings(max_examples=40)
@given(n=st.integers(1, 12), data=st.data(), seed=st.integers(0, 10_000))
def test_random_starts_have_exactly_k_groups(n: int, data: st.DataObject, seed: int) -> None:
    k = data.draw(st.integers(1, n))
    assert set(random_start(n, k, np.random.default_rng(seed)).tolist()) == set(range(k))
