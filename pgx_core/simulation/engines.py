"""The physics engine that a configuration asks for, with each world's own physics."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import mujoco
import numpy as np

from pgx_core.errors import require
from pgx_core.objectives.objective import Physics, Suite
from pgx_core.simulation import isaacgym_api
from pgx_core.simulation.disturbance import combine, draw_physics
from pgx_core.simulation.engine import Engine, FakeEngine
from pgx_core.simulation.mujoco_engine import MujocoEngine
from pgx_core.simulation.robot_model import RobotModel, vary_physics

Backend = Literal["mujoco", "fake", "warp", "isaacgym"]


@dataclass(frozen=True)
class SimulationConfig:
    """Which physics engine steps the worlds."""

    backend: Backend = "mujoco"
    device: str = "cpu"  # of the warp and isaacgym backends: cpu, cuda or cuda:N
    threads: int = 2  # CPU threads of the mujoco backend, >= 1
    contacts: int = 0  # the warp backend has memory for so many per world, on average; 0: enough for most robots

    def __post_init__(self) -> None:
        require(self.threads >= 1, "simulation.threads", "1 or more", self.threads)
        require(self.contacts >= 0, "simulation.contacts", "0 or more", self.contacts)
        known = re.fullmatch(r"cpu|cuda(:\d+)?", self.device) is not None
        require(known, "simulation.device", "cpu, cuda or cuda:N", self.device)
        if self.device != "cpu":
            expected = f"cpu with the {self.backend} backend; warp and isaacgym run on a GPU"
            require(self.backend in ("warp", "isaacgym"), "simulation.device", expected, self.device)

    @property
    def resident(self) -> bool:
        """Worlds live on a device: chance too comes from there, and faults wait for `check`."""
        return self.backend == "warp" or self.device != "cpu"


def make_engine(
    suite: Suite, robot: RobotModel, objectives: np.ndarray, config: SimulationConfig, seed: int = 0
) -> Engine:
    """The physics engine asked for, with each world's own physics; `seed` decides those of a randomised suite."""
    if config.backend == "fake":
        return FakeEngine(robot, len(objectives))
    models = world_models(suite, robot, objectives, seed)
    if config.backend == "warp":
        from pgx_core.simulation.warp_engine import WarpEngine, open_device  # an extra: not everyone has it

        return WarpEngine(robot, models, open_device(config.device), config.contacts)
    if config.backend == "isaacgym":
        return isaacgym_api.load(robot, models, suite.robot.mjcf, config.device)
    return MujocoEngine(robot, models, config.threads)


def world_models(suite: Suite, robot: RobotModel, objectives: np.ndarray, seed: int) -> list[mujoco.MjModel]:
    """The model of each world. Worlds of equal physics share one."""
    drawn = draw_physics(suite.randomization, np.random.default_rng(seed)) if suite.randomization else [Physics()]
    varied = {
        (i, k): vary_physics(robot.model, combine(objective.physics, physics))
        for i, objective in enumerate(suite.objectives)
        for k, physics in enumerate(drawn[: int((objectives == i).sum())])
    }
    turns = [int((objectives[:world] == i).sum()) % len(drawn) for world, i in enumerate(objectives)]
    return [varied[i, k] for i, k in zip(objectives, turns, strict=True)]
