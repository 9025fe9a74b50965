"""Build the observation and decode the action: ONE definition for the trainer and for the robot.

Works on numpy arrays and on torch tensors alike (only arithmetic, indexing and `clip`), batched over any
leading dimensions, and imports neither torch nor mujoco.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pgx_core.contract import SENSOR_PREFIX, SOURCES, PolicyContract

Array = Any  # a numpy array or a torch tensor


@dataclass(frozen=True)
class Readings:
    """What the robot's sensors say now, as floating-point arrays. Leading dimensions are the batch."""

    joint_positions: Array  # [..., joints] rad or m, contract order
    joint_velocities: Array  # [..., joints]
    last_action: Array  # [..., joints]
    orientation: Array | None = None  # [..., 4] base in the world, (w, x, y, z)
    angular_velocity: Array | None = None  # [..., 3] base frame, rad/s
    linear_velocity: Array | None = None  # [..., 3] base frame, m/s
    objective: Array | None = None  # [..., objectives] one-hot
    sensors: Mapping[str, Array] = field(default_factory=dict)


def observe(contract: PolicyContract, readings: Readings, concatenate: Callable[[list[Array]], Array]) -> Array:
    """The observation vector [..., observation_size].

    Args:
        contract: the terms and their order.
        readings: one value for every term the contract names.
        concatenate: joins blocks along the last axis.

    Raises:
        ValueError: a term's reading is absent or has another size. Nothing is ever filled with zeros.
    """
    blocks = []
    for term in contract.observation:
        block = _read(readings, term.source)
        if block is None or tuple(block.shape[-1:]) != (term.size,):
            came = "nothing" if block is None else f"shape {tuple(block.shape)}"
            raise ValueError(f"observation term '{term.source}': expected size {term.size}, got {came}")
        # After the size check: a block of one joint would broadcast to all.
        if term.source == "joint_positions":
            block = block - _like(block, [joint.default for joint in contract.joints])
        blocks.append(block if term.scale == 1.0 else block * term.scale)
    return concatenate(blocks)


def _read(readings: Readings, source: str) -> Array | None:
    if source.startswith(SENSOR_PREFIX):
        return readings.sensors.get(source.removeprefix(SENSOR_PREFIX))
    if source == "projected_gravity":
        return None if readings.orientation is None else projected_gravity(readings.orientation)
    value: Array | None = getattr(readings, source) if source in SOURCES else None
    return value


def projected_gravity(orientation: Array) -> Array:
    """Gravity's unit vector (0, 0, -1) of the world, seen in the base frame.

    Args:
        orientation: [..., 4] unit quaternion (w, x, y, z) that turns base vectors into world vectors.
    """
    w, x, y, z = (orientation[..., i] for i in range(4))
    gravity = 0.0 * orientation[..., :3]
    gravity[..., 0] = 2 * (w * y - x * z)
    gravity[..., 1] = -2 * (y * z + w * x)
    gravity[..., 2] = 2 * (x * x + y * y) - 1
    return gravity


def decode_action(contract: PolicyContract, action: Array) -> Array:
    """The joint command [..., joints] for an action: default + scale * clip(action, -1, 1), within the limits."""
    default, scale, lower, upper = (
        _like(action, [getattr(joint, name) for joint in contract.joints])
        for name in ("default", "scale", "lower", "upper")
    )
    return (default + scale * action.clip(-1.0, 1.0)).clip(lower, upper)


def limit_rate(contract: PolicyContract, previous: Array, command: Array) -> Array:
    """The command [..., joints], no further from the previous one than each joint can move in one tick.

    Position commands only: velocity and effort commands have no rate limit of their own. It is part of the
    trained system, not a patch on the robot: the simulation applies it too.
    """
    if contract.command_type != "position":
        return command
    reach = _like(command, [joint.velocity_limit / contract.control_rate for joint in contract.joints])
    return previous + (command - previous).clip(-reach, reach)


def _like(array: Array, values: list[float]) -> Array:
    """The values as an array of the same library, type and device."""
    if hasattr(array, "new_tensor"):
        # Straight onto a GPU, a copy would first wait for all the work that is queued there.
        return array.new_tensor(values, device="cpu").to(array.device, non_blocking=True)
    return array.dtype.type(values)
