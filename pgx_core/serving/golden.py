"""Golden pairs: observations of the training run, and what the trained policy answered."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np

from pgx_core.contract import PolicyContract
from pgx_core.errors import BundleError
from pgx_core.serving.manifest import GOLDEN_FILE, PARITY


@dataclass(frozen=True)
class PolicyOutput:
    """What a policy answers; both without a leading dimension for one observation."""

    action: np.ndarray  # [..., joints] in [-1, 1]; fed back as `last_action`
    command: np.ndarray  # [..., joints] in the units of the contract's command type


@dataclass(frozen=True)
class GoldenPairs:
    """What one group answered in training."""

    observations: np.ndarray  # [N, observation_size]
    outputs: PolicyOutput


def pack_golden(groups: tuple[GoldenPairs, ...]) -> bytes:
    """The golden file of a bundle, in the order of its groups."""
    buffer = io.BytesIO()
    arrays: dict[str, np.ndarray] = {}
    for k, pairs in enumerate(groups):
        arrays |= {
            f"observation_{k}": pairs.observations,
            f"action_{k}": pairs.outputs.action,
            f"command_{k}": pairs.outputs.command,
        }
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def unpack_golden(content: bytes, contract: PolicyContract, n_groups: int) -> tuple[GoldenPairs, ...]:
    """What `pack_golden` packed.

    Raises:
        BundleError: an array is missing, superfluous, of the wrong shape, or not finite.
    """
    widths = {"observation": contract.observation_size, "action": contract.action_size, "command": contract.action_size}
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        if arrays.keys() != {f"{what}_{k}" for what in widths for k in range(n_groups)}:
            raise ValueError(f"expected the pairs of {n_groups} groups, got the arrays {', '.join(arrays)}")
        for name, array in arrays.items():
            shape = (len(arrays["observation_" + name.rpartition("_")[2]]), widths[name.rpartition("_")[0]])
            if array.dtype != np.float32 or array.shape != shape or 0 in shape or not np.isfinite(array).all():
                raise ValueError(f"expected finite float32 numbers of shape {shape} in '{name}'")
    except Exception as error:  # numpy raises half a dozen kinds for a damaged archive
        raise BundleError(f"{GOLDEN_FILE} cannot be read: {' '.join(str(error).split())}") from error
    return tuple(
        GoldenPairs(arrays[f"observation_{k}"], PolicyOutput(arrays[f"action_{k}"], arrays[f"command_{k}"]))
        for k in range(n_groups)
    )


def parity_error(contract: PolicyContract, ours: PolicyOutput, theirs: PolicyOutput) -> float:
    """Largest difference, to compare with PARITY; NaN if any value is.

    Commands are compared relative to their range where that is beyond +-1: float32 has seven digits.
    """
    span = np.array([max(1.0, abs(joint.lower), abs(joint.upper)) for joint in contract.joints])
    action = np.abs(ours.action - theirs.action).max()
    command = (np.abs(ours.command - theirs.command) / span).max()
    return float(np.maximum(action, command))


def check_parity(contract: PolicyContract, ours: PolicyOutput, theirs: PolicyOutput, what: str) -> None:
    """Refuse answers that differ.

    Raises:
        BundleError: the difference is above PARITY.
    """
    error = parity_error(contract, ours, theirs)
    if not error <= PARITY:
        raise BundleError(f"{what}: the answers differ by {error:.2g}, expected at most {PARITY:g}")
