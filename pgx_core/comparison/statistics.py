"""Robust averages over seeds and objectives, with intervals: the practice of Agarwal et al. (2021), "rliable".

Scores are [*D, S, n]: S seeds, n objectives, and any number of bootstrap replicates before them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.stats import trim_mean

DRAWS = 2000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """A statistic with its 95% bootstrap interval."""

    value: float
    low: float
    high: float


def estimate(
    statistic: Callable[..., np.ndarray], *scores: Float[np.ndarray, "S n"], whole_seeds: bool = False
) -> Interval:
    """A statistic of one or two methods' scores, with its interval.

    Always the same draws, so that equal scores give equal intervals.

    Args:
        statistic: one of those below.
        scores: of one method, or of two.
        whole_seeds: draw seeds with all their objectives, not anew for every objective (the stratified bootstrap of
            Agarwal et al.), which takes the objectives for independent. Those of a seed are not: they share policies,
            and a seed can be good or bad as a whole.
    """
    rng = np.random.default_rng(0)
    replicates = statistic(*(_resampled(each, whole_seeds, rng) for each in scores))
    low, high = np.quantile(replicates, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(float(statistic(*scores)), float(low), float(high))


def interquartile_mean(scores: Float[np.ndarray, "*D S n"]) -> Float[np.ndarray, "*D"]:
    """The mean of the middle half of all seeds and objectives."""
    return np.asarray(trim_mean(scores.reshape(*scores.shape[:-2], -1), 0.25, axis=-1))


def mean(scores: Float[np.ndarray, "*D S n"]) -> Float[np.ndarray, "*D"]:
    """The mean; for shares of success, of which the middle half can be all ones."""
    return np.asarray(scores.mean((-2, -1)))


def gain(scores: Float[np.ndarray, "*D S n"], base: Float[np.ndarray, "*D S n"]) -> Float[np.ndarray, "*D"]:
    """How much the interquartile mean is above that of `base`."""
    return np.asarray(interquartile_mean(scores) - interquartile_mean(base))


def improvement(scores: Float[np.ndarray, "*D S n"], base: Float[np.ndarray, "*D S n"]) -> Float[np.ndarray, "*D"]:
    """The probability that a seed scores higher than one of `base` on an objective, ties one half; their mean."""
    difference = scores[..., :, None, :] - base[..., None, :, :]
    return np.asarray(((np.sign(difference) + 1.0) / 2.0).mean((-3, -2, -1)))


def _resampled(scores: np.ndarray, whole_seeds: bool, rng: np.random.Generator) -> np.ndarray:
    seeds, n = scores.shape
    rows = rng.integers(0, seeds, (DRAWS, seeds, 1 if whole_seeds else n))
    resampled: np.ndarray = scores[rows, np.arange(n)]
    return resampled
