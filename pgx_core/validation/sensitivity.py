"""How few data would have done: the estimate from less of what the run has, nothing trained again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from pgx_core.affinity.matrix import AffinityConfig, estimate_affinity
from pgx_core.clustering.strategies import sdp_groups
from pgx_core.run import MIN_EPISODES
from pgx_core.types import Features, SubsetScores
from pgx_core.validation.agreement import mean_spearman
from pgx_core.validation.estimates import score_with
from pgx_core.validation.validation import Validation

DRAWS = 3  # random choices of the data that are kept, per setting
SHARES = (0.125, 0.25, 0.5, 1.0)  # of the subsets, and of every objective's episodes
DIMENSIONS = (25, 50, 100, 200, 400, 800)  # feature coordinates; the run's own come last
AXES = ("subsets", "samples per objective", "dimensions", "groups k")


@dataclass(frozen=True)
class Sensitivity:
    """One row per setting of one axis: what the estimate would have been with it.

    NaN where too few subsets leave a pair unsampled.
    """

    axes: tuple[str, ...]  # which axis each row belongs to
    settings: Float[np.ndarray, "s"]  # subsets, samples per objective, dimensions, or k
    nmi_full: Float[np.ndarray, "s"]  # of its groups and those from all data (on the axis k: at the run's k)
    nmi_real: Float[np.ndarray, "s"]  # of its groups and those from real training, at the same k
    spearman: Float[np.ndarray, "s"]  # mean over objectives, against real training; NaN on the axis k, which has none


@dataclass(frozen=True)
class Reference:
    """What every setting is compared with."""

    full: SubsetScores  # estimated from all data
    real: SubsetScores
    k: int
    seed: int


def sensitivity(validation: Validation, features: Features, reference: Reference) -> Sensitivity:
    """Vary one thing at a time: subsets, samples per objective, dimensions, k.

    Args:
        validation: how the estimate is made.
        features: of the run, in its own mode.
        reference: scores from all data and from real training.
    """
    rows = [
        *_fewer_subsets(reference),
        *_fewer_samples(validation, features, reference),
        *_fewer_dimensions(validation, features, reference),
        *_other_ks(reference),
    ]
    axes, *columns = zip(*rows, strict=True)
    return Sensitivity(axes, *map(np.array, columns))


Row = tuple[str, float, float, float, float]


def _fewer_subsets(reference: Reference) -> Iterator[Row]:
    rng, count = np.random.default_rng(reference.seed), len(reference.full.subsets)
    for kept in sorted({max(2, round(share * count)) for share in SHARES}):
        draws = [np.sort(rng.permutation(count)[:kept]) for _ in range(DRAWS if kept < count else 1)]
        yield AXES[0], float(kept), *_mean([_compare(_rows(reference.full, draw), reference) for draw in draws])


def _fewer_samples(validation: Validation, features: Features, reference: Reference) -> Iterator[Row]:
    rng = np.random.default_rng(reference.seed)
    for share in SHARES[:-1]:
        thinned = [_episodes(features, share, rng) for _ in range(DRAWS)]
        found = [_compare(score_with(fewer, validation), reference) for fewer in thinned]
        yield AXES[1], len(thinned[0].objectives) / len(features.names), *_mean(found)
    yield AXES[1], len(features.objectives) / len(features.names), *_compare(reference.full, reference)


def _fewer_dimensions(validation: Validation, features: Features, reference: Reference) -> Iterator[Row]:
    full = features.coordinates.shape[1]
    for dimensions in (d for d in DIMENSIONS if d < full):
        scores = score_with(_columns(features, dimensions), validation)
        yield AXES[2], float(dimensions), *_compare(scores, reference)
    yield AXES[2], float(full), *_compare(reference.full, reference)


def _other_ks(reference: Reference) -> Iterator[Row]:
    n = len(reference.full.names)
    full = _labels(reference.full, reference.k, reference.seed)
    for k in range(2, max(reference.k, (n + 1) // 2) + 1):
        mine = _labels(reference.full, k, reference.seed)
        yield AXES[3], float(k), _nmi(mine, full), _nmi(mine, _labels(reference.real, k, reference.seed)), float("nan")


def _compare(scores: SubsetScores, reference: Reference) -> tuple[float, float, float]:
    """(NMI to all data, NMI to real training, mean Spearman) of an estimate."""
    mine, full, real = (_labels(s, reference.k, reference.seed) for s in (scores, reference.full, reference.real))
    rows = [_row_of(reference.real.subsets, subset) for subset in scores.subsets]
    correlation = mean_spearman(scores.values, reference.real.values[rows], scores.subsets)
    return _nmi(mine, full), _nmi(mine, real), correlation


def _labels(scores: SubsetScores, k: int, seed: int) -> np.ndarray | None:
    """The groups; None where a pair is missing."""
    affinity = estimate_affinity(scores, AffinityConfig(bootstrap=2))
    return None if np.isnan(affinity.matrix).any() else sdp_groups(affinity, k, seed).labels


def _nmi(a: np.ndarray | None, b: np.ndarray | None) -> float:
    from sklearn.metrics import normalized_mutual_info_score

    return float("nan") if a is None or b is None else float(normalized_mutual_info_score(a, b))


def _row_of(subsets: Bool[np.ndarray, "m n"], subset: Bool[np.ndarray, "n"]) -> int:
    return int(np.flatnonzero((subsets == subset).all(1))[0])


def _rows(scores: SubsetScores, rows: np.ndarray) -> SubsetScores:
    return replace(scores, subsets=scores.subsets[rows], values=scores.values[rows], blocks=scores.blocks[rows])


def _episodes(features: Features, share: float, rng: np.random.Generator) -> Features:
    """A share of every objective's episodes, enough of them to fit and to hold out."""
    kept = np.zeros(len(features.objectives), dtype=bool)
    for objective in range(len(features.names)):
        own = features.objectives == objective
        episodes = rng.permutation(np.unique(features.episodes[own]))
        kept |= own & np.isin(features.episodes, episodes[: max(MIN_EPISODES, round(share * len(episodes)))])
    arrays = ("coordinates", "labels", "weights", "objectives", "episodes")
    return replace(features, **{name: getattr(features, name)[kept] for name in arrays})


def _columns(features: Features, dimensions: int) -> Features:
    """The coordinates that carry most; those of a projection, all alike, become a projection to fewer."""
    energy = np.square(features.coordinates).sum(0)
    columns = np.sort(np.argsort(-energy)[:dimensions])
    # Only a projection has steps that are longer than their coordinates.
    scale = 1.0 if features.step_length == 1.0 else float(np.sqrt(len(energy) / dimensions))
    coordinates = features.coordinates[:, columns] * np.float32(scale)
    return replace(features, coordinates=coordinates, step_length=features.step_length * scale)


def _mean(found: list[tuple[float, float, float]]) -> tuple[float, float, float]:
    """Column by column over the draws that have a value."""
    known = [[value for value in column if np.isfinite(value)] for column in zip(*found, strict=True)]
    nmi_full, nmi_real, spearman = (float(np.mean(column)) if column else float("nan") for column in known)
    return nmi_full, nmi_real, spearman
