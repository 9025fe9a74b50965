"""Manager-based environments (mjlab, Isaac Lab): objectives from their commands and reward terms.

mjlab's ManagerBasedRlEnv and Isaac Lab's ManagerBasedRLEnv have the same managers. Neither is imported: the user's
file builds the environment, and what is used of it is written down in `ManagerBasedEnv`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from pgx_core.environments.environment import Environment, Outcome, Space, Task
from pgx_core.errors import SuiteError


@runtime_checkable
class ManagerBasedEnv(Protocol):
    """What is used of a manager-based environment of W worlds."""

    num_envs: int
    device: Any
    step_dt: float  # s
    max_episode_length: int  # steps
    episode_length_buf: Tensor  # [W], steps since the reset
    cfg: Any
    command_manager: Any  # get_term(name) -> term with `command` [W, values], `compute`, `reset`
    reward_manager: Any  # active_terms, get_term_cfg(name).weight, _step_reward [W, terms]: weighted, per second
    action_manager: Any  # total_action_dim

    def reset(self, *, env_ids: Tensor | None = None) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """New episodes in some worlds; the observation groups of all."""
        ...

    def step(self, action: Tensor) -> tuple[dict[str, Tensor], Tensor, Tensor, Tensor, dict[str, Any]]:
        """(observation groups, rewards, terminated, timed out, extras)."""
        ...


Build = Callable[[int, int], ManagerBasedEnv]  # from the number of worlds, and a seed
Score = Callable[[ManagerBasedEnv], Tensor]  # [W], of the step just taken


@dataclass(frozen=True)
class ManagerObjective:
    """One objective in a manager-based environment."""

    name: str
    commands: Mapping[str, Sequence[float]]  # command term -> its values, held all the time; units are the term's
    weights: Mapping[str, float] = field(default_factory=dict)  # reward term -> weight; the environment's own elsewhere
    score: tuple[str, ...] | Score = ()  # mean of these reward terms without their weights; () is the reward itself


class ManagerBasedWorlds:
    """W worlds of one built environment, each with its own objective. They cannot be saved.

    Observations are the actor's group, then the critic's where there is one. Everything returned is on the
    environment's device. An environment that starts ended worlds anew by itself (Isaac Lab) returns the new
    episode's observation as the last one of the old: harmless where it terminated.
    """

    def __init__(self, env: ManagerBasedEnv, objectives: Sequence[ManagerObjective], action_range: float = 1.0) -> None:
        """Take the environment over.

        Args:
            env: built, with as many worlds as there are objectives here.
            objectives: every world's.
            action_range: the environment's action for an action of 1, > 0.

        Raises:
            SuiteError: the environment has no such command, reward term or number of worlds.
        """
        if env.num_envs != len(objectives):
            raise SuiteError(f"expected an environment of {len(objectives)} worlds, `build` made {env.num_envs}")
        self.env, self._objectives, self._range = env, tuple(objectives), action_range
        if hasattr(env.cfg, "auto_reset"):
            env.cfg.auto_reset = False  # the last observation of an episode is needed
        _pin_commands(env, objectives)
        self._factors = _reward_factors(env, objectives)
        self._scored = [_scored_worlds(env, objectives, score) for score in {o.score for o in objectives if o.score}]
        self._reward_scale = env.step_dt if getattr(env.cfg, "scale_rewards_by_dt", True) else 1.0

    def reset(self, worlds: Int[np.ndarray, "w"]) -> Float[Tensor, "w observations"]:
        """See EnvironmentWorlds."""
        chosen = torch.as_tensor(worlds, dtype=torch.int64, device=self.env.device)
        groups, _ = self.env.reset(env_ids=chosen)
        return _joined(groups)[chosen]

    def step(self, actions: Float[Tensor, "W actions"]) -> Outcome:
        """See EnvironmentWorlds. Actions are not clipped here."""
        # Time limits are the simulation's concern: the environment's own is kept one step away.
        self.env.episode_length_buf.clamp_(max=self.env.max_episode_length - 2)
        groups, _, terminated, timed_out, _ = self.env.step(actions.to(self.env.device) * self._range)
        rates = self.env.reward_manager._step_reward  # the only place where the terms are apart
        rewards = (rates * self._factors).sum(1) * self._reward_scale
        return Outcome(
            observations=_joined(groups),
            rewards=rewards,
            scores=self._scores(rates, rewards),
            succeeded=torch.zeros_like(terminated),
            terminated=terminated.clone(),
            truncated=timed_out.clone(),
        )

    def snapshot(self) -> None:
        """See EnvironmentWorlds: the managers' state cannot be saved."""

    def restore(self, snapshot: dict[str, Any]) -> None:
        """See EnvironmentWorlds."""
        raise NotImplementedError("there is no snapshot of these worlds")

    def _scores(self, rates: Tensor, rewards: Tensor) -> Float[Tensor, "W"]:
        """Every world's score, as its objective defines it."""
        scores = rewards.clone()
        for score, worlds, columns, weights in self._scored:
            values = score(self.env) if callable(score) else (rates[:, columns] / weights).mean(1)
            scores[worlds] = values[worlds].to(scores.dtype)
        return scores


def manager_based_environment(
    name: str, build: Build, objectives: Sequence[ManagerObjective], action_range: float = 1.0
) -> Environment:
    """An environment whose tasks are these objectives; `tasks_of(objectives)` are its tasks.

    Args:
        name: what acts.
        build: makes an environment of so many worlds, from a seed. Called once here to read its sizes.
        objectives: what the tasks mean, by name.
        action_range: the environment's action for an action of 1, > 0.

    Raises:
        SuiteError: the environment lacks a command or a reward term that an objective names.
    """
    by_name = {objective.name: objective for objective in objectives}

    def make(tasks: Sequence[Task], seed: int) -> ManagerBasedWorlds:
        chosen = [by_name[task.name] for task in tasks]
        return ManagerBasedWorlds(build(len(chosen), seed), chosen, action_range)

    first = make(tasks_of(objectives), 0).env
    groups, _ = first.reset()
    actor, critic = _actor_and_critic(groups)
    space = Space(actor.shape[1], first.action_manager.total_action_dim, n_privileged=critic.shape[1])
    return Environment(name, space, first.max_episode_length, make)


def tasks_of(objectives: Sequence[ManagerObjective]) -> tuple[Task, ...]:
    """The objectives as tasks, with their commands in the parameters, as in `twist.0`."""
    return tuple(
        Task(o.name, {f"{term}.{i}": value for term, values in o.commands.items() for i, value in enumerate(values)})
        for o in objectives
    )


def _pin_commands(env: ManagerBasedEnv, objectives: Sequence[ManagerObjective]) -> None:
    """Hold every world's commands. Terms resample in `compute` and `reset`, before observations are read."""
    for name in dict.fromkeys(name for objective in objectives for name in objective.commands):
        known = list(env.command_manager.active_terms)
        if name not in known:
            raise SuiteError(f"no command '{name}'; the environment's commands: {', '.join(known) or 'none'}")
        term = env.command_manager.get_term(name)
        pinned = [i for i, objective in enumerate(objectives) if name in objective.commands]
        rows = [list(objectives[i].commands[name]) for i in pinned]
        width = term.command.shape[1]
        if any(len(row) != width for row in rows):
            raise SuiteError(f"command '{name}' has {width} values; an objective gives {min(map(len, rows))}")
        values = term.command.new_tensor(rows)
        term.compute = _then_set(term.compute, term, pinned, values)
        term.reset = _then_set(term.reset, term, pinned, values)
        term.command[pinned] = values
        if not torch.equal(term.command[pinned], values):
            raise SuiteError(f"command '{name}' cannot be set: its `command` is computed anew each time it is read")


def _then_set(call: Callable[..., Any], term: Any, worlds: list[int], values: Tensor) -> Callable[..., Any]:
    def called(*args: Any, **kwargs: Any) -> Any:
        answer = call(*args, **kwargs)
        term.command[worlds] = values
        return answer

    return called


def _scored_worlds(
    env: ManagerBasedEnv, objectives: Sequence[ManagerObjective], score: tuple[str, ...] | Score
) -> tuple[tuple[str, ...] | Score, Tensor, Tensor, Tensor]:
    """The score; its worlds; its reward terms' columns and weights: on the device, so that no step copies them."""
    worlds = [i for i, objective in enumerate(objectives) if objective.score == score]
    terms, manager = () if callable(score) else score, env.reward_manager
    columns = [list(manager.active_terms).index(name) for name in terms]
    weights = torch.tensor([float(manager.get_term_cfg(name).weight) for name in terms], device=env.device)
    whole = {"dtype": torch.int64, "device": env.device}
    return score, torch.tensor(worlds, **whole), torch.tensor(columns, **whole), weights


def _reward_factors(env: ManagerBasedEnv, objectives: Sequence[ManagerObjective]) -> Float[Tensor, "W terms"]:
    """Each objective's weight of each reward term over the environment's own."""
    manager = env.reward_manager
    terms = list(manager.active_terms)
    scored = [name for o in objectives if not callable(o.score) for name in o.score]
    asked = dict.fromkeys([*scored, *(name for o in objectives for name in o.weights)])
    factors = torch.ones(len(objectives), len(terms))
    for name in asked:
        if name not in terms:
            raise SuiteError(f"no reward term '{name}'; the environment's terms: {', '.join(terms)}")
        column, config = terms.index(name), manager.get_term_cfg(name)
        own = config.weight
        config.weight = own or 1.0  # terms of weight 0 are not computed
        for world, objective in enumerate(objectives):
            factors[world, column] = objective.weights.get(name, own) / config.weight
    return factors.to(env.device)


def _actor_and_critic(groups: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """The observation groups of the two; the critic's is empty where there is none.

    Raises:
        SuiteError: the environment has no group for the actor, or leaves its terms apart.
    """
    name = next((name for name in ("actor", "policy") if isinstance(groups.get(name), Tensor)), None)
    if name is None:
        raise SuiteError(f"expected a concatenated observation group 'actor' or 'policy', found {', '.join(groups)}")
    return groups[name], groups.get("critic", groups[name][:, :0])


def _joined(groups: Mapping[str, Tensor]) -> Tensor:
    return torch.cat(_actor_and_critic(groups), 1)
