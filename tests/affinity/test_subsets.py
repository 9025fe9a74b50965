"""Subsets are distinct, of the sizes asked for, and cover pairs evenly."""

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgx_core.affinity.subsets import SubsetConfig, default_sizes, sample_subsets
from pgx_core.errors import ConfigError


def pair_counts(subsets: np.ndarray) -> np.ndarray:
    together = subsets.T.astype(int) @ subsets
    return together[np.triu_indices(len(together), 1)]


def test_six_objectives_get_all_pairs_and_triples() -> None:
    subsets = sample_subsets(6, SubsetConfig())
    assert subsets.dtype == bool and subsets.shape == (35, 6)
    assert sorted(subsets.sum(1)) == [2] * 15 + [3] * 20
    assert len(np.unique(subsets, axis=0)) == 35


@settings(max_examples=40)
@given(n=st.integers(2, 24), seed=st.integers(0, 1000), data=st.data())
def test_laws(n: int, seed: int, data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(2, n), min_size=1, max_size=3, unique=True).map(tuple))
    existing = sum(math.comb(n, size) for size in sizes)
    count = data.draw(st.integers(1, 200))
    config = SubsetConfig(count=count, sizes=sizes, seed=seed)
    try:
        subsets = sample_subsets(n, config)
    except ConfigError:
        assert count < existing  # everything there is can always be had
        return
    assert len(subsets) == min(count, existing)
    assert len(np.unique(subsets, axis=0)) == len(subsets)
    assert set(subsets.sum(1)) <= set(sizes)
    np.testing.assert_array_equal(subsets, sample_subsets(n, config))


@pytest.mark.parametrize("n", [3, 4, 5, 7, 8, 10, 12, 15, 20, 30])
@pytest.mark.parametrize("seed", [0, 1])
def test_default_coverage_is_balanced(n: int, seed: int) -> None:
    counts = pair_counts(sample_subsets(n, SubsetConfig(seed=seed)))
    assert counts.min() >= 2  # one meeting would leave no spread to take an error from
    assert counts.max() - counts.min() <= max(2, 0.1 * counts.mean())


def test_balance_beats_independent_draws() -> None:
    subsets = sample_subsets(12, SubsetConfig(count=40, sizes=(4,)))
    generator = np.random.default_rng(0)
    independent = generator.random((40, 12)).argsort(1) < 4
    assert pair_counts(subsets).std() < 0.4 * pair_counts(independent).std()


@pytest.mark.parametrize(("n", "count", "size"), [(10, 24, 4), (12, 20, 6), (20, 40, 8), (20, 150, 4), (50, 60, 20)])
def test_every_pair_is_covered_where_each_could_be_thrice(n: int, count: int, size: int) -> None:
    assert count * math.comb(size, 2) >= 3 * math.comb(n, 2)
    assert pair_counts(sample_subsets(n, SubsetConfig(count=count, sizes=(size,)))).min() >= 1


def test_the_seed_matters_only_when_sampling() -> None:
    assert (sample_subsets(6, SubsetConfig(seed=0)) == sample_subsets(6, SubsetConfig(seed=1))).all()
    assert (sample_subsets(12, SubsetConfig(seed=0)) != sample_subsets(12, SubsetConfig(seed=1))).any()


def test_fifty_objectives_take_no_time() -> None:
    start = time.process_time()
    subsets = sample_subsets(50, SubsetConfig())
    assert time.process_time() - start < 1.0
    assert subsets.shape == (2500, 50)


@pytest.mark.parametrize("n", range(2, 51))
def test_default_sizes_fit(n: int) -> None:
    assert all(2 <= size <= n for size in default_sizes(n))


@pytest.mark.parametrize(
    ("n", "config", "says"),
    [
        (1, SubsetConfig(), "at least 2 objectives"),
        (6, SubsetConfig(sizes=(1, 2)), "between 2 and the 6 objectives"),
        (6, SubsetConfig(sizes=(7,)), "between 2 and the 6 objectives"),
        (6, SubsetConfig(sizes=(3, 3)), "distinct subset sizes"),
        (6, SubsetConfig(sizes=()), "distinct subset sizes"),
        (6, SubsetConfig(count=0), "at least 1, got 0"),
        (10, SubsetConfig(count=5, sizes=(3,)), "cannot cover all 45 pairs"),
    ],
)
def test_impossible_settings_are_refused(n: int, config: SubsetConfig, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        sample_subsets(n, config)
