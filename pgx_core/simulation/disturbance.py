"""Domain randomisation while worlds run: late commands, noisy readings, pushes. Physics is drawn in `draw_physics`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import mujoco
import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from pgx_core.contract import PolicyContract
from pgx_core.errors import SuiteError
from pgx_core.objectives.objective import Physics, Randomization
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
    """What happens to the commands, the readings and the bodies of W worlds; drawn from `rng`, its owner's."""

    def __init__(self, config: Randomization, robot: RobotModel, n_worlds: int, rng: np.random.Generator) -> None:
        self.config = config
        self._robot = robot
        self._rng = rng
        joints = robot.contract.action_size
        self._amplitude = _amplitude(config, robot.contract)
        self._noise = torch.zeros(n_worlds, len(self._amplitude))
        self._delay = torch.zeros(n_worlds, dtype=torch.int64)
        self._issued = torch.zeros(config.delay[1] + 1, n_worlds, joints)  # the newest first

    def reset(self, worlds: Int[np.ndarray, "w"], command: Float[Tensor, "w joints"]) -> None:
        """New episodes: a delay for each, and nothing but `command` on its way."""
        lowest, highest = self.config.delay
        self._delay[worlds] = torch.from_numpy(self._rng.integers(lowest, highest + 1, len(worlds)))
        self._issued[:, worlds] = command
        self._noise[worlds] = self._draw(len(worlds))

    def arrive(self, command: Float[Tensor, "W joints"]) -> Float[Tensor, "W joints"]:
        """What reaches the joints now that `command` is issued; also draws the noise of the next readings."""
        self._issued = torch.cat([command[None], self._issued[:-1]])
        self._noise = self._draw(len(command))
        return self._issued[self._delay, torch.arange(len(command))]

    def disturb(self, observations: Float[Tensor, "W seen"]) -> Float[Tensor, "W seen"]:
        """The readings with this step's noise; what the critic alone sees, at the end, stays exact."""
        size = len(self._amplitude)
        return torch.cat([observations[:, :size] + self._noise, observations[:, size:]], 1)

    def push(self, engine: Engine) -> None:
        """Push some worlds: the base, or else every joint, is faster or slower at once."""
        if self.config.push == 0.0:
            return
        chance = 1.0 / (self.config.push_interval * self._robot.contract.control_rate)
        worlds = np.flatnonzero(self._rng.random(len(self._delay)) < chance)
        if not len(worlds):
            return
        qpos, qvel, _ = (tensor[worlds].double().numpy() for tensor in engine.read())
        dofs = [0, 1] if _floats(self._robot) else self._robot.joint_qvel
        qvel[:, dofs] += self._rng.uniform(-self.config.push, self.config.push, (len(worlds), len(dofs)))
        engine.reset(worlds, qpos, qvel)

    def state_dict(self) -> dict[str, Any]:
        """Everything `load_state_dict` needs; the generator is its owner's."""
        return {"noise": self._noise.clone(), "delay": self._delay.clone(), "issued": self._issued.clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state."""
        self._noise, self._delay, self._issued = (state[name].clone() for name in ("noise", "delay", "issued"))

    def _draw(self, n: int) -> Tensor:
        uniform = self._rng.uniform(-1.0, 1.0, (n, len(self._amplitude)))
        return torch.from_numpy(uniform).float() * self._amplitude


def _floats(robot: RobotModel) -> bool:
    return int(robot.model.jnt_type[0]) == int(mujoco.mjtJoint.mjJNT_FREE)


def _amplitude(config: Randomization, contract: PolicyContract) -> Tensor:
    known = [term.source for term in contract.observation]
    unknown = [source for source in config.noise if source not in known]
    if unknown:
        raise SuiteError(f"randomization.noise: expected observed sources ({', '.join(known)}), got '{unknown[0]}'")
    return torch.cat([torch.full((term.size,), config.noise.get(term.source, 0.0)) for term in contract.observation])
