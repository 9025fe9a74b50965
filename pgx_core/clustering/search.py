"""Searching partitions directly: exact enumeration, and local search on many problems at once."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from pgx_core.clustering.partitions import partition_values

RESTARTS = 16  # random starts beside the given ones: enough for 99.8% of the optima of pure noise, n <= 10


def all_partitions(n: int, k: int) -> Int[np.ndarray, "p n"]:
    """Every partition of n objectives into exactly k groups, in canonical labels."""
    labels = np.zeros((1, 1), dtype=np.int64)
    for length in range(1, n):
        used = labels.max(1) + 1
        grown = [np.column_stack([labels[used >= group], np.full((used >= group).sum(), group)]) for group in range(k)]
        labels = np.concatenate(grown)
        # Drop the starts that have too few objectives left to open all k groups.
        labels = labels[labels.max(1) + 1 + (n - length - 1) >= k]
    return labels


def random_start(n: int, k: int, generator: np.random.Generator) -> Int[np.ndarray, "n"]:
    """A random partition into k groups of random sizes: from equal sizes, lopsided optima are often missed."""
    first_members = np.sort(generator.choice(n - 1, k - 1, replace=False)) + 1
    return generator.permutation(np.searchsorted(first_members, np.arange(n), side="right"))


def search_partitions(
    matrices: Float[np.ndarray, "b n n"], starts: Int[np.ndarray, "s n"], k: int, seed: int
) -> Int[np.ndarray, "b n"]:
    """The best partition into k groups that local search finds for each matrix.

    Args:
        matrices: symmetric, no missing entries.
        starts: partitions into exactly k groups, tried on every matrix beside RESTARTS random ones.
        k: number of groups, 1 to n.
        seed: of the random starts.
    """
    b, n, _ = matrices.shape
    generator = np.random.default_rng(seed)
    starts = np.concatenate([starts, [random_start(n, k, generator) for _ in range(RESTARTS)]])
    problems = np.repeat(matrices, len(starts), axis=0)
    found = local_search(problems, np.tile(starts, (b, 1)), k)
    values = partition_values(problems, found, k).reshape(b, -1)
    best: np.ndarray = found.reshape(b, -1, n)[np.arange(b), values.argmax(1)]
    return best


def local_search(
    matrices: Float[np.ndarray, "b n n"], labels: Int[np.ndarray, "b n"], k: int
) -> Int[np.ndarray, "b n"]:
    """Steepest ascent of the discrete objective by moving one objective or swapping two, until neither helps.

    Every group stays non-empty. Problems that are done wait for the others; each step is one batched product.
    """
    labels = labels.copy()
    tolerance = 1e-10 * (1.0 + np.abs(matrices).max())  # rounding must not look like progress
    open_problems = np.arange(len(labels))
    while len(open_problems):
        gains = _gains(matrices[open_problems], labels[open_problems], k)
        steps = gains.argmax(1)
        improves = gains[np.arange(len(gains)), steps] > tolerance
        open_problems = open_problems[improves]
        _apply(labels, open_problems, steps[improves], k)
    return labels


def _gains(
    matrices: Float[np.ndarray, "b n n"], labels: Int[np.ndarray, "b n"], k: int
) -> Float[np.ndarray, "b steps"]:
    """Change of the objective for all n*k moves, then all n*n swaps; -inf where the step is not allowed."""
    members = (labels[..., None] == np.arange(k)).astype(float)
    diagonal = np.diagonal(matrices, axis1=1, axis2=2)
    links = matrices @ members  # [b, n, k] affinity of each objective to each group, itself included
    sizes = members.sum(1)
    inside = (members * links).sum(1)
    moves = _move_gains(members, links, diagonal, sizes, inside)
    swaps = _swap_gains(matrices, members, links, diagonal, sizes)
    return np.concatenate([moves.reshape(len(labels), -1), swaps.reshape(len(labels), -1)], axis=1)


def _move_gains(
    members: np.ndarray, links: np.ndarray, diagonal: np.ndarray, sizes: np.ndarray, inside: np.ndarray
) -> Float[np.ndarray, "b n k"]:
    """Value after minus before, for objective i leaving its group and joining group c."""
    own_size = (members @ sizes[..., None])[..., 0]
    own_inside = (members @ inside[..., None])[..., 0]
    own_link = (members * links).sum(-1)
    leaving = (own_inside - 2 * own_link + diagonal) / np.maximum(own_size - 1, 1) - own_inside / own_size
    mean = (inside / sizes)[:, None]
    joining = (inside[:, None] + 2 * links + diagonal[..., None]) / (sizes[:, None] + 1) - mean
    forbidden = (members > 0) | (own_size == 1)[..., None]
    return np.where(forbidden, -np.inf, leaving[..., None] + joining)


def _swap_gains(
    matrices: np.ndarray, members: np.ndarray, links: np.ndarray, diagonal: np.ndarray, sizes: np.ndarray
) -> Float[np.ndarray, "b n n"]:
    """Value after minus before, for objectives i and j changing places."""
    transposed = members.transpose(0, 2, 1)
    to_group_of = links @ transposed  # [b, i, j] affinity of i to j's group
    own_link = np.diagonal(to_group_of, axis1=1, axis2=2)
    own_size = (members @ sizes[..., None])[..., 0]
    change = 2 * (to_group_of.transpose(0, 2, 1) - own_link[..., None] - matrices)
    change = (change + diagonal[..., None] + diagonal[:, None]) / own_size[..., None]
    return np.where(members @ transposed > 0, -np.inf, change + change.transpose(0, 2, 1))


def _apply(labels: Int[np.ndarray, "b n"], problems: np.ndarray, steps: np.ndarray, k: int) -> None:
    """Carry out one step per problem, in place."""
    n = labels.shape[1]
    is_move = steps < n * k
    rows, moves = problems[is_move], steps[is_move]
    labels[rows, moves // k] = moves % k
    rows, swaps = problems[~is_move], steps[~is_move] - n * k
    first, second = swaps // n, swaps % n
    labels[rows, first], labels[rows, second] = labels[rows, second], labels[rows, first]
