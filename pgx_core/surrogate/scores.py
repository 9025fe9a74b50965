"""How well each objective fares under each subset's predicted adaptation, on transitions that were not fitted."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Bool, Float

from pgx_core.errors import ConfigError
from pgx_core.surrogate.logistic import softplus
from pgx_core.surrogate.split import episode_blocks
from pgx_core.types import Features, SubsetScores, SurrogateSolution


def score_subsets(
    features: Features,
    subsets: Bool[np.ndarray, "m n"],
    solution: SurrogateSolution,
    held_out: Bool[np.ndarray, "N"],
    n_blocks: int,
    device: torch.device | str = "cpu",
) -> SubsetScores:
    """f_i(S): the decrease of objective i's held-out loss, sum_t w_t (log 2 - log(1 + exp(-y_t x_t.z_S))).

    The weights of each objective sum to 1, so scores of objectives with different reward scales compare. 0 is
    the unadapted policy, log 2 the best. `blocks[..., e]` is E times the share of block e in that sum.

    Args:
        features: of every transition.
        subsets: which objectives each subset holds.
        solution: the step of each subset.
        held_out: the transitions to score on.
        n_blocks: blocks wanted, >= 2; fewer where an objective has fewer held-out episodes.
        device: of torch's, where to compute.

    Raises:
        ConfigError: an objective has fewer than two held-out episodes, or none with an advantage.
    """
    n_blocks = min([n_blocks, *_episode_counts(features, held_out)])
    blocks = np.full((*subsets.shape, n_blocks), np.nan)
    for objective in range(len(features.names)):
        members = np.flatnonzero(subsets[:, objective])
        if len(members):
            own = held_out & (features.objectives == objective)
            blocks[members, objective] = _block_scores(features, own, solution.steps[members], n_blocks, device)
    return SubsetScores(subsets, blocks.mean(-1), blocks, features.names, evaluation="surrogate")


def _block_scores(
    features: Features, own: np.ndarray, steps: Float[np.ndarray, "k r"], n_blocks: int, device: torch.device | str
) -> Float[np.ndarray, "k E"]:
    weights = features.weights[own] / features.weights[own].sum()
    block = episode_blocks(features.episodes[own], weights, n_blocks)
    shares = n_blocks * weights[:, None] * (block[:, None] == np.arange(n_blocks))
    coordinates, labels, adapted, parts = (
        torch.from_numpy(part).to(device, torch.float64)
        for part in (features.coordinates[own], features.labels[own, None], steps, shares)
    )
    gains = math.log(2.0) - softplus(-labels * (coordinates @ adapted.T))
    scores: np.ndarray = (gains.T @ parts).numpy(force=True)
    return scores


def _episode_counts(features: Features, held_out: np.ndarray) -> list[int]:
    """Held-out episodes of every objective."""
    counts = []
    for objective, name in enumerate(features.names):
        own = held_out & (features.objectives == objective)
        counts.append(len(np.unique(features.episodes[own])))
        if counts[-1] < 2 or not features.weights[own].sum() > 0.0:
            raise ConfigError(
                f"surrogate: expected two held-out episodes with advantages for objective '{name}', got {counts[-1]} "
                f"episodes; collect from more worlds"
            )
    return counts
