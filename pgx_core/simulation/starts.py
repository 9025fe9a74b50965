"""The states that episodes start from."""

from __future__ import annotations

import mujoco
import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pgx_core.errors import SuiteError
from pgx_core.faults import scene_faults
from pgx_core.objectives.objective import Reset, Suite
from pgx_core.simulation.draws import Draws
from pgx_core.simulation.robot_model import RobotModel, scene_of


class Starts:
    """For each of W worlds: the home pose with its objective's noise, and the joints that have ranges of their own."""

    def __init__(
        self, robot: RobotModel, suite: Suite, objectives: Int[np.ndarray, "W"], draws: Draws, device: torch.device
    ) -> None:
        """Args: `objectives` is the objective of each world.

        Raises:
            SuiteError: an objective draws the start of a joint that the robot has not, or from no range.
        """
        self._nq, self._nv, self._draws = robot.model.nq, robot.model.nv, draws
        resets = [suite.objectives[i].reset for i in objectives]
        known = [_ranges(robot, objective.reset) for objective in suite.objectives]
        for objective in suite.objectives:
            for fault in scene_faults(scene_of(robot, objective.reset), robot.contract):
                raise SuiteError(f"objective '{objective.name}': {fault}")
        ranges = [(world, *entry) for world, i in enumerate(objectives) for entry in known[i]]

        def on_device(values: object, dtype: torch.dtype = draws.dtype) -> Tensor:
            return torch.tensor(values, dtype=dtype).to(device)

        self._home = on_device(robot.home_qpos)
        self._position = on_device([reset.position_noise for reset in resets])[:, None]
        self._velocity = on_device([reset.velocity_noise for reset in resets])[:, None]
        self._ones = on_device(1.0).repeat(len(resets), self._nq)
        self._world, self._column = (on_device([entry[k] for entry in ranges], torch.int64) for k in (0, 1))
        self._low, self._high = (on_device([entry[2][k] for entry in ranges]) for k in (0, 1))

    def draw(self, worlds: Bool[Tensor, "W"]) -> tuple[Float[Tensor, "W nq"], Float[Tensor, "W nv"]]:
        """qpos and qvel of new episodes in these worlds; other rows mean nothing."""
        qpos = self._home + self._position * self._draws.uniform(worlds, -self._ones, self._ones)
        qvel = self._velocity * self._draws.normal(worlds, self._nv)
        state = torch.cat([qpos, qvel], 1)
        state[self._world, self._column] = self._draws.uniform(worlds[self._world], self._low, self._high)
        return state[:, : self._nq], state[:, self._nq :]


def _ranges(robot: RobotModel, reset: Reset) -> list[tuple[int, tuple[float, float]]]:
    """(where in qpos and qvel together, from and to) of every joint whose start an objective draws by itself."""
    model, ranges = robot.model, []
    addresses = {"positions": model.jnt_qposadr, "velocities": model.nq + model.jnt_dofadr}
    movable = (int(mujoco.mjtJoint.mjJNT_HINGE), int(mujoco.mjtJoint.mjJNT_SLIDE))
    known = {model.joint(i).name: i for i in range(model.njnt) if model.jnt_type[i] in movable}
    for values, address in addresses.items():
        for joint, ends in getattr(reset, values).items():
            if joint not in known:
                raise SuiteError(f"reset.{values}: expected a hinge or slide ({', '.join(known)}), got '{joint}'")
            ranges.append((int(address[known[joint]]), ends))
    return ranges
