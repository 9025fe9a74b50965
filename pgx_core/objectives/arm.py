"""A 6-joint arm of the Universal Robots UR5e class: reach, follow, hold, and keep out of a zone.

The target comes as the sensor `target`, in the base's frame (m), as a camera or a task would give it; the robot's
controller reports the `tool`. In simulation four undriven joints move the target.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from pgx_core.objectives.objective import Command, Objective, Randomization, Reset, Reward, Robot, Suite
from pgx_core.objectives.rewards import action_rate, closeness, length, progress
from pgx_core.objectives.state import State

JOINTS = ("shoulder_pan", "shoulder_lift", "elbow", "wrist_1", "wrist_2", "wrist_3")
TORQUE_LIMITS = (150.0, 150.0, 150.0, 28.0, 28.0, 28.0)  # N m
REACH = 0.4  # m: a tool so far from its target scores 0

ARM = Robot(
    name="arm",
    mjcf=Path(__file__).parent / "arm.xml",
    control_rate=50.0,
    observation=("joint_positions", "joint_velocities", "last_action", "sensor:tool", "sensor:target"),
    action_scale=1.3,
    velocity_limit=3.14,
    velocity_margin=0.05,  # a joint at full speed overshoots its command by 3%
    safe_state="hold",
)


def _distance(state: State) -> Float[Tensor, "B"]:
    return length(state.sensor("tool") - state.sensor("target"))


def _speed(state: State) -> Float[Tensor, "B"]:
    return length(state.sensor("tool_velocity"))


def reach(state: State, command: Command) -> Float[Tensor, "B"]:
    """Bring the tool to the target: half for being about, half for being there to the centimetre."""
    distance = _distance(state)
    return 0.5 * (closeness(distance, 0.4) + closeness(distance, 0.03))


def reached(state: State, command: Command) -> Float[Tensor, "B"]:
    """1 on the target, 0 at REACH, down to -1."""
    return progress(_distance(state), REACH)


def rush(state: State, command: Command) -> Float[Tensor, "B"]:
    """Move faster than `speed` (m/s): 0 to -1."""
    return -((_speed(state) - command["speed"]) / command["speed"]).clip(0.0, 1.0)


def linger(state: State, command: Command) -> Float[Tensor, "B"]:
    """Be away from the target: 0 to -1."""
    return closeness(_distance(state), 0.1) - 1.0


def trespass(state: State, command: Command) -> Float[Tensor, "B"]:
    """Have the tool inside the sphere around (zone_x, zone_y, zone_z) of `radius`: 0 outside, -1 at its centre."""
    centre = state.constant(*(command[f"zone_{axis}"] for axis in "xyz"))
    depth = 1.0 - length(state.sensor("tool") - centre) / command["radius"]
    return -depth.clip(min=0.0)


def unrest(state: State, command: Command) -> Float[Tensor, "B"]:
    """Joint speed, mean squared and bounded: 0 to -1."""
    return -(state.qvel[:, : len(JOINTS)] / 3.14).square().mean(1).clip(max=1.0)


def effort(state: State, command: Command) -> Float[Tensor, "B"]:
    """Mean squared torque as a share of each joint's limit: 0 to -1."""
    torques = torch.cat([state.sensor(f"{joint}_torque") for joint in JOINTS], 1)
    return -(torques / state.constant(*TORQUE_LIMITS)).square().mean(1)


COSTS = (Reward(unrest, 0.05), Reward(effort, 0.05), Reward(action_rate, 0.02))
RANDOMIZATION = Randomization(
    mass=(0.9, 1.1),
    actuator_strength=(0.9, 1.1),
    delay=(0, 3),  # at most 60 ms; a simulation that is played has none
    noise={"joint_positions": 0.001, "joint_velocities": 0.02, "sensor:tool": 0.001, "sensor:target": 0.003},
    push=0.3,
    push_interval=3.0,
)
Box = tuple[tuple[float, float], tuple[float, float], tuple[float, float]]  # m, of x, y and z
AHEAD: Box = ((-0.6, -0.4), (-0.25, 0.0), (0.25, 0.55))


def _start(box: Box, turning: float = 0.0, radius: float = 0.1, velocity_noise: float = 0.05) -> Reset:
    """The target's axis somewhere in the box, the target on a circle of `radius` around it, turning (rad/s)."""
    positions = dict(zip(("target_x", "target_y", "target_z"), box, strict=True))
    velocities = dict.fromkeys(positions, (0.0, 0.0)) | {"target_turn": (turning, turning)}
    return Reset(0.05, velocity_noise, positions | {"target_turn": (-math.pi, math.pi)}, velocities)


def _reach(name: str, box: Box) -> Objective:
    return Objective(name, (Reward(reach), *COSTS), score=reached, reset=_start(box))


SUITE = Suite(
    "arm",
    ARM,
    (
        _reach("reach_left", ((-0.45, -0.25), (-0.6, -0.45), (0.25, 0.55))),
        _reach("reach_right", ((-0.5, -0.3), (0.15, 0.3), (0.25, 0.55))),
        _reach("reach_high", ((-0.5, -0.3), (-0.25, 0.0), (0.6, 0.75))),
        _reach("reach_low", ((-0.6, -0.45), (-0.25, 0.0), (0.1, 0.2))),
        Objective("circle", (Reward(reach), *COSTS), score=reached, reset=_start(AHEAD, turning=1.5)),
        Objective("hold_pushed", (Reward(reach), *COSTS), score=reached, reset=_start(AHEAD, velocity_noise=1.0)),
        Objective(
            "reach_slowly", (Reward(reach), Reward(rush, 0.4), *COSTS), {"speed": 0.3}, reached, None, _start(AHEAD)
        ),
        Objective("reach_fast", (Reward(reach), Reward(linger, 0.4)), score=reached, reset=_start(AHEAD)),
        Objective(
            "keep_out",
            (Reward(reach), Reward(trespass, 0.45), *COSTS),
            {"zone_x": -0.45, "zone_y": -0.2, "zone_z": 0.4, "radius": 0.12},
            reached,
            None,
            _start(((-0.5, -0.35), (-0.5, -0.4), (0.3, 0.5))),
        ),
    ),
    episode_seconds=6.0,
    randomization=RANDOMIZATION,
    steps=10_000_000,
)
