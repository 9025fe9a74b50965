"""Isaac Gym's tensor API as an engine: PhysX steps W worlds, on its CPU or GPU pipeline.

Import it through `isaacgym_api.load` only: it imports `isaacgym`, which refuses to come after torch.

Written against NVIDIA's type stubs (Preview 4), and never run on the real thing. Where the stubs say nothing it follows
PhysX: velocities of bodies are those of their centres of mass, quaternions have w last. `isaacgym_check` compares it
with MuJoCo on a machine that has both.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from pathlib import Path

import mujoco
import numpy as np
import torch
from isaacgym import gymtorch
from jaxtyping import Bool, Float
from torch import Tensor

from pgx_core.simulation.isaacgym_physics import EFFORT, POSITION, VELOCITY, drives, target_scale
from pgx_core.simulation.isaacgym_sensors import BodyStates, conjugate, rotate, sensor_readings
from pgx_core.simulation.isaacgym_world import FREE, build_world
from pgx_core.simulation.robot_model import RobotModel

W_LAST, W_FIRST = [1, 2, 3, 0], [3, 0, 1, 2]


class IsaacGymEngine:
    """W worlds, each an actor of one simulation.

    Isaac takes new states only right before it steps, and of several calls the last alone counts. So `reset` keeps
    them, and `step` hands them over at once.
    """

    def __init__(
        self, robot: RobotModel, models: Sequence[mujoco.MjModel], mjcf: Path, device: torch.device | str = "cpu"
    ) -> None:
        """Args: `models` are those of the worlds; `mjcf` is the robot's file, its URDF twin may lie beside it."""
        self.robot = robot
        self.device = torch.device(device)
        self._models = list(models)
        self._data = mujoco.MjData(robot.model)
        self._world = build_world(robot, models, mjcf, self.device)
        weakref.finalize(self, self._world.gym.destroy_sim, self._world.sim)  # Isaac Gym has room for few
        self._readings = sensor_readings(robot.model, self._world.bodies)
        self._floats = robot.model.jnt_type[0] == FREE
        n, model = len(models), robot.model
        self._actors = self._indices(self._world.actors).int()
        self._origins = self._floats32(self._world.origins)
        self._dofs = self._indices(self._world.dofs)
        self._dof_qpos = self._indices(model.jnt_qposadr[self._world.joints])
        self._dof_qvel = self._indices(model.jnt_dofadr[self._world.joints])
        self._joint_qpos, self._joint_qvel = self._indices(robot.joint_qpos), self._indices(robot.joint_qvel)
        self._driven = self._indices(
            [list(robot.model.jnt_dofadr[self._world.joints]).index(a) for a in robot.joint_qvel]
        )
        self._centre = self._floats32(model.body_ipos[1]).expand(n, 3)
        self._modes = {int(mode) for mode in drives(model).driveMode[robot.joint_qvel]}
        self._scale = self._floats32(np.stack([target_scale(model) for model in models]))
        self._gain = self._floats32(np.stack([model.actuator_gainprm[:, 0] for model in models]))
        self._bias = self._floats32(np.stack([model.actuator_biasprm[:, 1:3] for model in models]))
        limits = [np.where(m.actuator_forcelimited[:, None], m.actuator_forcerange, [-np.inf, np.inf]) for m in models]
        self._limit = self._floats32(np.stack(limits))
        bounds = np.where(model.actuator_ctrllimited[:, None], model.actuator_ctrlrange, [-np.inf, np.inf])
        self._bounds = self._floats32(bounds)
        self._acquire(n)
        self._qpos = self._floats32(robot.home_qpos).repeat(n, 1)
        self._qvel = torch.zeros(n, model.nv, device=self.device)
        self._sensordata = torch.zeros(n, model.nsensordata, device=self.device)
        self._pending = torch.zeros(n, dtype=torch.bool, device=self.device)
        self._next_roots, self._next_dofs = torch.zeros_like(self._roots), torch.zeros_like(self._dof_states)
        self.reset(~self._pending, self._qpos, self._qvel)

    def reset(self, mask: Bool[Tensor, "W"], qpos: Float[Tensor, "W nq"], qvel: Float[Tensor, "W nv"]) -> None:
        """See Engine. Isaac knows where bodies are only after a step, so MuJoCo gives the sensors of a start."""
        qpos, qvel = qpos.float().clone(), qvel.float()
        if self._floats:
            qpos[:, 3:7] = torch.nn.functional.normalize(qpos[:, 3:7], dim=1)
        self._qpos = torch.where(mask[:, None], qpos, self._qpos)
        self._qvel = torch.where(mask[:, None], qvel, self._qvel)
        rows, self._pending = mask[:, None], self._pending | mask
        self._next_dofs = torch.where(rows[..., None], self._to_dofs(self._qpos, self._qvel), self._next_dofs)
        if self._floats:
            self._next_roots = torch.where(rows, self._to_roots(self._qpos[:, :7], self._qvel[:, :6]), self._next_roots)
        worlds = mask.nonzero()[:, 0]
        if len(worlds):
            self._sensordata[worlds] = self._start_sensors(worlds)

    def step(self, command: Float[Tensor, "W joints"]) -> None:
        """See Engine."""
        gym, sim = self._world.gym, self._world.sim
        command = command.clip(self._bounds[:, 0], self._bounds[:, 1])
        self._hand_over()
        for _ in range(self.robot.substeps):
            self._drive(command)
            gym.simulate(sim)
            if self.device.type == "cpu":
                gym.fetch_results(sim, True)
            gym.refresh_dof_state_tensor(sim)
        gym.refresh_actor_root_state_tensor(sim)
        gym.refresh_rigid_body_state_tensor(sim)
        gym.refresh_net_contact_force_tensor(sim)
        self._take(command)

    def read(self) -> tuple[Float[Tensor, "W nq"], Float[Tensor, "W nv"], Float[Tensor, "W sensors"]]:
        """See Engine."""
        return self._qpos.clone(), self._qvel.clone(), self._sensordata.clone()

    def snapshot(self) -> dict[str, Tensor]:
        """See Engine. Isaac's own states are in it, since those of MuJoCo that are made of them round differently.

        What PhysX remembers of contacts is not to be had: there, the last digits may differ after `restore`.
        """
        held = self._pending[:, None]
        return {
            "qpos": self._qpos.clone(),
            "qvel": self._qvel.clone(),
            "sensordata": self._sensordata.clone(),
            "roots": torch.where(held, self._next_roots, self._roots),
            "dofs": torch.where(held[..., None], self._next_dofs, self._dof_states),
        }

    def restore(self, snapshot: dict[str, Tensor]) -> None:
        """See Engine."""
        self._qpos, self._qvel, self._sensordata, self._next_roots, self._next_dofs = (
            snapshot[name].to(self.device).clone() for name in ("qpos", "qvel", "sensordata", "roots", "dofs")
        )
        self._pending = torch.ones_like(self._pending)

    def _acquire(self, n: int) -> None:
        gym, sim = self._world.gym, self._world.sim
        self._roots = gymtorch.wrap_tensor(gym.acquire_actor_root_state_tensor(sim)).view(n, 13)
        self._dof_states = gymtorch.wrap_tensor(gym.acquire_dof_state_tensor(sim)).view(n, -1, 2)
        self._bodies = gymtorch.wrap_tensor(gym.acquire_rigid_body_state_tensor(sim)).view(n, -1, 13)
        self._contacts = gymtorch.wrap_tensor(gym.acquire_net_contact_force_tensor(sim)).view(n, -1, 3)

    def _hand_over(self) -> None:
        """Put the worlds that were reset into their states."""
        worlds = self._pending.nonzero()[:, 0]
        if not len(worlds):
            return
        gym, sim, count = self._world.gym, self._world.sim, len(worlds)
        indices = gymtorch.unwrap_tensor(self._actors[worlds].contiguous())
        gym.set_dof_state_tensor_indexed(sim, gymtorch.unwrap_tensor(self._next_dofs.view(-1, 2)), indices, count)
        if self._floats:
            gym.set_actor_root_state_tensor_indexed(sim, gymtorch.unwrap_tensor(self._next_roots), indices, count)
        self._dof_states[worlds] = self._next_dofs[worlds]
        self._pending = torch.zeros_like(self._pending)

    def _drive(self, command: Tensor) -> None:
        """Hand over the targets of the coming physics step; efforts hold for one step only."""
        gym, sim = self._world.gym, self._world.sim
        targets = torch.zeros_like(self._dof_states[:, :, 0])
        effort = self._effort(command) if EFFORT in self._modes else None
        targets[:, self._dofs[self._driven]] = self._scale * command if effort is None else effort
        tensor = gymtorch.unwrap_tensor(targets.view(-1))
        if POSITION in self._modes:
            gym.set_dof_position_target_tensor(sim, tensor)
        if VELOCITY in self._modes:
            gym.set_dof_velocity_target_tensor(sim, tensor)
        if EFFORT in self._modes:
            gym.set_dof_actuation_force_tensor(sim, tensor)

    def _effort(self, command: Tensor) -> Tensor:
        """MuJoCo's actuator force, from Isaac's latest joint states."""
        joints = self._dof_states[:, self._dofs[self._driven]]
        force: Tensor = self._gain * command + (self._bias * joints).sum(-1)
        return force.clip(self._limit[..., 0], self._limit[..., 1])

    def _take(self, command: Tensor) -> None:
        """Turn Isaac's tensors into MuJoCo's."""
        self._qpos[:, self._dof_qpos] = self._dof_states[:, self._dofs, 0]
        self._qvel[:, self._dof_qvel] = self._dof_states[:, self._dofs, 1]
        if self._floats:
            self._qpos[:, :7], self._qvel[:, :6] = self._from_roots(self._roots)
        if self._readings:
            states = BodyStates(
                position=self._bodies[..., :3] - self._origins[:, None],
                quaternion=self._bodies[..., 3:7][..., W_FIRST],
                velocity=self._bodies[..., 7:10],
                angular=self._bodies[..., 10:],
                contact=self._contacts,
                effort=self._effort(command),
            )
            self._sensordata = torch.cat([read(states) for read in self._readings], 1)

    def _to_dofs(self, qpos: Tensor, qvel: Tensor) -> Tensor:
        """MuJoCo's hinges and slides as Isaac's joint states."""
        states = torch.zeros_like(self._dof_states)
        states[:, self._dofs, 0], states[:, self._dofs, 1] = qpos[:, self._dof_qpos], qvel[:, self._dof_qvel]
        return states

    def _to_roots(self, pose: Tensor, velocity: Tensor) -> Tensor:
        """MuJoCo's free joint as Isaac's root states."""
        angular = rotate(pose[:, 3:], velocity[:, 3:])
        linear = velocity[:, :3] + torch.linalg.cross(angular, rotate(pose[:, 3:], self._centre))
        return torch.cat([pose[:, :3] + self._origins, pose[:, 3:][:, W_LAST], linear, angular], 1)

    def _from_roots(self, roots: Tensor) -> tuple[Tensor, Tensor]:
        """Isaac's root states as MuJoCo's free joint: world's linear velocity of the frame, the body's own angular."""
        quaternion, angular = roots[:, 3:7][:, W_FIRST], roots[:, 10:]
        linear = roots[:, 7:10] - torch.linalg.cross(angular, rotate(quaternion, self._centre))
        pose = torch.cat([roots[:, :3] - self._origins, quaternion], 1)
        return pose, torch.cat([linear, rotate(conjugate(quaternion), angular)], 1)

    def _start_sensors(self, worlds: Tensor) -> Tensor:
        data, rows = self._data, []
        qpos, qvel = self._qpos[worlds].cpu().double().numpy(), self._qvel[worlds].cpu().double().numpy()
        for row, world in enumerate(worlds.tolist()):
            mujoco.mj_resetData(self._models[world], data)
            data.qpos[:], data.qvel[:] = qpos[row], qvel[row]
            mujoco.mj_forward(self._models[world], data)
            rows.append(np.array(data.sensordata))
        return self._floats32(np.stack(rows))

    def _indices(self, values: np.ndarray | Sequence[int]) -> Tensor:
        return torch.as_tensor(np.array(values), dtype=torch.int64, device=self.device)

    def _floats32(self, values: np.ndarray) -> Tensor:
        return torch.as_tensor(np.array(values), dtype=torch.float32, device=self.device)
