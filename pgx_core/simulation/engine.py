"""The narrow interface of a physics engine, and a fake one."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pgx_core.simulation.robot_model import RobotModel

CPU = torch.device("cpu")


@runtime_checkable
class Engine(Protocol):
    """W worlds of one robot, stepped together. It knows neither rewards nor episodes."""

    robot: RobotModel
    device: torch.device  # of every tensor that comes and goes

    def reset(self, mask: Bool[Tensor, "W"], qpos: Float[Tensor, "W nq"], qvel: Float[Tensor, "W nv"]) -> None:
        """Put the worlds in the mask into given states, at time 0. Other rows are ignored, whatever they hold."""
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


@runtime_checkable
class LimitedEngine(Protocol):
    """An engine whose memory for contacts may run out."""

    advice: str  # the error to raise where it did

    def overflow(self) -> Bool[Tensor, ""]:
        """Whether contacts were left out of a step since this was last asked, told without waiting for the device."""
        ...


class FakeEngine:
    """Every commanded joint is a free unit mass pushed by its command: a stand-in for tests.

    It has the robot's sizes and contract, and none of its physics. Sensors read zero.
    """

    def __init__(self, robot: RobotModel, n_worlds: int, device: torch.device = CPU) -> None:
        self.robot = robot
        self.device = device
        self._joint_qpos, self._joint_qvel = (
            torch.as_tensor(where, dtype=torch.int64, device=device) for where in (robot.joint_qpos, robot.joint_qvel)
        )
        self._qpos = torch.tensor(robot.home_qpos, dtype=torch.float32, device=device).repeat(n_worlds, 1)
        self._qvel = torch.zeros(n_worlds, robot.model.nv, device=device)

    def reset(self, mask: Bool[Tensor, "W"], qpos: Float[Tensor, "W nq"], qvel: Float[Tensor, "W nv"]) -> None:
        """See Engine."""
        self._qpos = torch.where(mask[:, None], qpos.float(), self._qpos)
        self._qvel = torch.where(mask[:, None], qvel.float(), self._qvel)

    def step(self, command: Float[Tensor, "W joints"]) -> None:
        """See Engine."""
        dt = 1.0 / self.robot.contract.control_rate
        self._qvel[:, self._joint_qvel] += dt * command
        self._qpos[:, self._joint_qpos] += dt * self._qvel[:, self._joint_qvel]

    def read(self) -> tuple[Float[Tensor, "W nq"], Float[Tensor, "W nv"], Float[Tensor, "W sensors"]]:
        """See Engine."""
        sensordata = torch.zeros(len(self._qpos), self.robot.model.nsensordata, device=self.device)
        return self._qpos.clone(), self._qvel.clone(), sensordata

    def snapshot(self) -> dict[str, Tensor]:
        """See Engine."""
        return {"qpos": self._qpos.clone(), "qvel": self._qvel.clone()}

    def restore(self, snapshot: dict[str, Tensor]) -> None:
        """See Engine."""
        self._qpos.copy_(snapshot["qpos"])
        self._qvel.copy_(snapshot["qvel"])
