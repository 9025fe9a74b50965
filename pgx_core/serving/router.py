"""From a request to one objective: exact, the nearest trained one, or refused with the reason."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pgx_core.contract import ObjectiveContract
from pgx_core.errors import BundleError
from pgx_core.serving.checks import find_objective
from pgx_core.serving.config import Request
from pgx_core.serving.manifest import BundleManifest

NEGLIGIBLE = 0.01  # of the largest trained value: a number this small is as good as 0
HYSTERESIS = 0.02  # so much nearer must another objective be than the one pursued, share of the trained range


@dataclass(frozen=True)
class Resolved:
    """The objective that serves a request."""

    objective: str
    note: str = ""  # what was clipped or approximated


class RequestRefused(Exception):  # noqa: N818, an answer, not a fault
    """The request cannot be served, and why, in one line."""


def describe(request: Request) -> str:
    """What is asked for, in a few words."""
    return f"{request.name or request.weights or request.command!s:.80}"


def resolve(manifest: BundleManifest, request: Request, pursued: str, nearest_distance: float) -> Resolved:
    """The objective that serves a request.

    Weights are as far from an objective as the share they give to others. A command is clipped to the range it was
    trained in; its distance is the largest difference of its numbers, as shares of their ranges. No objective serves it
    that would reverse one of its numbers, or move what shall be 0, however near: who says stop means stop.

    Args:
        manifest: the bundle's.
        request: from outside: nothing about it is trusted.
        pursued: the objective pursued now, or ""; a command that wavers between two does not switch at every turn.
        nearest_distance: largest distance accepted, 0 to 1.

    Raises:
        RequestRefused: it names nothing known, is no set of finite numbers, or is too far from every objective.
    """
    kinds = (isinstance(request.name, str), *(isinstance(v, Mapping) for v in (request.weights, request.command)))
    if not all(kinds):
        raise RequestRefused("expected a name as text, and weights and command as numbers by name")
    given = [bool(request.name), bool(request.weights), bool(request.command)]
    if sum(given) != 1:
        raise RequestRefused(f"expected one of name, weights and command, got {sum(given)} of them")
    if request.name:
        return _by_name(manifest, request.name)
    if request.weights:
        distances, note = _weights_distances(manifest, _numbers(request.weights, "weight")), ""
    else:
        distances, note = _command_distances(manifest, _numbers(request.command, "command"))
    return _nearest(distances, note, pursued, nearest_distance)


def _by_name(manifest: BundleManifest, name: str) -> Resolved:
    try:
        return Resolved(find_objective(manifest, name).name)
    except BundleError as error:
        raise RequestRefused(str(error)) from error


def _weights_distances(manifest: BundleManifest, weights: Mapping[str, float]) -> dict[str, float]:
    for name in weights:
        _by_name(manifest, name)
    top = max(weights.values())
    if min(weights.values()) < 0.0 or not top > 0.0:
        raise RequestRefused("expected weights of 0 or more, not all 0")
    shares = {name: value / top for name, value in weights.items()}  # first, so that huge weights do not overflow
    total = sum(shares.values())
    return {objective.name: 1.0 - shares.get(objective.name, 0.0) / total for objective in manifest.objectives}


def _command_distances(manifest: BundleManifest, command: Mapping[str, float]) -> tuple[dict[str, float], str]:
    """The distance of every objective that is commanded by the same numbers, and what had to be clipped."""
    peers = [objective for objective in manifest.objectives if objective.command.keys() == command.keys()]
    if not peers:
        known = "; ".join(sorted({", ".join(sorted(o.command)) for o in manifest.objectives if o.command})) or "none"
        raise RequestRefused(f"no objective is commanded by {', '.join(command)}; known: {known}")
    ranges = {key: _range(peers, key) for key in command}
    willing = [objective for objective in peers if not _contradicts(objective, command, ranges)]
    if not willing:
        asked = ", ".join(f"{key} {value:g}" for key, value in command.items())
        raise RequestRefused(
            f"{asked}: every objective so commanded would reverse a number, or move what shall be 0; ask by a name"
        )
    clipped = {key: min(max(value, ranges[key][0]), ranges[key][1]) for key, value in command.items()}
    notes = [f"{key} {command[key]:g} clipped to {clipped[key]:g}" for key in command if clipped[key] != command[key]]
    return {objective.name: _distance(clipped, objective, ranges) for objective in willing}, ", ".join(notes)


def _contradicts(
    objective: ObjectiveContract, command: Mapping[str, float], ranges: Mapping[str, tuple[float, float]]
) -> bool:
    """Whether it does the opposite of a number of the command, or something where the command says 0."""
    return any(
        abs(done) > NEGLIGIBLE * max(map(abs, ranges[key]))
        and (command[key] == 0.0 or (command[key] > 0) != (done > 0))
        for key, done in objective.command.items()
    )


def _range(objectives: list[ObjectiveContract], key: str) -> tuple[float, float]:
    values = [objective.command[key] for objective in objectives]
    return min(values), max(values)


def _distance(
    command: Mapping[str, float], objective: ObjectiveContract, ranges: Mapping[str, tuple[float, float]]
) -> float:
    """A range of one value is no distance: the command was clipped to that value."""
    spans = {key: (upper - lower) or 1.0 for key, (lower, upper) in ranges.items()}
    return max(abs(command[key] - objective.command[key]) / spans[key] for key in command)


def _nearest(distances: Mapping[str, float], note: str, pursued: str, nearest_distance: float) -> Resolved:
    name = min(distances, key=lambda name: distances[name] - (HYSTERESIS if name == pursued else 0.0))
    distance = distances[name]
    if distance > nearest_distance:
        raise RequestRefused(
            f"the nearest objective '{name}' is {distance:.0%} of the trained range away, "
            f"expected at most {nearest_distance:.0%}"
        )
    rivals = [other for other in distances if other not in (name, pursued) and distances[other] == distance]
    if rivals and name != pursued:
        raise RequestRefused(f"'{name}' and '{rivals[0]}' are equally near: ask for one by its name")
    approximated = f"nearest is '{name}', {distance:.0%} of the trained range away" if distance > 0.0 else ""
    return Resolved(name, ", ".join(filter(None, (note, approximated))))


def _numbers(values: Mapping[Any, Any], what: str) -> dict[str, float]:
    """The values as finite floats by name."""
    numbers = {}
    for name, value in values.items():
        if not isinstance(name, str):
            raise RequestRefused(f"expected each {what} by a name as text, got {name!r:.50}")
        try:
            numbers[name] = float(value)
        except (TypeError, ValueError, OverflowError) as error:
            raise RequestRefused(f"{what} '{name}': expected a number, got {value!r:.50}") from error
        if not math.isfinite(numbers[name]):
            raise RequestRefused(f"{what} '{name}': expected a finite number, got {numbers[name]}")
    return numbers
