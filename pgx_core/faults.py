"""What must hold in a contract. One definition for what is about to be trained, and for a bundle's reader."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from pgx_core.contract import SENSOR_PREFIX, SOURCES, JointContract, JointStart, ObservationTerm, PolicyContract


def contract_faults(contract: PolicyContract, n_objectives: int) -> Iterator[str]:
    """Where a contract contradicts itself, each in a few words.

    Args:
        contract: of a robot, with or without the term "objective".
        n_objectives: length of that term.
    """
    yield from name_faults("joint", [joint.name for joint in contract.joints])
    yield from name_faults("observation term", [term.source for term in contract.observation])
    if not (math.isfinite(contract.control_rate) and contract.control_rate > 0):
        yield f"expected a control_rate above 0 Hz, got {contract.control_rate}"
    for term in contract.observation:
        yield from _term_faults(term, contract.action_size, n_objectives)
    if "objective" in [term.source for term in contract.observation[:-1]]:
        yield "expected the observation term 'objective' to be the last"
    if contract.maximum_tilt is not None:
        if not 0.0 < contract.maximum_tilt <= math.pi:
            yield f"expected maximum_tilt in 0 to pi rad, got {contract.maximum_tilt}"
        if "projected_gravity" not in [term.source for term in contract.observation]:
            yield "maximum_tilt needs the observation term 'projected_gravity'"
    for joint in contract.joints:
        for fault in _joint_faults(joint, contract.command_type):
            yield f"joint '{joint.name}': {fault}"


def scene_faults(scene: Mapping[str, JointStart], contract: PolicyContract) -> Iterator[str]:
    """Where an objective's scene contradicts itself or moves the robot, each in a few words."""
    for name in {joint.name for joint in contract.joints} & scene.keys():
        yield f"its scene moves the commanded joint '{name}'"
    for name, start in scene.items():
        for lowest, highest in (start.position, start.velocity):
            if not -math.inf < lowest <= highest < math.inf:
                yield f"scene joint '{name}': expected lowest <= highest, got {lowest} and {highest}"


def name_faults(kind: str, names: Iterable[str]) -> Iterator[str]:
    """Why names do not tell the things of a kind apart: there are none, or one is empty or occurs twice."""
    names = tuple(names)
    if not names:
        yield f"expected at least one {kind}, got none"
    yield from (f"{kind} '{name}' occurs twice" for name in repeated(names))
    yield from (f"a {kind} has no name" for name in names if not name)


def repeated(names: Iterable[str]) -> list[str]:
    """The names that occur more than once."""
    return [name for name, count in Counter(names).items() if count > 1]


def _term_faults(term: ObservationTerm, n_joints: int, n_objectives: int) -> Iterator[str]:
    sizes = {"projected_gravity": 3, "angular_velocity": 3, "linear_velocity": 3, "objective": n_objectives}
    is_sensor = term.source.startswith(SENSOR_PREFIX)
    size = max(term.size, 1) if is_sensor else sizes.get(term.source, n_joints)
    if not is_sensor and term.source not in SOURCES:
        yield f"unknown observation term '{term.source}'; known: {', '.join(SOURCES)}, {SENSOR_PREFIX}NAME"
    elif term.size != size:
        yield f"observation term '{term.source}': expected size {size}, got {term.size}"
    if not (math.isfinite(term.scale) and term.scale != 0):
        yield f"observation term '{term.source}': expected a scale other than 0, got {term.scale}"


def _joint_faults(joint: JointContract, command_type: str) -> Iterator[str]:
    for name, value in vars(joint).items():
        if isinstance(value, float) and not math.isfinite(value):
            yield f"{name} is not finite"
    if not joint.lower < joint.upper:
        yield f"expected lower < upper, got {joint.lower} and {joint.upper}"
    if not joint.lower <= joint.default <= joint.upper:
        cause = " (of position commands it is the home pose)" if command_type == "position" else ""
        yield f"expected the default within {joint.lower} to {joint.upper}, got {joint.default}{cause}"
    if (joint.position_lower is None) != (joint.position_upper is None):
        yield "expected both position limits or none"
    elif joint.position_lower is not None and not joint.position_lower < joint.position_upper:  # type: ignore[operator]
        yield f"expected position_lower < position_upper, got {joint.position_lower} and {joint.position_upper}"
    for name in ("scale", "velocity_limit", "effort_limit"):
        if not getattr(joint, name) > 0:
            yield f"expected {name} above 0, got {getattr(joint, name)}"
    if joint.rated_velocity is not None and not joint.rated_velocity >= joint.velocity_limit:
        yield f"expected rated_velocity of at least velocity_limit {joint.velocity_limit}, got {joint.rated_velocity}"
    if joint.stiffness < 0 or joint.damping < 0 or (command_type == "position" and joint.stiffness == 0):
        yield f"expected gains for {command_type} commands, got stiffness {joint.stiffness}, damping {joint.damping}"
