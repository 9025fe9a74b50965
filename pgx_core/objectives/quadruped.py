"""A 12-joint quadruped of the Unitree Go2 class: trot, turn, stand, crouch, and carry.

Commands: `velocity` (forward) and `lateral` (to the left) in m/s, `turn` (to the left) in rad/s, all of the base in
its own frame, and the `height` of the base in m.
"""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pgx_core.objectives.objective import Command, Objective, Physics, Randomization, Reset, Reward, Robot, Suite
from pgx_core.objectives.rewards import action_rate, closeness, length, level, progress, upright
from pgx_core.objectives.state import State

LEGS = ("FL", "FR", "RL", "RR")
TORQUES = tuple(f"{leg}_{joint}_torque" for leg in LEGS for joint in ("hip", "thigh", "calf"))
TORQUE_SCALE = 10.0  # N m; standing takes 3 to 6
WALKING_HEIGHT = 0.29  # m, of the base
FOOT_RADIUS, CLEARANCE = 0.022, 0.08  # m
STEP = 0.3  # s
HIPS = (0.1, -0.1, 0.1, -0.1)  # rad, of the home pose

QUADRUPED = Robot(
    name="quadruped",
    mjcf=Path(__file__).parent / "quadruped.xml",
    control_rate=50.0,
    observation=("joint_positions", "joint_velocities", "projected_gravity", "angular_velocity", "last_action"),
    privileged=("linear_velocity", *(f"sensor:{leg}_contact" for leg in LEGS)),
    action_scale=0.5,
    velocity_limit=20.07,
    safe_state="damp",
    maximum_tilt=1.0,
)


def _planar_error(state: State, command: Command) -> Float[Tensor, "B"]:
    velocity = state.sensor("linear_velocity")
    forward, lateral = velocity[:, 0] - command["velocity"], velocity[:, 1] - command["lateral"]
    return torch.hypot(forward, lateral)


def _turn_error(state: State, command: Command) -> Float[Tensor, "B"]:
    return (state.sensor("angular_velocity")[:, 2] - command["turn"]).abs()


def _speed(command: Command) -> float:
    return float((command["velocity"] ** 2 + command["lateral"] ** 2) ** 0.5)


def walk(state: State, command: Command) -> Float[Tensor, "B"]:
    """Move with the commanded velocity in the plane."""
    return closeness(_planar_error(state, command), 0.1 + 0.5 * _speed(command))


def walked(state: State, command: Command) -> Float[Tensor, "B"]:
    """1 at the commanded velocity, 0 at rest, down to -1."""
    return progress(_planar_error(state, command), _speed(command))


def turn(state: State, command: Command) -> Float[Tensor, "B"]:
    """Turn on the spot at the commanded rate."""
    return closeness(_turn_error(state, command), 0.1 + 0.5 * abs(command["turn"]))


def turned(state: State, command: Command) -> Float[Tensor, "B"]:
    """1 at the commanded rate, 0 at rest, down to -1."""
    return progress(_turn_error(state, command), abs(command["turn"]))


def hold_height(state: State, command: Command) -> Float[Tensor, "B"]:
    """Stand still with the base at the commanded height."""
    rest = closeness(_planar_error(state, command), 0.3) * closeness(_turn_error(state, command), 0.5)
    return rest * closeness((state.qpos[:, 2] - command["height"]).abs(), 0.05)


def drift(state: State, command: Command) -> Float[Tensor, "B"]:
    """Leave the commanded velocity or turn rate: 0 to -1 each, halved."""
    planar, turning = closeness(_planar_error(state, command), 0.5), closeness(_turn_error(state, command), 0.5)
    return 0.5 * (planar + turning) - 1.0


def bounce(state: State, command: Command) -> Float[Tensor, "B"]:
    """Bob, roll or pitch: 0 to -1."""
    vertical = state.sensor("linear_velocity")[:, 2].abs()
    rocking = length(state.sensor("angular_velocity")[:, :2])
    return 0.5 * (closeness(vertical, 0.5) + closeness(rocking, 3.0)) - 1.0


def stoop(state: State, command: Command) -> Float[Tensor, "B"]:
    """Carry the base lower or higher than a walk does: 0 to -1."""
    return closeness((state.qpos[:, 2] - WALKING_HEIGHT).abs(), 0.08) - 1.0


def effort(state: State, command: Command) -> Float[Tensor, "B"]:
    """Mean squared torque of the joints, as a share of TORQUE_SCALE, negative and above -10."""
    torques = torch.cat([state.sensor(name) for name in TORQUES], 1)
    return -(torques / TORQUE_SCALE).square().mean(1)


def scuff(state: State, command: Command) -> Float[Tensor, "B"]:
    """Move feet near the ground: mean horizontal speed, up to 2 m/s, weighed from 1 on it to 0 at CLEARANCE."""
    loss = torch.zeros_like(state.time)
    for leg in LEGS:
        height = state.sensor(f"{leg}_position")[:, 2] - FOOT_RADIUS
        speed = length(state.sensor(f"{leg}_velocity")[:, :2])
        loss += speed.clip(max=2.0) * (1.0 - height / CLEARANCE).clip(0.0, 1.0)
    return -loss / len(LEGS)


def _underway(state: State, command: Command) -> Float[Tensor, "B"]:
    """0 at rest to 1 at the commanded motion. A gait asked of a robot that stands yet would make falling pay."""
    term = walked if _speed(command) > 0.0 else turned
    return term(state, command).clip(min=0.0).square()


def trot(state: State, command: Command) -> Float[Tensor, "B"]:
    """0 while one diagonal pair of feet bears and the other swings, else -1 times how far it is under way."""
    front_left, front_right, hind_left, hind_right = (state.sensor(f"{leg}_contact")[:, 0] > 1.0 for leg in LEGS)
    paired = (front_left == hind_right) & (front_right == hind_left) & (front_left != front_right)
    return (paired.float() - 1.0) * _underway(state, command)


def dawdle(state: State, command: Command) -> Float[Tensor, "B"]:
    """Keep a foot down or up for longer than STEP: 0, down to -1 where all are so for twice as long, once under way."""
    return -(state.touch_time.abs() / STEP - 1.0).clip(0.0, 1.0).mean(1) * _underway(state, command)


def splay(state: State, command: Command) -> Float[Tensor, "B"]:
    """Spread or cross the legs: 0 to -1."""
    hips = state.qpos[:, 7::3] - state.constant(*HIPS)
    return closeness(length(hips), 0.5) - 1.0


def pose(state: State, command: Command) -> Float[Tensor, "B"]:
    """Stray from the home pose: the mean squared action, negative."""
    return -state.action.square().mean(-1)


def fallen(state: State, command: Command) -> Bool[Tensor, "B"]:
    """The base leans more than 60 degrees, or lies."""
    return (level(state.sensor("orientation")) < -0.5) | (state.qpos[:, 2] < 0.13)


COSTS = (
    Reward(upright, 0.2), Reward(bounce, 0.1), Reward(effort, 0.04), Reward(action_rate, 0.04), Reward(pose, 0.08)
)  # fmt: skip
GAIT = (
    Reward(drift, 0.3),
    Reward(stoop, 0.1),
    Reward(splay, 0.1),
    Reward(scuff, 0.2),
    Reward(trot, 0.2),
    Reward(dawdle, 0.3),
)
RANDOMIZATION = Randomization(
    friction=(0.5, 1.25),  # of 0.8: wet tiles to rubber
    mass=(0.9, 1.15),
    actuator_strength=(0.85, 1.1),
    delay=(0, 3),  # at most 60 ms; a simulation that is played has none
    noise={"joint_positions": 0.01, "joint_velocities": 1.0, "angular_velocity": 0.2, "projected_gravity": 0.05},
    push=0.5,
    push_interval=4.0,
)
START = Reset(position_noise=0.04, velocity_noise=0.1)


def _walk(name: str, velocity: float, lateral: float = 0.0, physics: Physics | None = None) -> Objective:
    command = {"velocity": velocity, "lateral": lateral, "turn": 0.0}
    return Objective(name, (Reward(walk), *GAIT, *COSTS), command, walked, fallen, START, physics or Physics())


def _turn(name: str, rate: float) -> Objective:
    command = {"velocity": 0.0, "lateral": 0.0, "turn": rate}
    return Objective(name, (Reward(turn), *GAIT, *COSTS), command, turned, fallen, START)


def _stance(name: str, height: float) -> Objective:
    command = {"velocity": 0.0, "lateral": 0.0, "turn": 0.0, "height": height}
    return Objective(name, (Reward(hold_height), *COSTS), command, None, fallen, START)


SUITE = Suite(
    "quadruped",
    QUADRUPED,
    (
        _walk("forward_slow", 0.5),
        _walk("forward_fast", 1.2),
        _walk("backward", -0.5),
        _walk("left", 0.0, 0.4),
        _walk("right", 0.0, -0.4),
        _turn("turn_left", 0.8),
        _turn("turn_right", -0.8),
        _stance("stand", 0.29),
        _stance("crouch", 0.23),
        _stance("high_stance", 0.35),
        _walk("forward_laden", 0.5, physics=Physics(mass=1.2)),  # 3 kg more, spread over the body
        _walk("forward_weak", 0.5, physics=Physics(actuator_strength=0.75)),  # motors that are hot or worn
    ),
    episode_seconds=10.0,
    randomization=RANDOMIZATION,
    steps=25_000_000,
)
