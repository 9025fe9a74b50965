"""Domain randomisation while worlds run: late commands, noisy readings, pushes, and starts amid another objective.

Physics is drawn in `draw_physics`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import mujoco
import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pgx_core.contract import PolicyContract
from pgx_core.errors import SuiteError
from pgx_core.objectives.objective import Physics, Randomization
from pgx_core.simulation.draws import Draws
from pgx_core.simulation.engine import Engine
from pgx_core.simulation.robot_model import RobotModel


def draw_physics(randomization: Randomization, rng: np.random.Generator) -> list[Physics]:
    """The variants of the robot's physics that the worlds of a simulation share."""
    return [
        Physics(
            friction=rng.uniform(*randomization.friction),
            mass=rng.uniform(*randomization.mass),
            actuator_strength=rng.uniform(*randomization.actuator_strength),
        )
        for _ in range(randomization.variants)
    ]


def combine(one: Physics, other: Physics) -> Physics:
    """Both differences from the model at once: the product of their factors."""
    return replace(one, **{name: factor * getattr(other, name) for name, factor in vars(one).items()})


class Disturbance:
    """What happens to the commands, the readings and the bodies of W worlds."""

    def __init__(
        self, config: Randomization, robot: RobotModel, n_worlds: int, draws: Draws, device: torch.device
    ) -> None:
        """Args: `draws` is its owner's stream."""
        self.config = config
        self._robot = robot
        self._draws = draws
        joints = robot.contract.action_size
        self._amplitude = _amplitude(config, robot.contract).to(device)
        self._ones = torch.ones(n_worlds, len(self._amplitude), dtype=draws.dtype, device=device)
        self._all = torch.ones(n_worlds, dtype=torch.bool, device=device)
        base_qpos, base_qvel = ([*range(2, 7)], [*range(6)]) if _floats(robot) else ([], [])  # where it is is nothing
        self._pushed, self._own_qpos, self._own_qvel = (
            torch.as_tensor(np.asarray(columns), dtype=torch.int64).to(device)
            for columns in (
                base_qvel[:2] or robot.joint_qvel,
                [*base_qpos, *robot.joint_qpos],
                [*base_qvel, *robot.joint_qvel],
            )
        )
        self._noise = torch.zeros(n_worlds, len(self._amplitude), device=device)
        self._delay = torch.zeros(n_worlds, dtype=torch.int64, device=device)
        self._issued = torch.zeros(config.delay[1] + 1, n_worlds, joints, device=device)  # the newest first

    def switch(self, worlds: Bool[Tensor, "W"]) -> tuple[Bool[Tensor, "W"], Int[Tensor, "W"]]:
        """Which of the new episodes go on from what another world is doing, and from which world's."""
        one = self._ones[:, 0]
        chosen = self._draws.uniform(worlds, 0.0 * one, one) < self.config.switched
        other = self._draws.integers(worlds, 0, len(worlds))
        return worlds & chosen & ~worlds[other], other

    def take_over(
        self,
        switched: Bool[Tensor, "W"],
        other: Int[Tensor, "W"],
        start: tuple[Float[Tensor, "W nq"], Float[Tensor, "W nv"]],
        engine: Engine,
    ) -> tuple[Float[Tensor, "W nq"], Float[Tensor, "W nv"]]:
        """`start` with the robot, not what else is there, moving as in the `other` world where `switched`."""
        rows = switched[:, None]
        now = engine.read()
        for state, own, present in zip(start, (self._own_qpos, self._own_qvel), now, strict=False):
            state[:, own] = torch.where(rows, present[other][:, own].to(state.dtype), state[:, own])
        return start

    def reset(self, worlds: Bool[Tensor, "W"], command: Float[Tensor, "W joints"]) -> None:
        """New episodes: a delay for each, and nothing but its `command` on its way."""
        lowest, highest = self.config.delay
        self._delay = torch.where(worlds, self._draws.integers(worlds, lowest, highest + 1), self._delay)
        self._issued = torch.where(worlds[:, None], command, self._issued)
        self._noise = torch.where(worlds[:, None], self._draw(worlds), self._noise)

    def arrive(self, command: Float[Tensor, "W joints"]) -> Float[Tensor, "W joints"]:
        """What reaches the joints now that `command` is issued; also draws the noise of the next readings."""
        self._issued = torch.cat([command[None], self._issued[:-1]])
        self._noise = self._draw(self._all)
        return self._issued.gather(0, self._delay[None, :, None].expand_as(command[None]))[0]

    def disturb(self, observations: Float[Tensor, "W seen"]) -> Float[Tensor, "W seen"]:
        """The readings with this step's noise; what the critic alone sees, at the end, stays exact."""
        size = len(self._amplitude)
        return torch.cat([observations[:, :size] + self._noise, observations[:, size:]], 1)

    def push(self, engine: Engine) -> None:
        """Push some worlds: the base, or else every joint, is faster or slower at once."""
        if self.config.push == 0.0:
            return
        chance = 1.0 / (self.config.push_interval * self._robot.contract.control_rate)
        one = self._ones[:, 0]
        worlds = self._draws.uniform(self._all, 0.0 * one, one) < chance
        qpos, qvel, _ = (tensor.to(self._draws.dtype) for tensor in engine.read())
        most = self.config.push * one[:, None].expand(-1, len(self._pushed))
        qvel[:, self._pushed] += self._draws.uniform(worlds, -most, most)
        engine.reset(worlds, qpos, qvel)

    def state_dict(self) -> dict[str, Any]:
        """Everything `load_state_dict` needs; the stream is its owner's."""
        return {"noise": self._noise.clone(), "delay": self._delay.clone(), "issued": self._issued.clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state, on whatever device it was saved."""
        self._noise, self._delay, self._issued = (
            state[name].to(self._noise.device, copy=True) for name in ("noise", "delay", "issued")
        )

    def _draw(self, worlds: Bool[Tensor, "W"]) -> Float[Tensor, "W seen"]:
        return self._draws.uniform(worlds, -self._ones, self._ones).float() * self._amplitude


def _floats(robot: RobotModel) -> bool:
    return int(robot.model.jnt_type[0]) == int(mujoco.mjtJoint.mjJNT_FREE)


def _amplitude(config: Randomization, contract: PolicyContract) -> Tensor:
    known = [term.source for term in contract.observation]
    unknown = [source for source in config.noise if source not in known]
    if unknown:
        raise SuiteError(f"randomization.noise: expected observed sources ({', '.join(known)}), got '{unknown[0]}'")
    return torch.cat([torch.full((term.size,), config.noise.get(term.source, 0.0)) for term in contract.observation])
