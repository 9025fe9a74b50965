"""Read a bundle, and refuse it whole if anything in it is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pgx_core.contract import PolicyContract
from pgx_core.errors import BundleError
from pgx_core.observation import decode_action
from pgx_core.serving.checks import check_manifest
from pgx_core.serving.golden import GoldenPairs, PolicyOutput, check_parity, unpack_golden
from pgx_core.serving.manifest import GOLDEN_FILE, MANIFEST_FILE, BundleManifest, decode_manifest, sha256
from pgx_core.serving.policy import CPU, PolicySession
from pgx_core.serving.switches import SWITCHES_FILE, SwitchMatrix, decode_switches

PROBES = 32


@dataclass(frozen=True)
class Bundle:
    """A verified bundle, its policies warmed up."""

    folder: Path
    manifest: BundleManifest
    sessions: Mapping[str, PolicySession]  # by group
    switches: SwitchMatrix | None = None  # None: nobody measured them


def load_bundle(folder: Path | str, providers: tuple[str, ...] = CPU, require_provider: str = "") -> Bundle:
    """Verify a bundle and open its policies.

    Args:
        folder: the bundle.
        providers: ONNX Runtime's execution providers, best first; those that are not available here are skipped.
            Each session says which one it got.
        require_provider: the one that every session must get; empty: any.

    Raises:
        BundleError: the first thing that is wrong. Nothing is repaired or replaced by a default.
    """
    folder = Path(folder)
    manifest = _read_manifest(folder)
    check_manifest(manifest)
    contents = _read_files(folder, manifest)
    golden = unpack_golden(contents[GOLDEN_FILE], manifest.contract, len(manifest.groups))
    sessions = {}
    for group, pairs in zip(manifest.groups, golden, strict=True):
        session = PolicySession(contents[group.file], manifest.contract, group.name, providers)
        if require_provider not in ("", session.provider):
            raise BundleError(f"group '{group.name}' runs on {session.provider}, expected {require_provider}")
        _probe(session, manifest.contract, group.name)
        _replay(session, manifest.contract, group.name, pairs)
        sessions[group.name] = session
    return Bundle(folder, manifest, sessions, _read_switches(contents, manifest))


def verify_bundle(folder: Path | str) -> BundleManifest:
    """Check everything in a bundle that can be checked without its robot.

    Raises:
        BundleError: the first thing that is wrong, in one line.
    """
    return load_bundle(folder).manifest


def _read_manifest(folder: Path) -> BundleManifest:
    if not folder.is_dir():
        raise BundleError(f"'{folder}' is no folder: expected a bundle with its {MANIFEST_FILE}")
    try:
        text = _read(folder, MANIFEST_FILE).decode()
    except UnicodeDecodeError as error:
        raise BundleError(f"{MANIFEST_FILE} is not text: {error.reason} at byte {error.start}") from error
    return decode_manifest(text)


def _read_files(folder: Path, manifest: BundleManifest) -> dict[str, bytes]:
    """Every file's content, read once: what is verified is what runs."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_symlink() or not path.is_dir()]
    names = {path.relative_to(folder).as_posix(): path for path in files}
    for name in manifest.files.keys() - names.keys():
        raise BundleError(f"file '{name}' is missing from '{folder}': copy the whole bundle again")
    for name in names.keys() - manifest.files.keys() - {MANIFEST_FILE}:
        raise BundleError(f"file '{name}' is not part of the bundle '{folder}': remove it")
    contents = {name: _read(folder, name) for name in manifest.files}
    for name, content in contents.items():
        if sha256(content) != manifest.files[name]:
            raise BundleError(
                f"file '{name}' is damaged or was altered: its checksum differs; copy the whole bundle again"
            )
    return contents


def _read_switches(contents: Mapping[str, bytes], manifest: BundleManifest) -> SwitchMatrix | None:
    if SWITCHES_FILE not in contents:
        return None
    names = tuple(objective.name for objective in manifest.objectives)
    return decode_switches(contents[SWITCHES_FILE].decode(errors="replace"), names)


def _read(folder: Path, name: str) -> bytes:
    path = folder / name
    if not path.is_file():
        inside = folder / "bundle"
        hint = f"did you mean '{inside}'?" if (inside / name).is_file() else "expected a whole bundle"
        raise BundleError(f"file '{name}' is missing from '{folder}': {hint}")
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"file '{name}' cannot be read: {error.strerror or error}") from error


def _probe(session: PolicySession, contract: PolicyContract, group: str) -> None:
    """The network must give finite commands that follow from its actions by the contract, whatever it observes."""
    observations = np.random.default_rng(0).normal(size=(PROBES, contract.observation_size)).astype(np.float32)
    observations *= np.geomspace(1e-3, 1e3, PROBES, dtype=np.float32)[:, None]
    output = session.run_batch(observations)
    if not np.isfinite(output.action).all() or np.abs(output.action).max() > 1.0:
        raise BundleError(f"group '{group}': expected finite actions in [-1, 1] on probe observations, got others")
    decoded = PolicyOutput(output.action, decode_action(contract, output.action))
    check_parity(contract, output, decoded, f"group '{group}': decoding probe actions by the contract")


def _replay(session: PolicySession, contract: PolicyContract, group: str, pairs: GoldenPairs) -> None:
    """The network must answer as the trained policy did, one by one as on the robot."""
    outputs = [session.run(observation) for observation in pairs.observations]
    served = PolicyOutput(np.stack([o.action for o in outputs]), np.stack([o.command for o in outputs]))
    check_parity(contract, served, pairs.outputs, f"group '{group}': replaying {GOLDEN_FILE}")
