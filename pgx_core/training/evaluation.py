"""Measure policies: full episodes with the likeliest action, from random starts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pgx_core.errors import require, require_seed
from pgx_core.learning.layout import Member, make_layout
from pgx_core.learning.network import Population, objective_one_hot
from pgx_core.objectives.environment_suite import AnySuite
from pgx_core.objectives.objective import Suite
from pgx_core.simulation.make import make_simulation
from pgx_core.simulation.simulation import SimulationConfig


@dataclass(frozen=True)
class EvaluationConfig:
    """How policies are measured."""

    episodes: int = 16  # per policy and objective, >= 2: one alone has no error
    seed: int = 20_000  # of the starts, >= 0; not one that training uses

    def __post_init__(self) -> None:
        require(self.episodes >= 2, "evaluation.episodes", "2 or more", self.episodes)
        require_seed(self.seed, "evaluation.seed")


@dataclass(frozen=True)
class Evaluation:
    """Episodes of each policy on each objective; NaN where it was not asked for."""

    episodes: Float[np.ndarray, "P n E"]  # scores
    successes: Float[np.ndarray, "P n"]  # share of episodes that succeeded at some step; NaN if the suite reports none

    def joined(self, other: Evaluation) -> Evaluation:
        """This one, and where it was not asked the other."""
        missing = np.isnan(self.episodes).all(-1)
        episodes = np.where(missing[..., None], other.episodes, self.episodes)
        return Evaluation(episodes, np.where(missing, other.successes, self.successes))

    @property
    def scores(self) -> Float[np.ndarray, "P n"]:
        """Mean over episodes."""
        return np.asarray(self.episodes.mean(-1))

    @property
    def errors(self) -> Float[np.ndarray, "P n"]:
        """Standard error of the mean."""
        return np.asarray(self.episodes.std(-1, ddof=1) / np.sqrt(self.episodes.shape[-1]))


@torch.no_grad()
def evaluate(
    population: Population,
    suite: AnySuite,
    config: EvaluationConfig,
    simulation_config: SimulationConfig | None = None,
    asked: Bool[np.ndarray, "P n"] | None = None,
) -> Evaluation:
    """Run whole episodes of each policy on each objective.

    The score of an episode is the sum of its steps' scores over its full length: steps lost to an early
    termination count 0.

    Args:
        population: the policies.
        suite: the objectives.
        config: how many episodes.
        simulation_config: the physics.
        asked: which policy to run on which objective; all where None.
    """
    n = len(suite.objectives)
    asked = np.ones((population.n_policies, n), dtype=bool) if asked is None else asked
    members = tuple(
        Member(tuple(map(int, np.flatnonzero(row))), False, config.episodes * int(row.sum())) for row in asked
    )
    layout = make_layout(members)
    simulation = make_simulation(suite, layout.objectives, config.seed, simulation_config, stagger=False)
    observations = simulation.reset()
    population, layout = population.to(observations.device), layout.to(observations.device)
    # A blind policy may meet another number of objectives than it was made for.
    known = population.size.n_objectives
    one_hot = objective_one_hot(layout.slot_objectives, max(n, known))[..., :known]
    totals = observations.new_zeros(simulation.n_worlds)
    alive = torch.ones_like(totals, dtype=torch.bool)
    succeeded = torch.zeros_like(alive)
    for _ in range(suite.episode_steps):
        inputs, _ = population.inputs(layout.gather(observations), one_hot)
        actions = population.distribution.mode(population.actor(inputs))
        step = simulation.step(layout.scatter(actions))
        totals += step.scores * alive
        succeeded |= step.succeeded & alive
        alive &= ~(step.terminated | step.truncated)
        observations = step.observations
    simulation.check()
    success = succeeded.float() if suite.reports_success else torch.full_like(totals, torch.nan)
    scores, successes = (
        _by_pair(layout.gather(values).cpu(), layout.slot_objectives.cpu(), asked, config)
        for values in (totals / suite.episode_steps, success)
    )
    return Evaluation(scores, successes.mean(-1))


def evaluate_trade_off(
    population: Population,
    suite: Suite,
    config: EvaluationConfig,
    simulation_config: SimulationConfig | None = None,
    asked: Bool[np.ndarray, "P n"] | None = None,
) -> Float[np.ndarray, "P n values"]:
    """Mean over the episodes of `evaluate` of each value that the objectives weigh: the same episodes, judged by it."""
    judged = (
        replace(suite, objectives=tuple(replace(each, score=term) for each in suite.objectives))
        for term in suite.trade_off
    )
    return np.stack([evaluate(population, one, config, simulation_config, asked).scores for one in judged], -1)


def _by_pair(totals: Tensor, objectives: Tensor, asked: np.ndarray, config: EvaluationConfig) -> np.ndarray:
    episodes = np.full((*asked.shape, config.episodes), np.nan)
    for policy, objective in zip(*np.nonzero(asked), strict=True):
        chosen = totals[policy][objectives[policy] == int(objective)]
        episodes[policy, objective] = chosen[: config.episodes].numpy()
    return episodes
