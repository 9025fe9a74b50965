"""What must hold in a manifest before any of its files is opened."""

from __future__ import annotations

import difflib
import math
from collections import Counter
from collections.abc import Iterable, Iterator

from pgx_core.contract import SENSOR_PREFIX, SOURCES, JointContract, ObjectiveContract, ObservationTerm, PolicyContract
from pgx_core.errors import BundleError
from pgx_core.serving.manifest import CARD_FILE, GOLDEN_FILE, MANIFEST_FILE, OPSET, BundleManifest


def check_manifest(manifest: BundleManifest) -> None:
    """Refuse a manifest that contradicts itself.

    Raises:
        BundleError: the first fault found.
    """
    for fault in _manifest_faults(manifest):
        raise BundleError(f"{MANIFEST_FILE}: {fault}")


def check_robot(contract: PolicyContract, joint_names: Iterable[str]) -> None:
    """Refuse a robot whose commanded joints are not the contract's. Their order is free: they are matched by name.

    Raises:
        BundleError: joints that the robot lacks, or has beyond the contract, or has twice.
    """
    names = tuple(joint_names)
    ours, theirs = {joint.name for joint in contract.joints}, set(names)
    faults = [
        f"{what} {', '.join(sorted(joints))}"
        for what, joints in (
            ("the robot lacks", ours - theirs),
            ("the bundle does not command", theirs - ours),
            ("the robot repeats", set(_repeated(names))),
        )
        if joints
    ]
    if faults:
        raise BundleError(f"the bundle is for the joints of '{contract.robot}': {'; '.join(faults)}")


def find_objective(manifest: BundleManifest, name: str) -> ObjectiveContract:
    """The objective of that name.

    Raises:
        BundleError: there is none; the message names the nearest and lists all.
    """
    known = {objective.name: objective for objective in manifest.objectives}
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        raise BundleError(f"unknown objective '{name}'; {hint}known: {', '.join(known)}")
    return known[name]


def _manifest_faults(manifest: BundleManifest) -> Iterator[str]:
    contract = manifest.contract
    if manifest.opset != OPSET:
        yield f"expected ONNX opset {OPSET}, got {manifest.opset}"
    for kind, names in (
        ("joint", [joint.name for joint in contract.joints]),
        ("observation term", [term.source for term in contract.observation]),
        ("objective", [objective.name for objective in manifest.objectives]),
        ("group", [group.name for group in manifest.groups]),
        ("group file", [group.file for group in manifest.groups]),
    ):
        if not names:
            yield f"expected at least one {kind}, got none"
        yield from (f"{kind} '{name}' occurs twice" for name in _repeated(names))
        yield from (f"a {kind} has no name" for name in names if not name)
    groups = {group.name for group in manifest.groups}
    for objective in manifest.objectives:
        if objective.group not in groups:
            yield f"objective '{objective.name}' is served by group '{objective.group}'; groups: {', '.join(groups)}"
    for file in (GOLDEN_FILE, CARD_FILE, *(group.file for group in manifest.groups), manifest.robot_file):
        if file is not None and file not in manifest.files:
            yield f"file '{file}' has no checksum"
    for objective in manifest.objectives:
        yield from (f"objective '{objective.name}': {fault}" for fault in _scene_faults(objective, contract))
    yield from _contract_faults(contract, len(manifest.objectives))


def _scene_faults(objective: ObjectiveContract, contract: PolicyContract) -> Iterator[str]:
    for name in {joint.name for joint in contract.joints} & objective.scene.keys():
        yield f"its scene moves the commanded joint '{name}'"
    for name, start in objective.scene.items():
        for lowest, highest in (start.position, start.velocity):
            if not -math.inf < lowest <= highest < math.inf:
                yield f"scene joint '{name}': expected lowest <= highest, got {lowest} and {highest}"


def _contract_faults(contract: PolicyContract, n_objectives: int) -> Iterator[str]:
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
        yield f"expected the default within {joint.lower} to {joint.upper}, got {joint.default}"
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


def _repeated(names: Iterable[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]
