"""Define a robot, its objectives and a suite, and step its worlds. Everything is a frozen value or a pure function."""

from __future__ import annotations

import numpy as np
import torch

from pgx_core.objectives.objective import Command, Objective, Physics, Reward, Robot, Suite
from pgx_core.objectives.rewards import action_rate, track
from pgx_core.objectives.state import State
from pgx_core.objectives.suites import FOLDER
from pgx_core.simulation.simulation import Simulation

robot = Robot(
    name="cart",
    mjcf=FOLDER / "slider.xml",  # any MJCF whose actuators each drive one joint
    control_rate=25.0,  # Hz
    observation=("joint_velocities", "last_action"),
    action_scale=1.0,
)


def slide(state: State, command: Command) -> torch.Tensor:
    """A reward term: one value per world, here 1 at the commanded velocity and 0 at rest."""
    return track(state.qvel[:, 0], command["velocity"])


def chase(name: str, velocity: float, physics: Physics = Physics()) -> Objective:  # noqa: B008 (frozen)
    """Objectives share the robot. Reward terms, command, physics, reset and termination may differ."""
    return Objective(name, (Reward(slide), Reward(action_rate, 0.02)), {"velocity": velocity}, physics=physics)


weak = Physics(actuator_strength=0.2)  # a factor on the model's own
suite = Suite("carts", robot, (chase("right", 1.0), chase("left", -1.0), chase("weak", 1.0, weak)))


def main() -> None:
    """Push every cart to the right for one second."""
    worlds = np.repeat(np.arange(len(suite.objectives)), 4)  # four worlds for each objective
    simulation = Simulation(suite, worlds, seed=0)
    observations = simulation.reset()
    for _ in range(25):
        step = simulation.step(torch.full((len(worlds), 1), 0.3))  # actions lie in [-1, 1]
        observations = step.observations
    terms = ", ".join(f"{term.source} ({term.size})" for term in simulation.robot.contract.observation)
    print(f"{len(worlds)} worlds, each observes {terms}")
    for index, name in enumerate(suite.names):
        own = torch.from_numpy(worlds == index)
        print(f"{name:6} velocity {observations[own, 0].mean():5.2f} m/s   score {step.scores[own].mean():5.2f}")


if __name__ == "__main__":
    main()
