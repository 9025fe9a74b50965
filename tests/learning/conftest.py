"""A population of unequal policies, and experience for it."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch

from pgx_core.learning.layout import Member, make_layout
from pgx_core.learning.network import NetworkSize, Population, objective_one_hot
from pgx_core.learning.ppo import Batch, PPOConfig
from pgx_core.learning.trainer import Trainer
from pgx_core.objectives.suites import TINY
from pgx_core.simulation.simulation import Simulation, SimulationConfig

SIZE = NetworkSize(n_observations=5, n_objectives=3, n_actions=2, hidden=(7, 6))
# Policies of unequal width: the second has 4 empty slots, the third 6.
MEMBERS = (Member((0, 1, 2), False, 7), Member((0, 2), True, 3), Member((1,), False, 1))


@pytest.fixture
def members():
    return MEMBERS


@pytest.fixture
def population():
    """In double precision, with every number away from its initial value."""
    population = Population(SIZE, tuple(m.conditioned for m in MEMBERS), (1, 2, 3)).double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in population.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
        population.observation_mean.normal_(generator=generator)
        population.observation_std.uniform_(0.5, 2.0, generator=generator)
        population.observation_count.fill_(10.0)
    return population


@pytest.fixture
def layout():
    layout = make_layout(MEMBERS)
    return replace(layout, mask=layout.mask.double())


@pytest.fixture
def batch(population, layout):
    """Experience of a policy a little different from `population`, with terminations and time limits."""
    generator = torch.Generator().manual_seed(5)
    shape = (6, *layout.mask.shape)

    def draw(*size):
        return torch.randn(*shape, *size, generator=generator, dtype=torch.float64)

    one_hot = objective_one_hot(layout.slot_objectives, SIZE.n_objectives).double()
    inputs = [population.inputs(draw(SIZE.n_observations)[t], one_hot) for t in range(shape[0])]
    terminated = draw() > 1.5
    return Batch(
        actor_inputs=torch.stack([actor for actor, _ in inputs]),
        critic_inputs=torch.stack([critic for _, critic in inputs]),
        actions=draw(SIZE.n_actions),
        log_probs=-2.0 + 0.3 * draw(),
        values=draw(),
        next_values=draw(),
        rewards=5 * draw(),
        terminated=terminated,
        ended=terminated | (draw() > 1.5),
    )


@pytest.fixture
def select():
    """The experience of one policy, without its empty slots."""

    def select(batch, layout, policy):
        width = int(layout.mask[policy].sum())
        return Batch(*(getattr(batch, f.name)[:, policy : policy + 1, :width] for f in fields(Batch)))

    return select


@pytest.fixture
def make_trainer():
    """A small training on `tiny`: one policy for all, one conditioned for two objectives, one for a single one."""

    def make_trainer(seed=0, total_steps=100_000, backend="mujoco", config=None):
        members = (Member((0, 1, 2, 3), False, 8), Member((1, 2), True, 3), Member((3,), False, 1))
        layout = make_layout(members)
        worlds = Simulation(TINY, layout.objectives, seed, SimulationConfig(backend, threads=1))
        size = NetworkSize(worlds.robot.contract.observation_size, 4, 1, (8, 8))
        population = Population(size, tuple(m.conditioned for m in members), (seed, seed + 1, seed + 2))
        return Trainer(population, worlds, layout, config or PPOConfig(horizon=8), total_steps, seed)

    return make_trainer
