"""The values that pass from one stage to the next: frozen, numpy only, saved and loaded as one file each.

Shapes: N transitions, n objectives, m subsets, r feature coordinates, E blocks of held-out data.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import numpy as np
from jaxtyping import Bool, Float, Int

from pgx_core.errors import RunError
from pgx_core.files import atomic_path

R = TypeVar("R")


@dataclass(frozen=True)
class Transitions:
    """What one policy did on every objective, with the advantage of each action.

    `episodes` numbers independent stretches of experience (one world, one episode): the unit of the
    bootstrap and of the split into fitted and held-out data.
    """

    observations: Float[np.ndarray, "N inputs"]  # exactly what the policy module takes
    actions: Float[np.ndarray, "N actions"]
    advantages: Float[np.ndarray, "N"]
    objectives: Int[np.ndarray, "N"]  # index into `names`
    episodes: Int[np.ndarray, "N"]
    names: tuple[str, ...]

    def rows(self, chosen: np.ndarray) -> Transitions:
        """Some of them, by a mask or by indices."""
        arrays = {name: value[chosen] for name, value in vars(self).items() if name != "names"}
        return replace(self, **arrays)


@dataclass(frozen=True)
class Features:
    """Gradients of log pi(a|s) in r coordinates, with the label and weight of each transition.

    coordinates @ z is the predicted change of log pi(a|s) for the parameter step `lift(z)`. The basis is
    orthonormal in `gram` mode, so there |z| is the length of the step.
    """

    coordinates: Float[np.ndarray, "N r"]
    labels: Float[np.ndarray, "N"]  # sign of the advantage, +1 or -1
    weights: Float[np.ndarray, "N"]  # size of the advantage, >= 0
    objectives: Int[np.ndarray, "N"]
    episodes: Int[np.ndarray, "N"]
    names: tuple[str, ...]
    parameter_norm: float  # |theta*|, the yardstick of the trust radius
    energy: float  # share of the squared gradient length that the r coordinates keep, 0 to 1
    step_length: float = 1.0  # |dtheta| of a step with |z| = 1; sqrt(p/d) in the mean for a d-column `projection`


@dataclass(frozen=True)
class SurrogateSolution:
    """The predicted adaptation of the policy to each subset, in feature coordinates."""

    steps: Float[np.ndarray, "m r"]
    ridge: Float[np.ndarray, "m"]  # multiplier that keeps each step inside the trust radius
    losses: Float[np.ndarray, "m"]  # weighted logistic loss on the fitted transitions
    relative_lengths: Float[np.ndarray, "m"]  # |dtheta| / |theta*|


@dataclass(frozen=True)
class TaylorResiduals:
    """How far the first-order log-ratio is from the real one, along some subsets' steps.

    `residuals[s, l]` is the root mean square error of the prediction over the root mean square of the
    real log-ratio, for subset s with its step scaled to relative length `lengths[l]`. The last column
    belongs to the step itself, whose length differs by subset (`SurrogateSolution.relative_lengths`).
    """

    lengths: Float[np.ndarray, "l"]
    residuals: Float[np.ndarray, "m l+1"]


@dataclass(frozen=True)
class SubsetScores:
    """How each objective fares when the policy adapts to each sampled subset.

    `values[s, i]` is NaN where objective i is not in subset s. `blocks[s, i, e]` are the same scores on
    the E disjoint blocks of held-out episodes whose mean is `values`.
    """

    subsets: Bool[np.ndarray, "m n"]
    values: Float[np.ndarray, "m n"]
    blocks: Float[np.ndarray, "m n E"]
    names: tuple[str, ...]
    evaluation: str  # "surrogate" or "rollout"


@dataclass(frozen=True)
class Affinity:
    """How much objectives i and j help each other; symmetric; NaN for a pair that was never sampled.

    `replicates` are bootstrap draws of the matrix, `errors` their standard deviation.
    """

    matrix: Float[np.ndarray, "n n"]
    errors: Float[np.ndarray, "n n"]
    replicates: Float[np.ndarray, "b n n"]
    names: tuple[str, ...]


@dataclass(frozen=True)
class Partition:
    """Which group each objective belongs to. Labels are 0..k-1 in order of first appearance."""

    labels: Int[np.ndarray, "n"]
    names: tuple[str, ...]
    value: float  # the clustering objective: sum over groups of (1/size) sum of affinities inside
    stability: float  # mean adjusted Rand index against the bootstrap replicates; NaN where not measured
    method: str

    @property
    def k(self) -> int:
        """Number of groups."""
        return int(self.labels.max()) + 1

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """The objectives' names, group by group."""
        return tuple(
            tuple(name for name, label in zip(self.names, self.labels, strict=True) if label == group)
            for group in range(self.k)
        )

    def __str__(self) -> str:
        return " | ".join(" ".join(group) for group in self.groups)


def canonical_labels(labels: Any) -> np.ndarray:
    """Relabel groups 0..k-1 in order of first appearance, so that equal partitions have equal labels."""
    order: dict[int, int] = {}
    return np.array([order.setdefault(int(label), len(order)) for label in labels], dtype=np.int64)


def save_record(path: Path, record: Any) -> None:
    """Save one of the records above as `path` (.npz), atomically."""
    values = {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
    arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
    plain = {name: value for name, value in values.items() if not isinstance(value, np.ndarray)}
    with atomic_path(path) as draft, draft.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays, __plain__=np.array(json.dumps(plain)))


def load_record(kind: type[R], path: Path) -> R:
    """Load what `save_record` wrote.

    Raises:
        RunError: the file is missing, damaged, or holds another record.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            values = {name: file[name] for name in file.files}
        plain = json.loads(str(values.pop("__plain__")))
        values |= {name: tuple(value) if isinstance(value, list) else value for name, value in plain.items()}
        if values.keys() != get_type_hints(kind).keys():
            raise ValueError(f"not a {kind.__name__}")
        return kind(**values)
    except FileNotFoundError as error:
        raise RunError(f"'{path}' is missing: run the stage that writes it") from error
    except Exception as error:  # numpy raises half a dozen kinds for a damaged archive
        raise RunError(f"'{path}' cannot be read ({error}): delete it and run its stage again") from error
