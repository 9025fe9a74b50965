"""Roll out the meta policy on every objective and judge each of its actions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pgx_core.errors import require
from pgx_core.learning.advantages import generalised_advantages, normalise_per_objective
from pgx_core.learning.layout import Layout, Member, make_layout
from pgx_core.learning.network import Population, objective_one_hot
from pgx_core.learning.ppo import PPOConfig
from pgx_core.objectives.environment_suite import AnySuite
from pgx_core.simulation.make import AnySimulation, make_simulation
from pgx_core.simulation.simulation import SimulationConfig
from pgx_core.types import Transitions


@dataclass(frozen=True)
class RolloutConfig:
    """How much experience of the meta policy the affinity is estimated from."""

    samples: int = 4096  # transitions per objective, >= 1, rounded up to whole episodes

    def __post_init__(self) -> None:
        require(self.samples >= 1, "rollouts.samples", "1 or more", self.samples)


@torch.no_grad()
def collect_transitions(
    population: Population,
    suite: AnySuite,
    config: RolloutConfig,
    ppo: PPOConfig,
    seed: int,
    simulation_config: SimulationConfig | None = None,
) -> Transitions:
    """Whole episodes of the (single) policy on each objective, exploring, with advantages per objective.

    Each world runs for the length of one episode (a second one begins where the first terminates early), so
    worlds are the independent units. The critic that judges sees the objective even where the actor does not.

    Args:
        population: one policy.
        suite: the objectives.
        config: how much.
        ppo: the discount and the trace that the critic was trained with.
        seed: of the starts and the exploration.
        simulation_config: the physics.
    """
    n = len(suite.objectives)
    worlds = n * -(-config.samples // suite.episode_steps)
    layout = make_layout((Member(tuple(range(n)), False, worlds),))
    simulation = make_simulation(suite, layout.objectives, seed, simulation_config, stagger=False)
    start = simulation.reset()
    population, layout = population.to(start.device), layout.to(start.device)
    generator = torch.Generator(start.device).manual_seed(seed)
    one_hot = objective_one_hot(layout.slot_objectives, n)
    raw, actions, values, next_values, rewards, terminated, truncated = _explore(
        population, simulation, start, layout, one_hot, generator
    )
    simulation.check()
    advantages = generalised_advantages(
        rewards, values, next_values, terminated, terminated | truncated, ppo.discount, ppo.trace
    )
    return _flatten(raw, actions, normalise_per_objective(advantages, one_hot), layout, suite.names)


def _explore(
    population: Population,
    simulation: AnySimulation,
    start: Tensor,
    layout: Layout,
    one_hot: Tensor,
    generator: torch.Generator,
) -> list[Tensor]:
    """One episode's length in every world: what was seen, done, expected before and after, and what came of it."""
    observations = layout.gather(start)
    columns = []
    for _ in range(simulation.suite.episode_steps):
        actor_inputs, critic_inputs = population.inputs(observations, one_hot)
        actions = population.sample(population.actor(actor_inputs), generator)
        step = simulation.step(layout.scatter(actions))
        _, final_inputs = population.inputs(layout.gather(step.final_observations), one_hot)
        observed = observations[..., : population.size.n_observations]
        raw = torch.cat([observed, one_hot * population.conditioned], -1)
        columns.append(
            (raw, actions, population.critic(critic_inputs).squeeze(-1), population.critic(final_inputs).squeeze(-1),
             layout.gather(step.rewards), layout.gather(step.terminated), layout.gather(step.truncated))
        )  # fmt: skip
        observations = layout.gather(step.observations)
    return [torch.stack(column) for column in zip(*columns, strict=True)]


def _flatten(raw: Tensor, actions: Tensor, advantages: Tensor, layout: Layout, names: tuple[str, ...]) -> Transitions:
    """[T, 1, W, ...] to [T * W, ...], world by world."""

    def flat(values: Tensor) -> np.ndarray:
        return values[:, 0].transpose(0, 1).flatten(0, 1).cpu().numpy()

    horizon, worlds = len(raw), len(layout.objectives)
    return Transitions(
        observations=flat(raw),
        actions=flat(actions),
        advantages=flat(advantages),
        objectives=np.repeat(layout.slot_objectives[0].cpu().numpy(), horizon),
        episodes=np.repeat(np.arange(worlds), horizon),
        names=names,
    )
