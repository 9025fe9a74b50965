"""Robust averages over seeds and objectives, with intervals: the practice of Agarwal et al. (2021), "rliable".

Scores are [*D, S, n]: S seeds, n objectives, and any number of bootstrap replicates before them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.stats import norm, t, trim_mean

DRAWS = 5000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """A statistic with its 95% bootstrap interval."""

    value: float
    low: float
    high: float


def estimate(statistic: Callable[..., np.ndarray], *scores: Float[np.ndarray, "S n"]) -> Interval:
    """A statistic of one or two methods' scores, with its interval.

    Seeds are drawn with all their objectives: those of a seed share policies, and a seed can be good or bad as a whole.
    (Agarwal et al. draw anew for every objective, as if objectives were independent.) Always the same draws, so that
    equal scores give equal intervals.

    Args:
        statistic: one of those below.
        scores: of one method, or of two; of 2 seeds or more.
    """
    rng = np.random.default_rng(0)
    replicates = statistic(*(_resampled(each, rng) for each in scores))
    low = _expanded(min(len(each) for each in scores))
    return Interval(float(statistic(*scores)), *np.quantile(replicates, [low, 1 - low]).tolist())


def _expanded(seeds: int) -> float:
    """The quantile of the replicates at which the interval begins.

    A percentile interval of few draws is too narrow: its spread is that of a sample, and it takes the normal's tails
    for Student's. Both are made up for by a wider level (Hesterberg 2014, arXiv 1411.5279).
    """
    return float(norm.cdf(math.sqrt(seeds / (seeds - 1)) * t.ppf((1 - CONFIDENCE) / 2, seeds - 1)))


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


def _resampled(scores: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    seeds = len(scores)
    resampled: np.ndarray = scores[rng.integers(0, seeds, (DRAWS, seeds))]
    return resampled
