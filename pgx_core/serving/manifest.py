"""What a bundle says about itself: the content of its `bundle.json`."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from pgx_core.contract import ObjectiveContract, PolicyContract, Randomization
from pgx_core.errors import BundleError, ConfigError, SuiteError
from pgx_core.records import from_plain, parse_json, to_json, to_plain

SCHEMA_VERSION = 2
OPSET = 18  # of every ONNX file: old enough for the runtimes that robots carry
PARITY = 1e-5  # largest accepted difference between a served and a trained action; commands: relative to their range

MANIFEST_FILE = "bundle.json"
GOLDEN_FILE = "golden.npz"
CARD_FILE = "MODEL_CARD.md"


@dataclass(frozen=True)
class GroupContract:
    """One policy of the bundle. All groups share the contract's observation and action."""

    name: str
    file: str  # its ONNX file in the bundle


@dataclass(frozen=True)
class BundleManifest:
    """Everything but the numbers of the networks."""

    schema_version: int
    name: str
    contract: PolicyContract
    objectives: tuple[ObjectiveContract, ...]  # in the order of the one-hot
    groups: tuple[GroupContract, ...]  # in the order of the golden pairs
    metrics: dict[str, float]  # of the training run
    config: Any  # plain data: the settings of the training run
    seed: int
    versions: dict[str, str]  # of the packages that made the bundle
    opset: int
    files: dict[str, str]  # SHA-256 of every file in the bundle but bundle.json
    robot_file: str | None = None  # the robot's MJCF, one of `files`
    randomization: Randomization | None = None  # of the worlds it was trained in; None: they were all the model
    digest: str = ""  # SHA-256 of everything above

    @property
    def conditioned(self) -> bool:
        """Whether the policies see the commanded objective."""
        return any(term.source == "objective" for term in self.contract.observation)


def contract_hash(contract: PolicyContract) -> str:
    """SHA-256 that every ONNX file carries, so that a network is never run under another contract."""
    plain = to_plain(contract)
    for joint in plain["joints"]:
        if joint["rated_velocity"] is None:  # bundles from before it existed stay valid
            del joint["rated_velocity"]
    return sha256(to_json(plain).encode())


def sha256(content: bytes) -> str:
    """The hexadecimal digest."""
    return hashlib.sha256(content).hexdigest()


def encode_manifest(manifest: BundleManifest) -> str:
    """The text of bundle.json, sealed with its digest.

    Raises:
        ConfigError: a field has the wrong type, or a number is not finite.
    """
    return _seal(to_plain(from_plain(BundleManifest, to_plain(manifest), MANIFEST_FILE)))


def _seal(plain: dict[str, Any]) -> str:
    unsealed = to_json(plain | {"digest": ""})
    return to_json(plain | {"digest": sha256(unsealed.encode())})


def decode_manifest(text: str) -> BundleManifest:
    """Parse bundle.json and check its seal.

    Raises:
        BundleError: the text is malformed, of another schema, or not what `encode_manifest` wrote.
    """
    try:
        plain = parse_json(text, MANIFEST_FILE)
        schema = plain.get("schema_version") if isinstance(plain, dict) else None
        if schema != SCHEMA_VERSION:
            raise BundleError(
                f"{MANIFEST_FILE}: expected schema_version {SCHEMA_VERSION}, got {schema!r}: use the pgx that wrote it"
            )
        manifest = from_plain(BundleManifest, plain, MANIFEST_FILE)
        altered = _seal(plain) != text  # what was written, not what is read: an older bundle lacks newer fields
    except (ConfigError, SuiteError) as error:
        raise BundleError(str(error)) from error
    if altered:
        raise BundleError(f"{MANIFEST_FILE} was altered after it was written: export the bundle again")
    return manifest
