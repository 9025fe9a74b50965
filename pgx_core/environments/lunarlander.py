"""LunarLander with varied physics: Gymnasium's environments, one after the other.

EnvPool has the same environment in C++, but with fixed gravity and no wind.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from pgx_core.environments.environment import Environment, Outcome, Space, Task, world_seed
from pgx_core.errors import SuiteError

EPISODE_STEPS = 1000
SOLVED = 200.0  # return at which Gymnasium calls the task solved
REWARD_SCALE = 0.1  # so that values are of the order of 10


class LunarLanderWorlds:
    """W landers. They cannot be saved."""

    def __init__(self, tasks: Sequence[Task], seed: int) -> None:
        self._landers = [_lander(task) for task in tasks]
        for world, lander in enumerate(self._landers):
            lander.reset(seed=world_seed(seed, world))

    def reset(self, worlds: Int[np.ndarray, "w"]) -> Float[Tensor, "w observations"]:
        """See EnvironmentWorlds."""
        return torch.from_numpy(np.stack([self._landers[world].reset()[0] for world in worlds]))

    def step(self, actions: Float[Tensor, "W actions"]) -> Outcome:
        """See EnvironmentWorlds."""
        choices = actions[:, 0].int().tolist()
        answers = [lander.step(choice) for lander, choice in zip(self._landers, choices, strict=True)]
        rewards = torch.tensor([answer[1] for answer in answers], dtype=torch.float32)
        terminated = torch.tensor([answer[2] for answer in answers])
        return Outcome(
            observations=torch.from_numpy(np.stack([answer[0] for answer in answers])),
            rewards=REWARD_SCALE * rewards,
            scores=EPISODE_STEPS / SOLVED * rewards,
            succeeded=torch.zeros_like(terminated),
            terminated=terminated,
        )

    def snapshot(self) -> None:
        """See EnvironmentWorlds: Box2D cannot save its worlds."""

    def restore(self, snapshot: dict[str, Any]) -> None:
        """See EnvironmentWorlds."""
        raise NotImplementedError("there is no snapshot of these worlds")


def _lander(task: Task) -> Any:
    try:
        import Box2D  # noqa: F401 (without it Gymnasium raises an error of its own)
        import gymnasium
    except ImportError as error:
        raise SuiteError(
            "'LunarLander-v3' needs Gymnasium and Box2D, which are not installed: pip install 'pgx-core[envs]'"
        ) from error
    options: dict[str, Any] = dict(task.parameters)
    return gymnasium.make("LunarLander-v3", enable_wind="wind_power" in options, **options).unwrapped


# The score of an episode is its return over 200: 1 is solved.
LUNARLANDER = Environment("lunarlander", Space(8, 4, discrete=True), EPISODE_STEPS, LunarLanderWorlds)
