"""Worlds of an environment suite: episodes, time limits, and containment of divergence."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from pgx_core.objectives.environment_suite import EnvironmentSuite
from pgx_core.simulation.step import Step, require_numbers


class EnvironmentSimulation:
    """Worlds of one suite, each with one of its tasks. To whoever steps it, the same as `Simulation`.

    Everything is on the device of the environment's observations; every step waits for it, to learn which worlds ended.
    """

    def __init__(
        self, suite: EnvironmentSuite, objectives: Int[np.ndarray, "W"], seed: int, stagger: bool = True
    ) -> None:
        """Args: `objectives` is the task of each world; `stagger` spreads the first episodes' ends."""
        self.suite = suite
        self.objectives = np.asarray(objectives)
        self.space = suite.environment.space
        self.diverged_count = 0
        self._worlds = suite.environment.make([suite.objectives[i] for i in self.objectives], seed)
        self._rng = np.random.default_rng(seed)
        self._stagger = stagger
        self._elapsed = torch.zeros(self.n_worlds, dtype=torch.int64)
        self._observations = torch.zeros(self.n_worlds, self.space.n_observations)

    @property
    def n_worlds(self) -> int:
        """W."""
        return len(self.objectives)

    @property
    def episode_steps(self) -> int:
        """Steps in a full episode."""
        return self.suite.episode_steps

    @property
    def device(self) -> torch.device:
        """That of the environment's observations, known once it is reset."""
        return self._observations.device

    def faults(self) -> Int[Tensor, "1"]:
        """See Simulation."""
        return torch.tensor([self.diverged_count])

    def check(self, faults: Int[Tensor, "1"] | None = None) -> int:
        """How many worlds broke so far. Raises nothing: on the CPU, `step` does at once."""
        return self.diverged_count

    def reset(self) -> Float[Tensor, "W observations"]:
        """Start new episodes everywhere."""
        self._observations = self._worlds.reset(np.arange(self.n_worlds))
        spread = torch.from_numpy(self._rng.integers(0, self.suite.episode_steps, self.n_worlds))
        self._elapsed = (spread if self._stagger else torch.zeros_like(spread)).to(self.device)
        return self._observations.clone()

    def step(self, actions: Float[Tensor, "W actions"]) -> Step:
        """One step. Continuous actions are clipped to [-1, 1].

        Raises:
            RunError: an action is NaN.
        """
        require_numbers(actions)
        outcome = self._worlds.step(actions if self.space.discrete else actions.clip(-1.0, 1.0))
        self._elapsed += 1
        sound = torch.isfinite(outcome.observations).all(1) & torch.isfinite(outcome.rewards + outcome.scores)
        diverged = ~sound
        self.diverged_count += int(diverged.sum())
        final = torch.where(sound[:, None], outcome.observations, self._observations)
        terminated = outcome.terminated | diverged
        late = self._elapsed >= self.suite.episode_steps
        truncated = (late if outcome.truncated is None else late | outcome.truncated) & ~terminated
        self._observations = self._restart(final, terminated | truncated)
        return Step(
            self._observations.clone(),
            final,
            outcome.rewards.masked_fill(diverged, 0.0),
            outcome.scores.masked_fill(diverged, 0.0),
            terminated,
            truncated,
            diverged,
            outcome.succeeded & sound,
        )

    def _restart(self, final: Tensor, ended: Tensor) -> Tensor:
        """The observations after the worlds that ended have been reset."""
        observations, worlds = final.clone(), np.flatnonzero(ended.cpu())
        if len(worlds):
            observations[worlds] = self._worlds.reset(worlds)
            self._elapsed[worlds] = 0
        return observations

    def state_dict(self) -> dict[str, Any]:
        """Everything `load_state_dict` needs to continue, bit for bit where the simulator can be saved."""
        return {
            "worlds": self._worlds.snapshot(),
            "observations": self._observations.clone(),
            "elapsed": self._elapsed.clone(),
            "rng": self._rng.bit_generator.state,
            "diverged_count": self.diverged_count,
        }

    def load_state_dict(self, state: dict[str, Any]) -> Float[Tensor, "W observations"]:
        """Continue from a saved state, with new episodes where the simulator could not be saved.

        Returns:
            The current observations.
        """
        self._rng.bit_generator.state = state["rng"]
        self.diverged_count = state["diverged_count"]
        if state["worlds"] is None:
            self._observations = self._worlds.reset(np.arange(self.n_worlds))
        else:
            self._worlds.restore(state["worlds"])
            self._observations = state["observations"].clone()
        self._elapsed = state["elapsed"].to(self.device, copy=True)
        return self._observations.clone()
