"""Ways to group objectives, all with one signature: (affinity, k, seed) -> Partition into exactly k groups.

scikit-learn and CVXPY are imported where they are used, here and in the modules beside: they take as long as torch, and
most processes never cluster.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from jaxtyping import Float, Int

from pgx_core.clustering.partitions import check_groupable, fill_groups, make_partition, partition_values
from pgx_core.clustering.search import all_partitions, search_partitions
from pgx_core.errors import ConfigError
from pgx_core.types import Affinity, Partition

BRUTE_FORCE_LIMIT = 10  # objectives; 11 would mean up to 246730 partitions
FLOOR = 1e-3  # weight of the weakest link in the spectral graph, so that it stays connected

Strategy = Callable[[Affinity, int, int], Partition]


def sdp_groups(affinity: Affinity, k: int, seed: int) -> Partition:
    """The paper's clustering: a semidefinite relaxation, rounded by k-means, then local search.

    Source: PolicyGradEx (arXiv 2511.12779); the relaxation is that of Peng and Wei, SIAM J. Optim. 18 (2007).
    k-means on the leading eigenvectors is transitive, as thresholding X is not; the local search works on the
    discrete objective itself, from the rounded solution and from random partitions.

    Raises:
        ConfigError: k outside 1..n, or a pair was never sampled together.
    """
    check_groupable(affinity, k)
    if k in (1, len(affinity.names)):
        return make_partition(affinity, np.arange(len(affinity.names)) % k, "sdp")
    relaxed = relax_partition(affinity.matrix, k)
    rounded = _round(relaxed, k, seed)
    return make_partition(affinity, search_partitions(affinity.matrix[None], rounded[None], k, seed)[0], "sdp")


def relax_partition(matrix: Float[np.ndarray, "n n"], k: int) -> Float[np.ndarray, "n n"]:
    """X that maximises <U, X> over X >= 0, X PSD, X1 = 1, Tr X = k; a partition has X_ij = 1/size inside groups.

    Raises:
        ConfigError: the solver fails, as it does for entries that are not finite.
    """
    import cvxpy as cp

    n = len(matrix)
    x = cp.Variable((n, n), PSD=True)
    scaled = matrix / max(float(np.abs(matrix).max()), np.finfo(float).tiny)
    constraints = [x >= 0, cp.sum(x, axis=1) == 1, cp.trace(x) == k]
    problem = cp.Problem(cp.Maximize(cp.sum(cp.multiply(scaled, x))), constraints)
    problem.solve(solver=cp.SCS)
    if x.value is None:
        raise ConfigError(f"the clustering solver ended with '{problem.status}' for k={k}: look for huge affinities")
    return np.asarray(x.value)


def _round(relaxed: Float[np.ndarray, "n n"], k: int, seed: int) -> Int[np.ndarray, "n"]:
    """Groups of objectives whose rows in the rank-k factor of X are close."""
    from sklearn.cluster import KMeans

    values, vectors = np.linalg.eigh((relaxed + relaxed.T) / 2)
    factor = vectors[:, -k:] * np.sqrt(values[-k:].clip(min=0.0))
    # Fewer than k distinct rows are no error here: fill_groups splits, local search repairs.
    distinct = len(np.unique(factor.round(9), axis=0))
    return fill_groups(KMeans(min(k, distinct), n_init=4, random_state=seed).fit_predict(factor), k)


def brute_force_groups(affinity: Affinity, k: int, seed: int) -> Partition:
    """The best of all partitions into k groups; exact, so it ignores the seed.

    Raises:
        ConfigError: more than BRUTE_FORCE_LIMIT objectives, k outside 1..n, or a pair was never sampled together.
    """
    check_groupable(affinity, k)
    n = len(affinity.names)
    if n > BRUTE_FORCE_LIMIT:
        raise ConfigError(f"brute force takes at most {BRUTE_FORCE_LIMIT} objectives, got {n}: use sdp_groups")
    candidates = all_partitions(n, k)
    best = partition_values(affinity.matrix, candidates, k).argmax()
    return make_partition(affinity, candidates[best], "brute force")


def random_groups(affinity: Affinity, k: int, seed: int) -> Partition:
    """A random partition into k groups whose sizes differ by at most one.

    Raises:
        ConfigError: k outside 1..n, or a pair was never sampled together.
    """
    check_groupable(affinity, k)
    dealt = np.arange(len(affinity.names)) % k
    return make_partition(affinity, np.random.default_rng(seed).permutation(dealt), "random")


def spectral_groups(affinity: Affinity, k: int, seed: int) -> Partition:
    """Spectral clustering (Ng, Jordan and Weiss 2001) of the affinities shifted to be positive.

    Raises:
        ConfigError: k outside 1..n, or a pair was never sampled together.
    """
    from sklearn.cluster import SpectralClustering

    check_groupable(affinity, k)
    n = len(affinity.names)
    if k in (1, n):
        return make_partition(affinity, np.arange(n) % k, "spectral")
    off_diagonal = affinity.matrix[~np.eye(n, dtype=bool)]
    span = max(float(np.ptp(off_diagonal)), np.finfo(float).tiny)
    weights = FLOOR + (affinity.matrix - off_diagonal.min()).clip(min=0.0) / span
    np.fill_diagonal(weights, 1.0)
    labels = SpectralClustering(k, affinity="precomputed", random_state=seed).fit_predict(weights)
    return make_partition(affinity, labels, "spectral")


def cosine_groups(affinity: Affinity, k: int, seed: int) -> Partition:
    """`sdp_groups` under the name of the gradient-similarity baseline: give it a `cosine_affinity`.

    The baseline shares the clustering, so a comparison shows what the affinity is worth.

    Raises:
        ConfigError: k outside 1..n.
    """
    return replace(sdp_groups(affinity, k, seed), method="cosine")


STRATEGIES: tuple[Strategy, ...] = (sdp_groups, brute_force_groups, random_groups, spectral_groups, cosine_groups)
