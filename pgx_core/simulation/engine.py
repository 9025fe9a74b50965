"""The narrow interface of a physics engine, and a fake one."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from pgx_core.simulation.robot_model import RobotModel


@runtime_checkable
class Engine(Protocol):
    """W worlds of one robot, stepped together. It knows neither rewards nor episodes."""

    robot: RobotModel

    def reset(
        self, worlds: Int[np.ndarray, "w"], qpos: Float[np.ndarray, "w nq"], qvel: Float[np.ndarray, "w nv"]
    ) -> None:
        """Put some worlds into given states, at time 0."""
        ...

    def step(self, command: Float[Tensor, "W joints"]) -> None:
        """Advance all worlds by one control step under constant joint commands."""
        ...

    def read(self) -> tuple[Float[Tensor, "W nq"], Float[Tensor, "W nv"], Float[Tensor, "W sensors"]]:
        """qpos, qvel and sensordata, float32, not aliased by later steps."""
        ...

    def snapshot(self) -> dict[str, Tensor]:
        """Everything `restore` needs to continue bit for bit."""
        ...

    def restore(self, snapshot: dict[str, Tensor]) -> None:
        """Continue from a snapshot."""
        ...


class FakeEngine:
    """Every commanded joint is a free unit mass pushed by its command: a stand-in for tests.

    It has the robot's sizes and contract, and none of its physics. Sensors read zero.
    """

    def __init__(self, robot: RobotModel, n_worlds: int) -> None:
        self.robot = robot
        self._qpos = torch.tensor(robot.home_qpos, dtype=torch.float32).repeat(n_worlds, 1)
        self._qvel = torch.zeros(n_worlds, robot.model.nv)

    def reset(
        self, worlds: Int[np.ndarray, "w"], qpos: Float[np.ndarray, "w nq"], qvel: Float[np.ndarray, "w nv"]
    ) -> None:
        """See Engine."""
        self._qpos[worlds] = torch.from_numpy(qpos).float()
        self._qvel[worlds] = torch.from_numpy(qvel).float()

    def step(self, command: Float[Tensor, "W joints"]) -> None:
        """See Engine."""
        dt = 1.0 / self.robot.contract.control_rate
        self._qvel[:, self.robot.joint_qvel] += dt * command
        self._qpos[:, self.robot.joint_qpos] += dt * self._qvel[:, self.robot.joint_qvel]

    def read(self) -> tuple[Float[Tensor, "W nq"], Float[Tensor, "W nv"], Float[Tensor, "W sensors"]]:
        """See Engine."""
        sensordata = torch.zeros(len(self._qpos), self.robot.model.nsensordata)
        return self._qpos.clone(), self._qvel.clone(), sensordata

    def snapshot(self) -> dict[str, Tensor]:
        """See Engine."""
        return {"qpos": self._qpos.clone(), "qvel": self._qvel.clone()}

    def restore(self, snapshot: dict[str, Tensor]) -> None:
        """See Engine."""
        self._qpos.copy_(snapshot["qpos"])
        self._qvel.copy_(snapshot["qvel"])
