"""The gradient-similarity baseline: objectives are alike if their policy gradients point the same way."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from pgx_core.errors import ConfigError
from pgx_core.types import Affinity, Features


def cosine_affinity(features: Features, bootstrap: int = 200, seed: int = 0) -> Affinity:
    """Cosines of the objectives' policy gradients, mean of w*y*g, in feature coordinates; the diagonal is 0.

    Args:
        features: gradient features of every objective.
        bootstrap: number of replicates, >= 2; each weights the episodes of an objective at random (Rubin 1981).
        seed: of the replicates.

    Raises:
        ConfigError: too few replicates, or an objective without transitions or with a zero gradient.
    """
    if bootstrap < 2:
        raise ConfigError(f"expected at least 2 bootstrap draws, got {bootstrap}")
    generator = np.random.default_rng(seed)
    gradients, resampled = [], []
    for index, name in enumerate(features.names):
        sums = _episode_sums(features, index)
        if not np.abs(sums.sum(0)).max(initial=0.0) > 0:
            raise ConfigError(f"the policy gradient of '{name}' is zero or missing: roll it out for longer")
        weights = generator.dirichlet(np.ones(len(sums)), bootstrap)
        gradients.append(sums.sum(0))  # a cosine needs no division by the count
        resampled.append(weights @ sums)
    replicates = _cosines(np.stack(resampled, axis=1))
    return Affinity(_cosines(np.stack(gradients)), replicates.std(0, ddof=1), replicates, features.names)


def _episode_sums(features: Features, objective: int) -> Float[np.ndarray, "episodes r"]:
    """Sum of w*y*g over each episode of one objective."""
    rows = features.objectives == objective
    found, episodes = np.unique(features.episodes[rows], return_inverse=True)
    gradients = (features.weights * features.labels)[rows, None] * features.coordinates[rows]
    sums = np.zeros((len(found), features.coordinates.shape[1]))
    np.add.at(sums, episodes, gradients)
    return sums


def _cosines(gradients: Float[np.ndarray, "*B n r"]) -> Float[np.ndarray, "*B n n"]:
    directions = gradients / np.linalg.norm(gradients, axis=-1, keepdims=True)
    # The diagonal is 0, not 1, as in the affinity of the subsets: being alone earns a group nothing.
    cosines: np.ndarray = (directions @ directions.swapaxes(-1, -2)) * (1.0 - np.eye(gradients.shape[-2]))
    return cosines
