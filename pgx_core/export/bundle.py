"""Write a bundle: the policies and everything a robot must know to run them, as one folder."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from pgx_core import __version__
from pgx_core.contract import ObjectiveContract, PolicyContract, Randomization
from pgx_core.errors import BundleError, ConfigError
from pgx_core.export.card import model_card
from pgx_core.export.onnx import export_policy, without_objective
from pgx_core.files import atomic_folder
from pgx_core.learning.network import Policy
from pgx_core.serving.bundle import verify_bundle
from pgx_core.serving.checks import check_manifest
from pgx_core.serving.golden import GoldenPairs, pack_golden
from pgx_core.serving.manifest import (
    CARD_FILE,
    GOLDEN_FILE,
    MANIFEST_FILE,
    OPSET,
    SCHEMA_VERSION,
    BundleManifest,
    GroupContract,
    encode_manifest,
    sha256,
)
from pgx_core.serving.rehearsal import REHEARSAL_FILE
from pgx_core.serving.switches import SWITCHES_FILE, SWITCHES_PICTURE

ROBOT_FILE = "robot.xml"
PACKAGES = ("torch", "onnx", "onnxruntime", "numpy")  # as they are imported: onnxruntime-gpu is one of them too


@dataclass(frozen=True)
class GroupPolicy:
    """One trained group."""

    name: str
    policy: Policy
    observations: np.ndarray  # [N, inputs] some the policy met in training, say 64; they become golden pairs


@dataclass(frozen=True)
class BundleContents:
    """What goes into a bundle."""

    name: str
    contract: PolicyContract  # with a last term "objective" if the policies see the objective
    objectives: tuple[ObjectiveContract, ...]  # in the order of the one-hot
    groups: tuple[GroupPolicy, ...]
    metrics: dict[str, float]  # of the training run, "steps" among them
    config: Any  # plain data: the settings of the training run
    seed: int
    rationale: str  # why these groups, in a sentence or two of Markdown
    licence: str = "Apache-2.0"  # SPDX identifier
    robot_xml: str | None = None  # the robot's MJCF
    assets: Mapping[str, bytes] = field(default_factory=dict)  # further files by relative path: meshes of the MJCF
    randomization: Randomization | None = None  # of the worlds in training


def write_bundle(folder: Path, contents: BundleContents) -> Path:
    """Write and verify a bundle.

    Under its final name a bundle is always whole: the old one, or the new one. Only where `atomic_folder` cannot
    exchange folders, one that is being replaced is missing for a moment.

    Returns:
        The bundle's absolute path.

    Raises:
        BundleError: the contents contradict themselves, or `folder` holds something that is no bundle.
        RunError: the disk is full, or the folder cannot be written.
    """
    folder = Path(folder).resolve()
    _check_target(folder)
    extra = _extra_files(contents)
    manifest = _describe(contents, tuple(extra))
    with atomic_folder(folder) as draft:
        pairs = _write_policies(draft, contents)
        _write_files(draft, {GOLDEN_FILE: pack_golden(pairs), **extra})
        manifest = replace(manifest, files=_checksums(draft))
        _write_files(draft, {CARD_FILE: model_card(manifest, contents.rationale, contents.licence).encode()})
        manifest = replace(manifest, files=_checksums(draft))
        _write_files(draft, {MANIFEST_FILE: encode_manifest(manifest).encode()})
        verify_bundle(draft)
    return folder


def _check_target(folder: Path) -> None:
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MANIFEST_FILE).is_file():
        raise BundleError(f"'{folder}' holds other files: expected a new, an empty or a bundle folder to write to")


def _write_policies(draft: Path, contents: BundleContents) -> tuple[GoldenPairs, ...]:
    files = [group.file for group in _groups(contents)]
    blind = [_fit(group, contents) for group in contents.groups]
    return tuple(
        export_policy(group.policy, contents.contract, draft / file, group.name, group.observations)
        for file, group in zip(files, blind, strict=True)
    )


def _groups(contents: BundleContents) -> tuple[GroupContract, ...]:
    return tuple(GroupContract(group.name, f"group_{k}.onnx") for k, group in enumerate(contents.groups))


def _fit(group: GroupPolicy, contents: BundleContents) -> GroupPolicy:
    """The group as the contract describes it: without the objective if that is no term."""
    n_inputs, n_objectives = contents.contract.observation_size, len(contents.objectives)
    if group.policy.observation_mean.shape[0] != n_inputs + n_objectives:
        return group
    return replace(
        group,
        policy=without_objective(group.policy, n_objectives),
        observations=group.observations[:, :n_inputs],
    )


def _extra_files(contents: BundleContents) -> dict[str, bytes]:
    ours = {MANIFEST_FILE, GOLDEN_FILE, CARD_FILE, ROBOT_FILE, SWITCHES_FILE, SWITCHES_PICTURE, REHEARSAL_FILE}
    reserved = {*ours, *(group.file for group in _groups(contents))}
    for name in contents.assets:
        path = Path(name)
        if name in reserved or path.is_absolute() or ".." in path.parts or path.as_posix() != name:
            raise BundleError(f"asset '{name}': expected a plain relative path that no file of the bundle has")
    robot = {} if contents.robot_xml is None else {ROBOT_FILE: contents.robot_xml.encode()}
    return robot | dict(contents.assets)


def _write_files(draft: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        (draft / name).parent.mkdir(parents=True, exist_ok=True)
        (draft / name).write_bytes(content)


def _checksums(draft: Path) -> dict[str, str]:
    files = [path for path in sorted(draft.rglob("*")) if path.is_file()]
    return {path.relative_to(draft).as_posix(): sha256(path.read_bytes()) for path in files}


def _describe(contents: BundleContents, extra: tuple[str, ...]) -> BundleManifest:
    """The manifest but for its checksums, checked before the slow exports."""
    groups = _groups(contents)
    versions = {"pgx": __version__, "python": platform.python_version()}
    manifest = BundleManifest(
        schema_version=SCHEMA_VERSION,
        name=contents.name,
        contract=contents.contract,
        objectives=contents.objectives,
        groups=groups,
        metrics=contents.metrics,
        config=contents.config,
        seed=contents.seed,
        versions=versions | {name: str(import_module(name).__version__) for name in PACKAGES},
        opset=OPSET,
        files=dict.fromkeys((GOLDEN_FILE, CARD_FILE, *(group.file for group in groups), *extra), ""),
        robot_file=None if contents.robot_xml is None else ROBOT_FILE,
        randomization=contents.randomization,
    )
    check_manifest(manifest)
    try:
        encode_manifest(manifest)
    except ConfigError as error:
        raise BundleError(f"{MANIFEST_FILE} cannot be written: {error}") from error
    return manifest
