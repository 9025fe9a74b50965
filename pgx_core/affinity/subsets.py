"""Which subsets of objectives to evaluate: distinct, and every pair together about equally often."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from pgx_core.errors import ConfigError

POOL = 4096  # random candidates of one size that the greedy choice sees; larger balances little better


@dataclass(frozen=True)
class SubsetConfig:
    """How many subsets, and of which sizes."""

    count: int | None = None  # subsets in all, >= 1; None: n^2, at least 64
    sizes: tuple[int, ...] | None = None  # objectives in a subset, 2 to n each; None: `default_sizes`
    seed: int = 0


def default_sizes(n: int) -> tuple[int, ...]:
    """n/3 and n/2, at least 2 and 3: pairs alone would meet only once, which leaves no spread to take errors from."""
    return tuple(sorted({max(2, n // 3), min(n, max(3, n // 2))}))


def sample_subsets(n: int, config: SubsetConfig) -> Bool[np.ndarray, "m n"]:
    """Distinct subsets of n objectives, as rows of membership.

    All subsets of the given sizes if they number at most `count`. Otherwise `count` of them, shared evenly
    among the sizes and chosen greedily: the next subset is the candidate whose pairs are covered least so far.

    Raises:
        ConfigError: fewer than two objectives, a size outside 2..n, or too few subsets to cover every pair once.
    """
    sizes, count = _checked(n, config)
    if sum(math.comb(n, size) for size in sizes) <= count:
        return np.concatenate([_all_subsets(n, size) for size in sizes])
    quotas = _quotas(n, sizes, count)
    if sum(quota * math.comb(size, 2) for size, quota in zip(sizes, quotas, strict=True)) < math.comb(n, 2):
        raise ConfigError(
            f"count={count} subsets of sizes {sizes} cannot cover all {math.comb(n, 2)} pairs of {n} objectives: "
            "raise count, or use larger sizes"
        )
    generator = np.random.default_rng(config.seed)
    chosen = np.zeros((0, n), dtype=bool)
    # Large subsets first: the small ones can then even out what is left.
    for size, quota in sorted(zip(sizes, quotas, strict=True), reverse=True):
        chosen = np.concatenate([chosen, _least_covered(_candidates(n, size, quota, generator), chosen, quota)])
    return chosen


def _checked(n: int, config: SubsetConfig) -> tuple[tuple[int, ...], int]:
    """Sizes and count with the defaults filled in."""
    if n < 2:
        raise ConfigError(f"expected at least 2 objectives to form subsets, got {n}")
    sizes = config.sizes if config.sizes is not None else default_sizes(n)
    count = config.count if config.count is not None else max(64, n * n)
    if not sizes or len(set(sizes)) < len(sizes) or not all(2 <= size <= n for size in sizes):
        raise ConfigError(f"expected distinct subset sizes between 2 and the {n} objectives, got {sizes}")
    if count < 1:
        raise ConfigError(f"expected a subset count of at least 1, got {count}")
    return sizes, count


def _quotas(n: int, sizes: tuple[int, ...], count: int) -> list[int]:
    """Shares of `count` as even as the number of existing subsets of each size allows."""
    quotas = [0] * len(sizes)
    order = sorted(range(len(sizes)), key=lambda index: math.comb(n, sizes[index]))
    for position, index in enumerate(order):
        quotas[index] = min(math.comb(n, sizes[index]), count // (len(sizes) - position))
        count -= quotas[index]
    return quotas


def _all_subsets(n: int, size: int) -> Bool[np.ndarray, "c n"]:
    members = np.array(list(itertools.combinations(range(n), size)))
    subsets = np.zeros((len(members), n), dtype=bool)
    np.put_along_axis(subsets, members, True, axis=1)
    return subsets


def _candidates(n: int, size: int, quota: int, generator: np.random.Generator) -> Bool[np.ndarray, "c n"]:
    """Distinct subsets of one size in random order: all of them, or a random pool where they are too many."""
    wanted = max(POOL, 2 * quota)
    if math.comb(n, size) <= 2 * wanted:
        return generator.permutation(_all_subsets(n, size))
    pool = np.zeros((0, n), dtype=bool)
    while len(pool) < wanted:
        fresh = generator.random((wanted, n)).argsort(1) < size
        pool = np.unique(np.concatenate([pool, fresh]), axis=0)
    return generator.permutation(pool)[:wanted]


def _least_covered(
    candidates: Bool[np.ndarray, "c n"], chosen: Bool[np.ndarray, "m n"], quota: int
) -> Bool[np.ndarray, "quota n"]:
    """Greedily, `quota` candidates whose pairs occur least in the subsets chosen before."""
    pool = candidates.astype(np.float32)
    # coverage[c]: how often the pairs of candidate c occur in the chosen subsets, one count per pair and subset.
    shared = pool @ chosen.T.astype(np.float32)
    coverage = (shared * (shared - 1)).sum(1)
    picks = []
    for _ in range(quota):
        pick = int(coverage.argmin())
        picks.append(pick)
        overlap = pool @ pool[pick]
        coverage += overlap * (overlap - 1)
        coverage[pick] = np.inf
    return candidates[picks]
