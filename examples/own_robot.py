"""A robot and objectives of your own: an MJCF and this one file. You never touch the library.

pgx train examples/own_robot.py:suite --out runs/crawler
pgx play runs/crawler/bundle
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from pgx_core.objectives.objective import Command, Objective, Reward, Robot, Suite
from pgx_core.objectives.rewards import action_rate, level, track
from pgx_core.objectives.state import State

robot = Robot(
    name="crawler",
    mjcf=Path(__file__).parent / "crawler.xml",
    control_rate=25.0,  # Hz; the physics rate, here 100 Hz, must be a whole multiple of it
    observation=(
        "joint_positions",
        "joint_velocities",
        "projected_gravity",
        "angular_velocity",
        "linear_velocity",
        "last_action",
    ),
    action_scale=1.0,  # rad: an action of 1 moves a joint's command so far from the home pose
)


def crawl(state: State, command: Command) -> Tensor:
    """One value per world: qvel is [worlds, nv] in MuJoCo's order, here the base's velocity along x first."""
    return track(state.qvel[:, 0], command["velocity"])


def press_up(state: State, command: Command) -> Tensor:
    """Lift the base to `height` metres: 1 there, 0 on the ground, where its centre is at 0.04 m."""
    ground = 0.04
    return ((state.qpos[:, 2] - ground) / (command["height"] - ground)).clip(0.0, 1.0)


def upright(state: State, command: Command) -> Tensor:
    """0 upright, -2 upside down; `orientation` is a sensor of the MJCF."""
    return level(state.sensor("orientation"))


MANNERS = (Reward(upright, 0.2), Reward(action_rate, 0.02))  # after the task: the first reward is the score


def go(name: str, velocity: float) -> Objective:
    """Crawl at a velocity in m/s."""
    return Objective(name, (Reward(crawl), *MANNERS), {"velocity": velocity})


suite = Suite(
    name="crawler",
    robot=robot,
    objectives=(
        go("ahead", 0.3),
        go("ahead_fast", 0.6),
        go("back", -0.3),
        go("back_fast", -0.6),
        Objective("press_up", (Reward(press_up), *MANNERS), {"height": 0.12}),
    ),
    episode_seconds=6.0,
    steps=200_000,
)
