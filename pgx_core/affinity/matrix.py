"""From scores of subsets to an affinity matrix with standard errors (PolicyGradEx, arXiv 2511.12779, section 3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from pgx_core.errors import ConfigError
from pgx_core.types import Affinity, SubsetScores

CONSTANT = 1e-9  # scores whose spread is below this share of their size differ by rounding only


@dataclass(frozen=True)
class AffinityConfig:
    """How the errors are estimated."""

    bootstrap: int = 200  # bootstrap draws, >= 2
    seed: int = 0


def estimate_affinity(scores: SubsetScores, config: AffinityConfig) -> Affinity:
    """U_ij: the mean standardised score of i over the subsets that hold i and j, symmetrised.

    Unit: standard deviations of an objective's score over its subsets. A pair that no subset holds is NaN.
    Replicates draw Bayesian bootstrap weights (Rubin 1981: all positive, so no pair goes missing by accident)
    for the subsets and for the held-out blocks, and repeat all that follows the scores. The fit to the other half of
    the episodes is not repeated: its noise is not in the errors.

    Raises:
        ConfigError: too few draws, or a member of a subset has no finite score.
    """
    _check(scores, config)
    generator = np.random.default_rng(config.seed)
    n_subsets, _, n_blocks = scores.blocks.shape
    subset_weights = generator.dirichlet(np.ones(n_subsets), config.bootstrap)
    block_weights = _widened(generator.dirichlet(np.ones(n_blocks), config.bootstrap))
    blocks = np.where(scores.subsets[..., None], scores.blocks, 0.0)
    matrix = _affinity(scores.values, scores.subsets, np.ones(n_subsets))
    replicates = np.stack(
        [
            _affinity(blocks @ on_blocks, scores.subsets, on_subsets)
            for on_subsets, on_blocks in zip(subset_weights, block_weights, strict=True)
        ]
    )
    return Affinity(matrix, replicates.std(0, ddof=1), replicates, scores.names)


def _widened(weights: Float[np.ndarray, "B E"]) -> Float[np.ndarray, "B E"]:
    """Weights of E blocks under which a mean varies as it should: Dirichlet's are too equal where E is small."""
    count = weights.shape[-1]
    return weights if count < 2 else 1 / count + np.sqrt((count + 1) / (count - 1)) * (weights - 1 / count)


def _affinity(
    values: Float[np.ndarray, "m n"], members: Bool[np.ndarray, "m n"], weights: Float[np.ndarray, "m"]
) -> Float[np.ndarray, "n n"]:
    """U for one weighting of the subsets."""
    mass = weights[:, None] * members
    standard = standardise(values, members, mass)
    together = mass.T @ members
    with np.errstate(invalid="ignore"):  # 0/0 is NaN: this pair was never sampled, which is not "no effect"
        one_way = ((mass * standard).T @ members) / together
    # i's gain from j and j's gain from i differ; a group must suit both, so it sees their mean.
    matrix: np.ndarray = (one_way + one_way.T) / 2
    # U_ii is the mean of i's standardised scores over all subsets that hold i: 0, up to rounding.
    np.fill_diagonal(matrix, 0.0)
    return matrix


def standardise(
    values: Float[np.ndarray, "m n"], members: Bool[np.ndarray, "m n"], mass: Float[np.ndarray, "m n"]
) -> Float[np.ndarray, "m n"]:
    """Each objective's scores with mean 0 and deviation 1 over its subsets; 0 outside, and where they are constant.

    Args:
        values: score of each objective in each subset; ignored where it is no member.
        members: which objectives each subset holds.
        mass: weight of each score, >= 0, zero where it is no member.
    """
    values = np.where(members, values, 0.0)
    total = np.maximum(mass.sum(0), np.finfo(float).tiny)  # an objective in no subset: its scores stay 0
    centred = np.where(members, values - (mass * values).sum(0) / total, 0.0)
    deviation = np.sqrt((mass * centred**2).sum(0) / total)
    varies = deviation > CONSTANT * np.abs(values).max(0)
    return np.where(varies, centred / np.where(varies, deviation, 1.0), 0.0)


def _check(scores: SubsetScores, config: AffinityConfig) -> None:
    if config.bootstrap < 2:
        raise ConfigError(f"expected at least 2 bootstrap draws, got {config.bootstrap}")
    finite = np.isfinite(scores.values) & np.isfinite(scores.blocks).all(-1)
    bad = np.argwhere(scores.subsets & ~finite)
    if len(bad):
        subset, objective = bad[0]
        raise ConfigError(
            f"expected finite scores, got NaN or inf for '{scores.names[objective]}' in subset {subset}: "
            "give every objective held-out episodes in every block, or lower the number of blocks"
        )
