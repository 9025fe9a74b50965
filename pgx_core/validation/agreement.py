"""Does the estimate agree with real training: objective by objective, and in the groups that follow?

Shapes: n objectives, m subsets.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import DegenerateDataWarning, bootstrap, rankdata

from pgx_core.clustering.partitions import partition_value, partition_values
from pgx_core.clustering.search import all_partitions

RESAMPLES = 1000
CONFIDENCE = 0.95
REGRET_LIMIT = 8  # objectives up to which the best partition is known by trying all


@dataclass(frozen=True)
class Correlations:
    """Estimated against real f(S) of each objective, over the subsets that hold it, with 95% bootstrap intervals.

    NaN where either is constant.
    """

    spearman: Float[np.ndarray, "n"]
    spearman_low: Float[np.ndarray, "n"]
    spearman_high: Float[np.ndarray, "n"]
    pearson: Float[np.ndarray, "n"]
    pearson_low: Float[np.ndarray, "n"]
    pearson_high: Float[np.ndarray, "n"]


@dataclass(frozen=True)
class Groups:
    """The groups by each way to score subsets, at the same k, and how well they agree with those of real training."""

    names: tuple[str, ...]
    k: int
    real_k: int  # what real training's scores would choose by themselves
    real: Int[np.ndarray, "n"]
    gram: Int[np.ndarray, "n"]
    projection: Int[np.ndarray, "n"]
    nmi: float  # of gram and real; 1 for equal partitions
    nmi_projection: float
    ari: float  # adjusted Rand index; 0 on average for random partitions
    ari_projection: float
    regret: float  # of gram, see `regret`; NaN for more than REGRET_LIMIT objectives


def correlate(
    estimated: Float[np.ndarray, "m n"], real: Float[np.ndarray, "m n"], members: Bool[np.ndarray, "m n"], seed: int
) -> Correlations:
    """Spearman and Pearson of every objective; percentile intervals from subsets drawn with replacement."""
    columns = [(estimated[held, i], real[held, i]) for i, held in enumerate(members.T)]
    rows = [(*_interval(_spearman, *pair, seed), *_interval(_pearson, *pair, seed)) for pair in columns]
    return Correlations(*np.array(rows).T)


def mean_spearman(
    estimated: Float[np.ndarray, "m n"], real: Float[np.ndarray, "m n"], members: Bool[np.ndarray, "m n"]
) -> float:
    """The mean of the objectives' rank correlations; NaN if none has one."""
    each = np.array([_spearman(estimated[held, i], real[held, i]) for i, held in enumerate(members.T)])
    return float(np.mean(each[np.isfinite(each)])) if np.isfinite(each).any() else float("nan")


def spearman_by_size(real: Float[np.ndarray, "m n"], members: Bool[np.ndarray, "m n"]) -> float:
    """The `mean_spearman` of an estimate that knows but how many objectives share a subset: fewer are better."""
    sizes = np.broadcast_to(members.sum(1, dtype=float)[:, None], real.shape)
    return mean_spearman(-sizes, real, members)


def regret(matrix: Float[np.ndarray, "n n"], labels: Int[np.ndarray, "n"]) -> float:
    """What of the gain by grouping is lost: (best - value) / (best - mean) over all partitions into as many groups.

    Args:
        matrix: the affinity from real training, whose clustering objective is the value of a partition.
        labels: the partition to judge, groups 0..k-1. 0 is the best of all, 1 as good as a random one.
    """
    k = int(labels.max()) + 1
    values = partition_values(matrix, all_partitions(len(labels), k), k)
    span = float(values.max() - values.mean())
    return (float(values.max()) - partition_value(matrix, labels)) / span if span > 0.0 else 0.0


def _interval(
    statistic: Callable[..., np.ndarray], estimated: np.ndarray, real: np.ndarray, seed: int
) -> tuple[float, float, float]:
    """(value, low, high)."""
    value = float(statistic(estimated, real, axis=-1))
    if not np.isfinite(value):
        return np.nan, np.nan, np.nan
    # A draw of one subset over and over has no spread; it is left out below.
    with np.errstate(invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateDataWarning)
        found = bootstrap(
            (estimated, real),
            statistic,
            n_resamples=RESAMPLES,
            paired=True,
            vectorized=True,
            method="percentile",
            rng=np.random.default_rng(seed),
        )
    low, high = np.nanpercentile(found.bootstrap_distribution, [50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE)])
    return value, float(low), float(high)


def _pearson(x: np.ndarray, y: np.ndarray, axis: int = -1) -> np.ndarray:
    if x.shape[axis] < 2:
        return np.array(np.nan)
    x, y = (values - values.mean(axis, keepdims=True) for values in (x, y))
    scale = np.sqrt((x**2).sum(axis) * (y**2).sum(axis))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(scale > 0.0, (x * y).sum(axis) / scale, np.nan)


def _spearman(x: np.ndarray, y: np.ndarray, axis: int = -1) -> np.ndarray:
    return _pearson(rankdata(x, axis=axis), rankdata(y, axis=axis), axis)
