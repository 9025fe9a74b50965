"""Partitions: their value, their agreement, and the checks all grouping strategies share."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from pgx_core.errors import ConfigError
from pgx_core.types import Affinity, Partition, canonical_labels


def partition_value(matrix: Float[np.ndarray, "n n"], labels: Int[np.ndarray, "n"]) -> float:
    """The clustering objective: sum over groups of (1/size) times the sum of affinities inside."""
    groups = [np.flatnonzero(labels == group) for group in np.unique(labels)]
    return float(sum(matrix[np.ix_(group, group)].sum() / len(group) for group in groups))


def partition_values(
    matrices: Float[np.ndarray, "*#B n n"], labels: Int[np.ndarray, "*#B n"], k: int
) -> Float[np.ndarray, "*#B"]:
    """`partition_value` for a batch of matrices, of partitions into k groups, or of both."""
    members = (labels[..., None] == np.arange(k)).astype(float)
    inside = (members * (matrices @ members)).sum(-2)
    values: np.ndarray = (inside / members.sum(-2)).sum(-1)
    return values


def check_groupable(affinity: Affinity, k: int) -> None:
    """Refuse a number of groups that cannot be, and a matrix with missing pairs.

    Raises:
        ConfigError: k outside 1..n, or a pair that was never sampled together.
    """
    n = len(affinity.names)
    if not 1 <= k <= n:
        raise ConfigError(f"expected 1 to {n} groups for {n} objectives, got k={k}")
    missing = np.argwhere(np.isnan(affinity.matrix))
    if len(missing):
        first, second = (affinity.names[index] for index in missing[0])
        raise ConfigError(
            f"the affinity of '{first}' and '{second}' is missing, no subset holds both: sample more subsets"
        )


def make_partition(affinity: Affinity, labels: Int[np.ndarray, "n"], method: str) -> Partition:
    """The partition with its value; stability is left unmeasured."""
    labels = canonical_labels(labels)
    return Partition(labels, affinity.names, partition_value(affinity.matrix, labels), float("nan"), method)


def fill_groups(labels: Int[np.ndarray, "n"], k: int) -> Int[np.ndarray, "n"]:
    """The same grouping with exactly k groups: while some are empty, the largest gives up a member."""
    labels = canonical_labels(labels)
    for group in range(labels.max() + 1, k):
        labels[np.flatnonzero(labels == np.bincount(labels).argmax())[-1]] = group
    return labels


class Agreement(NamedTuple):
    """How alike two partitions of the same objectives are; 1 for equal ones."""

    nmi: float  # normalised mutual information, 0 to 1
    ari: float  # adjusted Rand index, 0 on average for random partitions


def agreement(a: Partition, b: Partition) -> Agreement:
    """NMI and ARI of two partitions.

    Raises:
        ConfigError: they partition different objectives, or list them in another order.
    """
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    if a.names != b.names:
        raise ConfigError(f"expected two partitions of the same objectives, got {a.names} and {b.names}")
    return Agreement(
        float(normalized_mutual_info_score(a.labels, b.labels)), float(adjusted_rand_score(a.labels, b.labels))
    )
