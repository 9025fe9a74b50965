"""CartPole with varied physics, as one batch: the equations of Gymnasium's CartPole-v1, in double precision.

EnvPool has the same environment in C++, but with fixed physics.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from pgx_core.environments.environment import Environment, Outcome, Space, Task

# pole_length: half of the pole, m; masses in kg; gravity in m/s^2; force in N.
STANDARD = {"pole_length": 0.5, "pole_mass": 0.1, "cart_mass": 1.0, "gravity": 9.8, "force": 10.0}
TIME_STEP = 0.02  # s
TRACK = 2.4  # m from the middle, where the episode ends
TILT = 12 * math.pi / 180  # rad, where the episode ends
START = 0.05  # every component starts within +-START


class CartPoleWorlds:
    """W carts. The state is (position, velocity, angle, angular velocity): m, m/s, rad, rad/s."""

    def __init__(self, tasks: Sequence[Task], seed: int) -> None:
        self.state = torch.zeros(len(tasks), 4, dtype=torch.float64)
        self._rng = np.random.default_rng(seed)
        physics = [[{**STANDARD, **task.parameters}[name] for name in STANDARD] for task in tasks]
        columns = torch.tensor(physics, dtype=torch.float64).unbind(1)
        self._length, self._pole, self._cart, self._gravity, self._force = columns

    def reset(self, worlds: Int[np.ndarray, "w"]) -> Float[Tensor, "w observations"]:
        """See EnvironmentWorlds."""
        self.state[worlds] = torch.from_numpy(self._rng.uniform(-START, START, (len(worlds), 4)))
        return self.state[worlds].float()

    def step(self, actions: Float[Tensor, "W actions"]) -> Outcome:
        """See EnvironmentWorlds. Choice 0 pushes to the left, 1 to the right."""
        force = torch.where(actions[:, 0] > 0.5, self._force, -self._force)
        self.state = self.state + TIME_STEP * self._rates(force)
        fallen = (self.state[:, 0].abs() > TRACK) | (self.state[:, 2].abs() > TILT)
        ones = torch.ones(len(self.state))
        return Outcome(self.state.float(), ones, ones.clone(), torch.zeros_like(fallen), fallen)

    def _rates(self, force: Float[Tensor, "W"]) -> Float[Tensor, "W 4"]:
        """Time derivative of the state (Florian 2007, eqs. 23 and 24, without friction)."""
        _, velocity, angle, turn = self.state.unbind(1)
        sine, cosine = angle.sin(), angle.cos()
        total, moment = self._cart + self._pole, self._pole * self._length
        push = (force + moment * turn.square() * sine) / total
        inertia = self._length * (4.0 / 3.0 - self._pole * cosine.square() / total)
        turning = (self._gravity * sine - cosine * push) / inertia
        return torch.stack([velocity, push - moment * turning * cosine / total, turn, turning], 1)

    def snapshot(self) -> dict[str, Any]:
        """See EnvironmentWorlds."""
        return {"state": self.state.clone(), "rng": self._rng.bit_generator.state}

    def restore(self, snapshot: dict[str, Any]) -> None:
        """See EnvironmentWorlds."""
        self.state = snapshot["state"].clone()
        self._rng.bit_generator.state = snapshot["rng"]


# The score of an episode is the share of the full 500 steps that the pole stays up.
CARTPOLE = Environment("cartpole", Space(4, 2, discrete=True), episode_steps=500, make=CartPoleWorlds)
