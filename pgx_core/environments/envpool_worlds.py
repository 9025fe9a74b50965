"""Worlds of EnvPool's environments in C++: pools of equal ones, each stepped by a thread of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from pgx_core.environments.environment import Outcome, world_seed
from pgx_core.errors import SuiteError

NEVER = 1_000_000_000  # steps: time limits are the simulation's concern


@dataclass(frozen=True)
class Make:
    """One of EnvPool's environments: its id there, and options of it."""

    environment: str
    options: Mapping[str, float | int | bool]


@dataclass(frozen=True)
class Pool:
    """Equal worlds that EnvPool steps together."""

    make: Make
    worlds: Int[np.ndarray, "w"]  # ascending
    environments: Any  # of EnvPool


class EnvPoolWorlds:
    """W worlds in pools. They cannot be saved."""

    def __init__(
        self, makes: Sequence[Make], seed: int, discrete: bool, scale: float = 1.0, fixed_seed: int | None = None
    ) -> None:
        """Make the worlds.

        Args:
            makes: every world's environment.
            seed: of the starts.
            discrete: kind of the actions.
            scale: factor on the environment's reward, which is also the score.
            fixed_seed: every episode of every world starts as this seed says: alike.

        Raises:
            SuiteError: EnvPool is not installed.
        """
        self._seed, self._discrete, self._scale, self._fixed_seed = seed, discrete, scale, fixed_seed
        self._n_worlds = len(makes)
        # Of EnvPool's worlds only new ones start over from their seed, so those with a fixed one live alone.
        apart = [[i] for i in range(len(makes))] if fixed_seed is not None else _equal(makes)
        self._pools = [self._pool(makes[worlds[0]], np.array(worlds)) for worlds in apart]
        self._fresh = True

    def reset(self, worlds: Int[np.ndarray, "w"]) -> Float[Tensor, "w observations"]:
        """See EnvironmentWorlds."""
        rows: dict[int, np.ndarray] = {}
        for index, pool in enumerate(self._pools):
            local = np.flatnonzero(np.isin(pool.worlds, worlds)).astype(np.int32)
            if len(local):
                observations = self._start(index, local)
                rows |= dict(zip(pool.worlds[local].tolist(), observations, strict=True))
        self._fresh = False
        return torch.from_numpy(np.stack([rows[int(world)] for world in worlds])).float()

    def step(self, actions: Float[Tensor, "W actions"]) -> Outcome:
        """See EnvironmentWorlds."""
        numbers = actions[:, 0].numpy().astype(np.int32) if self._discrete else actions.numpy()
        for pool in self._pools:
            pool.environments.send(numbers[pool.worlds], np.arange(len(pool.worlds), dtype=np.int32))
        answers = [(pool, *_ordered(pool.environments.recv())) for pool in self._pools]

        def column(values: list[np.ndarray], kind: torch.dtype) -> Tensor:
            rows = np.empty((self._n_worlds, *values[0].shape[1:]), values[0].dtype)
            for (pool, *_), value in zip(answers, values, strict=True):
                rows[pool.worlds] = value
            return torch.from_numpy(rows).to(kind)

        rewards = column([answer[2] for answer in answers], torch.float32) * self._scale
        return Outcome(
            observations=column([answer[1] for answer in answers], torch.float32),
            rewards=rewards,
            scores=rewards.clone(),
            succeeded=column([answer[4] for answer in answers], torch.bool),
            terminated=column([answer[3] for answer in answers], torch.bool),
        )

    def snapshot(self) -> None:
        """See EnvironmentWorlds: EnvPool cannot save its worlds."""

    def restore(self, snapshot: dict[str, Any]) -> None:
        """See EnvironmentWorlds."""
        raise NotImplementedError("there is no snapshot of these worlds")

    def _start(self, index: int, local: Int[np.ndarray, "w"]) -> np.ndarray:
        """New episodes in some worlds of a pool; their observations."""
        if self._fixed_seed is not None and not self._fresh:
            pool = self._pools[index]
            self._pools[index] = self._pool(pool.make, pool.worlds)
        observations, info = self._pools[index].environments.reset(local)
        return _flat(observations)[np.argsort(info["env_id"])]

    def _pool(self, make: Make, worlds: Int[np.ndarray, "w"]) -> Pool:
        try:
            import envpool
        except ImportError as error:
            raise SuiteError(
                f"'{make.environment}' needs EnvPool, which is not installed: pip install 'pgx-core[envs]'"
            ) from error
        fixed = self._fixed_seed
        seeds = [world_seed(self._seed, int(world)) if fixed is None else fixed for world in worlds]
        environments = envpool.make_gymnasium(
            make.environment,
            num_envs=len(worlds),
            num_threads=1,
            env_seed=seeds,
            max_episode_steps=NEVER,
            **make.options,
        )
        return Pool(make, worlds, environments)


def _equal(makes: Sequence[Make]) -> list[list[int]]:
    """Worlds of equal environments, together."""
    groups: dict[str, list[int]] = {}
    for world, make in enumerate(makes):
        groups.setdefault(repr(make), []).append(world)
    return list(groups.values())


def _ordered(answer: tuple[Any, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(observations, rewards, terminated, succeeded) of one pool, in the order of its worlds."""
    observations, rewards, terminated, _, info = answer
    order = np.argsort(info["env_id"])
    succeeded = info.get("success", np.zeros_like(rewards)) > 0.5
    return _flat(observations)[order], rewards[order], terminated[order], succeeded[order]


def _flat(observations: np.ndarray) -> np.ndarray:
    flat: np.ndarray = observations.reshape(len(observations), -1)
    return flat
