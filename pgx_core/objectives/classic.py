"""Small robots of the field's benchmarks: a hopper and a walker in worlds of varied physics, and a reacher on a ring.

Commands: `velocity` along x in m/s; the goal's `x` and `y` in m.
"""

from __future__ import annotations

import math
from pathlib import Path

from jaxtyping import Bool, Float
from torch import Tensor

from pgx_core.objectives.objective import Command, Objective, Physics, Reset, Reward, Robot, Suite
from pgx_core.objectives.rewards import action_rate, closeness, length, level, progress, upright
from pgx_core.objectives.state import State

FOLDER = Path(__file__).parent
RING = 0.17  # m, of the reacher's goals; its arm is 0.24 m long
GOALS = 8
BASE = (
    "joint_positions",
    "joint_velocities",
    "projected_gravity",
    "angular_velocity",
    "linear_velocity",
    "last_action",
)


def _legged(name: str) -> Robot:
    return Robot(name, FOLDER / f"{name}.xml", 50.0, BASE, action_scale=0.7, safe_state="damp", maximum_tilt=1.0)


HOPPER, WALKER = _legged("hopper"), _legged("walker")
REACHER = Robot(
    "reacher",
    FOLDER / "reacher.xml",
    control_rate=25.0,
    observation=("joint_positions", "joint_velocities", "sensor:tool", "last_action"),
    action_scale=3.2,
    velocity_limit=12.0,
)


def _speed_error(state: State, command: Command) -> Float[Tensor, "B"]:
    return (state.sensor("com_velocity")[:, 0] - command["velocity"]).abs()


def advance(state: State, command: Command) -> Float[Tensor, "B"]:
    """Move with the commanded velocity. Positive also at rest, or falling would end what only costs."""
    return closeness(_speed_error(state, command), abs(command["velocity"]))


def advanced(state: State, command: Command) -> Float[Tensor, "B"]:
    """1 at the commanded velocity, 0 at rest, down to -1."""
    return progress(_speed_error(state, command), abs(command["velocity"]))


def fallen(state: State, command: Command) -> Bool[Tensor, "B"]:
    """The torso leans more than 60 degrees, or hangs 0.3 m lower than at the start."""
    return (level(state.sensor("orientation")) < -0.5) | (state.qpos[:, 1] < -0.3)


def reach(state: State, command: Command) -> Float[Tensor, "B"]:
    """Be with the tool at the goal: half for coming near, since from afar a narrow reward cannot be felt."""
    goal = state.constant(command["x"], command["y"])
    distance = length(state.sensor("tool")[:, :2] - goal)
    return 0.5 * (closeness(distance, 0.3) + closeness(distance, 0.05))


PHYSICS = {
    "nominal": Physics(),
    "moon": Physics(gravity=0.5),
    "press": Physics(gravity=1.3),
    "light": Physics(mass=0.7),
    "heavy": Physics(mass=1.3),
    "ice": Physics(friction=0.3),
    "weak": Physics(actuator_strength=0.75),
    "strong": Physics(actuator_strength=1.3),
}


def _varied(robot: Robot, velocity: float, steps: int) -> Suite:
    """One task in every world: what differs can be felt, but is told by the id alone."""
    rewards = (Reward(advance), Reward(upright, 0.2), Reward(action_rate, 0.02))
    objectives = tuple(
        Objective(name, rewards, {"velocity": velocity}, advanced, fallen, physics=physics)
        for name, physics in PHYSICS.items()
    )
    return Suite(robot.name, robot, objectives, steps=steps)


def _goal(index: int) -> Objective:
    angle = 2.0 * math.pi * index / GOALS
    command = {"x": RING * math.cos(angle), "y": RING * math.sin(angle)}
    reset = Reset(positions={"shoulder": (-3.0, 3.0), "elbow": (-2.4, 2.4)})
    return Objective(
        f"goal_{round(math.degrees(angle))}", (Reward(reach), Reward(action_rate, 0.02)), command, reset=reset
    )


HOPPERS = _varied(HOPPER, 1.0, 600_000)
WALKERS = _varied(WALKER, 1.2, 1_000_000)
RINGS = Suite("reacher", REACHER, tuple(map(_goal, range(GOALS))), episode_seconds=4.0, steps=400_000)
