"""Which transitions are fitted and which are held out, by whole episodes.

Transitions of one episode resemble each other, so splitting inside an episode would flatter the fit.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

from pgx_core.errors import ConfigError
from pgx_core.types import Features

MIN_HELD_OUT = 2  # episodes of every objective: one block says nothing about its own error


def split_episodes(features: Features, held_out: float, seed: int) -> Bool[np.ndarray, "N"]:
    """True for transitions to fit; about `held_out` of every objective's episodes are left out.

    Args:
        features: their objectives and episodes are used.
        held_out: share of the episodes, 0 to 1.
        seed: of the draw.

    Raises:
        ConfigError: an objective has too few episodes to fit one and hold out two.
    """
    rng = np.random.default_rng(seed)
    fitted = np.ones(len(features.objectives), dtype=bool)
    for objective, name in enumerate(features.names):
        own = features.objectives == objective
        episodes = np.unique(features.episodes[own])
        if len(episodes) <= MIN_HELD_OUT:
            raise ConfigError(
                f"surrogate: expected at least {MIN_HELD_OUT + 1} episodes of objective '{name}', got {len(episodes)}; "
                f"collect from more worlds"
            )
        count = int(np.clip(round(held_out * len(episodes)), MIN_HELD_OUT, len(episodes) - 1))
        fitted[own & np.isin(features.episodes, rng.choice(episodes, count, replace=False))] = False
    return fitted


def episode_blocks(
    episodes: Int[np.ndarray, "N"], weights: Float[np.ndarray, "N"], n_blocks: int
) -> Int[np.ndarray, "N"]:
    """A block 0..n_blocks-1 for every transition: whole episodes, blocks of nearly equal weight.

    The heaviest episode left goes to the lightest block.
    """
    names, index = np.unique(episodes, return_inverse=True)
    episode_weights = np.bincount(index, weights)
    load = np.zeros((n_blocks, 2))  # weight, then count: episodes without weight are shared out too
    block = np.empty(len(names), dtype=np.int64)
    for episode in np.argsort(-episode_weights, kind="stable"):
        lightest = int(np.lexsort((load[:, 1], load[:, 0]))[0])
        block[episode] = lightest
        load[lightest] += episode_weights[episode], 1
    assigned: np.ndarray = block[index]
    return assigned
