"""Group the objectives into k groups, or find out how many groups the affinities support."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from pgx_core.clustering.partitions import partition_values
from pgx_core.clustering.search import search_partitions
from pgx_core.clustering.strategies import Strategy, sdp_groups
from pgx_core.errors import require
from pgx_core.types import Affinity, Partition, canonical_labels

PAIR_CONFIDENCE = 0.975  # share of the replicates in which two objectives must harm each other to be parted
NOISE_SIGMAS = 3.0  # standard deviations by which a grouping's gain must exceed the mean gain in pure noise


@dataclass(frozen=True)
class ClusteringConfig:
    """How many groups, and what counts as evidence for them.

    Raises:
        ConfigError: a setting is out of range.
    """

    k: int | Literal["auto"] = "auto"  # 1 to the number of objectives n
    k_max: int | None = None  # auto: most groups considered, 1 to n-1 (2 of two); None: n/2, rounded up (2 of two)
    stability_threshold: float = 0.6  # auto: least mean adjusted Rand index, 0 to 1
    bootstrap: int = 40  # replicates that are grouped anew to measure stability and noise, >= 2
    seed: int = 0

    def __post_init__(self) -> None:
        share = self.stability_threshold
        require(0 <= share <= 1, "grouping.clustering.stability_threshold", "0 to 1", share)
        require(self.bootstrap >= 2, "grouping.clustering.bootstrap", "2 or more", self.bootstrap)

    def choices(self, n: int) -> tuple[int, ...]:
        """The numbers of groups to consider for n objectives, ascending.

        Raises:
            ConfigError: so many groups cannot be.
        """
        if self.k != "auto":
            require(1 <= self.k <= n, "grouping.clustering.k", f"auto, or 1 to the {n} objectives", self.k)
            return (self.k,)
        most = 2 if n == 2 else max(1, n - 1)
        k_max = self.k_max if self.k_max is not None else min(most, max(2, (n + 1) // 2))
        require(1 <= k_max <= most, "grouping.clustering.k_max", f"1 to {most} (of {n} objectives)", k_max)
        return tuple(range(1, k_max + 1))


@dataclass(frozen=True)
class ClusteringTable:
    """What each number of groups is worth: the evidence behind the choice of k."""

    ks: Int[np.ndarray, "K"]
    labels: Int[np.ndarray, "K n"]
    values: Float[np.ndarray, "K"]  # the discrete objective
    gains: Float[np.ndarray, "K"]  # value minus that of one group
    errors: Float[np.ndarray, "K"]  # standard error of the gain
    noise: Float[np.ndarray, "K"]  # mean gain of the best k groups in matrices of pure estimation noise
    noise_spread: Float[np.ndarray, "K"]  # standard deviation of that gain over such matrices
    stability: Float[np.ndarray, "K"]  # mean adjusted Rand index against the replicates; NaN for k = 1 and k = n


@dataclass(frozen=True)
class ClusteringResult:
    """The chosen partition, and the table it was chosen from."""

    partition: Partition
    table: ClusteringTable


def cluster(affinity: Affinity, config: ClusteringConfig, strategy: Strategy = sdp_groups) -> ClusteringResult:
    """Partition the objectives.

    With k = "auto", k > 1 groups must gain more than grouping pure noise would, and come out alike from most
    bootstrap replicates. Of those k the smallest is taken whose gain over noise is within one standard error of
    the best; if there is none, one policy is as good, and k = 1. Two objectives, which come out alike from
    anything, are parted where nearly every replicate says that they harm each other. Comparing with noise
    follows the gap statistic (Tibshirani, Walther and Hastie 2001): more groups fit more noise, and that is no
    evidence for them.

    Raises:
        ConfigError: so many groups cannot be, a pair was never sampled together, or there are no replicates.
    """
    require(len(affinity.replicates) >= 2, "the affinity's replicates", "2 or more", len(affinity.replicates))
    ks = config.choices(len(affinity.names))
    partitions = [strategy(affinity, k, config.seed) for k in ks]
    gains = np.stack([_gains(affinity.replicates, p.labels, p.k) for p in partitions])
    table = _measure(affinity, config, partitions, gains)
    chosen = _choose(table, gains, config.stability_threshold) if config.k == "auto" else 0
    return ClusteringResult(replace(partitions[chosen], stability=float(table.stability[chosen])), table)


def _measure(
    affinity: Affinity, config: ClusteringConfig, partitions: list[Partition], gains: Float[np.ndarray, "K b"]
) -> ClusteringTable:
    """One row of evidence per partition; `gains` are theirs on the replicates."""
    replicates = affinity.replicates[: config.bootstrap]
    in_noise = np.array([_noise_gains(replicates, p.k, config.seed) for p in partitions])
    return ClusteringTable(
        ks=np.array([p.k for p in partitions]),
        labels=np.stack([p.labels for p in partitions]),
        values=np.array([p.value for p in partitions]),
        gains=np.array([_gains(affinity.matrix[None], p.labels, p.k)[0] for p in partitions]),
        errors=gains.std(1, ddof=1),
        noise=in_noise.mean(1),
        noise_spread=in_noise.std(1, ddof=1),
        stability=np.array([_stability(replicates, p, config.seed) for p in partitions]),
    )


def _choose(table: ClusteringTable, gains: Float[np.ndarray, "K b"], threshold: float) -> int:
    """Row of the chosen k; row 0 is k = 1."""
    if table.labels.shape[1] == 2:
        return int(len(gains) > 1 and np.mean(gains[1] > 0) >= PAIR_CONFIDENCE)
    excess = table.gains - table.noise
    # NaN is below every threshold: k = 1 and k = n come out alike from anything, which proves nothing.
    eligible = np.flatnonzero((table.stability >= threshold) & (excess > NOISE_SIGMAS * table.noise_spread))
    if not len(eligible):
        return 0
    best = eligible[excess[eligible].argmax()]
    errors = (gains[best] - gains).std(1, ddof=1)
    return int(next(row for row in eligible if excess[best] - excess[row] <= errors[row]))


def _gains(
    matrices: Float[np.ndarray, "*#B n n"], labels: Int[np.ndarray, "*#B n"], k: int
) -> Float[np.ndarray, "*#B"]:
    """Value of a partition minus that of one group, on each matrix."""
    gains: np.ndarray = partition_values(matrices, labels, k) - partition_values(matrices, np.zeros_like(labels), 1)
    return gains


def _noise_gains(replicates: Float[np.ndarray, "b n n"], k: int, seed: int) -> Float[np.ndarray, "b"]:
    """Gains of the best k groups in matrices that hold only noise: each replicate minus the mean of all."""
    noise = replicates - replicates.mean(0)
    found = search_partitions(noise, np.zeros((0, noise.shape[1]), dtype=np.int64), k, seed)
    return _gains(noise, found, k)


def _stability(replicates: Float[np.ndarray, "b n n"], partition: Partition, seed: int) -> float:
    """Mean adjusted Rand index of the replicates' best partitions against this one."""
    from sklearn.metrics import adjusted_rand_score

    if partition.k in (1, len(partition.labels)):
        return float("nan")
    # Local search from this partition and random ones finds what the strategy would, at a hundredth of the time.
    found = search_partitions(replicates, partition.labels[None], partition.k, seed)
    # Replicates agree much more often than not, and the index takes longer than the search.
    distinct, times = np.unique([canonical_labels(labels) for labels in found], axis=0, return_counts=True)
    return float(np.average([adjusted_rand_score(partition.labels, labels) for labels in distinct], weights=times))
