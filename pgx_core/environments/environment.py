"""Environments that bring their own observations, rewards and success, and the narrow interface of their worlds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Space:
    """Sizes of what a policy sees and does."""

    n_observations: int
    n_actions: int  # action dimensions, each in [-1, 1]; choices where `discrete`
    discrete: bool = False
    n_privileged: int = 0  # values after the observation that the critic alone sees

    @property
    def action_columns(self) -> int:
        """Numbers in one action."""
        return 1 if self.discrete else self.n_actions


@dataclass(frozen=True)
class Task:
    """One variation of an environment."""

    name: str
    parameters: Mapping[str, float | int] = field(default_factory=dict)  # of the environment; its own values elsewhere


@dataclass(frozen=True)
class Outcome:
    """What one step returned, for W worlds, before any reset."""

    observations: Float[Tensor, "W observations"]
    rewards: Float[Tensor, "W"]  # what is learnt from
    scores: Float[Tensor, "W"]  # what is reported: its sum over an episode, divided by the full length of one
    succeeded: Bool[Tensor, "W"]  # as the environment says; always False where it says nothing
    terminated: Bool[Tensor, "W"]  # for good; time limits are not the worlds' concern
    truncated: Bool[Tensor, "W"] | None = None  # ended by the environment, but not for good; None: nowhere


def world_seed(seed: int, world: int) -> int:
    """A world's own seed, 31 bits: `seed + world` would be that of the next world in the next run."""
    return int(np.random.SeedSequence((seed, world)).generate_state(1)[0] >> 1)


class EnvironmentWorlds(Protocol):
    """W worlds of one environment, each with its own task, stepped together. It knows no time limit."""

    def reset(self, worlds: Int[np.ndarray, "w"]) -> Float[Tensor, "w observations"]:
        """Start new episodes in some worlds, in ascending order."""
        ...

    def step(self, actions: Float[Tensor, "W actions"]) -> Outcome:
        """Advance all worlds. Discrete actions are the index of the choice, in one column."""
        ...

    def snapshot(self) -> dict[str, Any] | None:
        """Everything `restore` needs to continue bit for bit; None where the simulator cannot be saved."""
        ...

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Continue from a snapshot."""
        ...


@dataclass(frozen=True)
class Environment:
    """A family of environments."""

    name: str
    space: Space
    episode_steps: int  # a full episode, >= 1
    make: Callable[[Sequence[Task], int], EnvironmentWorlds]  # from every world's task, and a seed
    reports_success: bool = False


def drawn_tasks(ranges: Mapping[str, tuple[float, float]], count: int) -> tuple[Task, ...]:
    """Tasks `test_0`, `test_1` ... whose parameters are drawn uniformly, each from its range; always the same ones."""
    rng = np.random.default_rng(0)
    return tuple(
        Task(f"test_{index}", {name: round(float(rng.uniform(*bounds)), 3) for name, bounds in ranges.items()})
        for index in range(count)
    )
