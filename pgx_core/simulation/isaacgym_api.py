"""Isaac Gym is imported late, and never where it is not asked for."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path

import mujoco

from pgx_core.errors import ConfigError
from pgx_core.simulation.engine import Engine
from pgx_core.simulation.robot_model import RobotModel


def load(robot: RobotModel, models: Sequence[mujoco.MjModel], mjcf: Path, device: str = "cpu") -> Engine:
    """The engine.

    Args:
        robot: what the worlds have in common.
        models: the model of each world.
        mjcf: the robot's file.
        device: cpu, cuda or cuda:N.

    Raises:
        ConfigError: Isaac Gym is not installed, or was asked for after torch was imported.
        SuiteError: the robot, a sensor or a world's physics cannot be had in Isaac Gym.
    """
    try:
        importlib.import_module("isaacgym.gymtorch")
    except ImportError as error:
        raise ConfigError(f"the backend 'isaacgym' cannot start: {_reason(error)}") from error
    from pgx_core.simulation.isaacgym_engine import IsaacGymEngine

    return IsaacGymEngine(robot, models, mjcf, device)


def _reason(error: ImportError) -> str:
    if error.name and error.name.partition(".")[0] == "isaacgym":
        return "Isaac Gym is not installed; it is NVIDIA's download at developer.nvidia.com/isaac-gym; see `pgx doctor`"
    if "torch" in str(error).lower():
        return "Isaac Gym must be imported before torch; put `import isaacgym` at the top of your program"
    return " ".join(str(error).split())
