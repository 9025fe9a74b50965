"""What must hold in a manifest before any of its files is opened."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator

from pgx_core.contract import ObjectiveContract, PolicyContract
from pgx_core.errors import BundleError
from pgx_core.faults import contract_faults, name_faults, repeated, scene_faults
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
            ("the robot repeats", set(repeated(names))),
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
        ("objective", [objective.name for objective in manifest.objectives]),
        ("group", [group.name for group in manifest.groups]),
        ("group file", [group.file for group in manifest.groups]),
    ):
        yield from name_faults(kind, names)
    groups = {group.name for group in manifest.groups}
    for objective in manifest.objectives:
        if objective.group not in groups:
            yield f"objective '{objective.name}' is served by group '{objective.group}'; groups: {', '.join(groups)}"
    for file in (GOLDEN_FILE, CARD_FILE, *(group.file for group in manifest.groups), manifest.robot_file):
        if file is not None and file not in manifest.files:
            yield f"file '{file}' has no checksum"
    for objective in manifest.objectives:
        yield from (f"objective '{objective.name}': {fault}" for fault in scene_faults(objective.scene, contract))
    yield from contract_faults(contract, len(manifest.objectives))
