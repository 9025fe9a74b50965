"""MuJoCo on CPU threads: every world steps in C++ through `mujoco.rollout`."""

from __future__ import annotations

import mujoco
import mujoco.rollout
import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pgx_core.simulation.engine import CPU
from pgx_core.simulation.robot_model import RobotModel

FULL = mujoco.mjtState.mjSTATE_FULLPHYSICS


class MujocoEngine:
    """W worlds, each with its own model (all of one size), on a pool of threads.

    No warm start is kept between control steps, so the state array is all there is to save.
    """

    def __init__(self, robot: RobotModel, models: list[mujoco.MjModel], threads: int = 2) -> None:
        self.robot = robot
        self.device = CPU
        self._models = models
        for model in models:
            # MuJoCo's own answer to NaN is to jump to the reference pose without a word.
            model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET
        self._data = [mujoco.MjData(robot.model) for _ in range(threads)]
        self._pool = mujoco.rollout.Rollout(nthread=threads)
        n, substeps = len(models), robot.substeps
        self._state = np.zeros((n, mujoco.mj_stateSize(robot.model, FULL)))
        self._control = np.zeros((n, substeps, robot.model.nu))
        self._states = np.zeros((n, substeps, self._state.shape[1]))
        self._sensors = np.zeros((n, substeps, robot.model.nsensordata))
        self._sensordata = np.zeros((n, robot.model.nsensordata))

    def reset(self, mask: Bool[Tensor, "W"], qpos: Float[Tensor, "W nq"], qvel: Float[Tensor, "W nv"]) -> None:
        """See Engine."""
        data, positions, velocities = self._data[0], qpos.numpy(), qvel.numpy()
        for world in np.flatnonzero(mask.numpy()):
            model = self._models[world]
            mujoco.mj_resetData(model, data)
            data.qpos[:], data.qvel[:] = positions[world], velocities[world]
            mujoco.mj_normalizeQuat(model, data.qpos)
            mujoco.mj_forward(model, data)
            mujoco.mj_getState(model, data, self._state[world], FULL)
            self._sensordata[world] = data.sensordata

    def step(self, command: Float[Tensor, "W joints"]) -> None:
        """See Engine."""
        self._control[:] = command.numpy()[:, None]
        self._pool.rollout(
            self._models,
            self._data,
            self._state,
            self._control,
            nstep=self.robot.substeps,
            state=self._states,
            sensordata=self._sensors,
            skip_checks=True,  # they look at every world in Python
        )
        self._state[:] = self._states[:, -1]
        self._sensordata[:] = self._sensors[:, -1]

    def read(self) -> tuple[Float[Tensor, "W nq"], Float[Tensor, "W nv"], Float[Tensor, "W sensors"]]:
        """See Engine. The state is (time, qpos, qvel, ...)."""
        nq, nv = self.robot.model.nq, self.robot.model.nv
        state = torch.from_numpy(self._state).float()
        return state[:, 1 : 1 + nq], state[:, 1 + nq : 1 + nq + nv], torch.from_numpy(self._sensordata).float()

    def trace(
        self,
    ) -> tuple[Float[np.ndarray, "W S nq"], Float[np.ndarray, "W S nv"], Float[np.ndarray, "W S sensors"]]:
        """qpos, qvel and sensordata after each physics step of the last control step; overwritten by the next."""
        nq, nv = self.robot.model.nq, self.robot.model.nv
        return self._states[..., 1 : 1 + nq], self._states[..., 1 + nq : 1 + nq + nv], self._sensors

    def snapshot(self) -> dict[str, Tensor]:
        """See Engine."""
        return {
            "state": torch.from_numpy(self._state.copy()),
            "sensordata": torch.from_numpy(self._sensordata.copy()),
        }

    def restore(self, snapshot: dict[str, Tensor]) -> None:
        """See Engine."""
        self._state[:] = snapshot["state"].numpy()
        self._sensordata[:] = snapshot["sensordata"].numpy()
