from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from pgx_core.learning.layout import Member, make_layout
from pgx_core.learning.network import NetworkSize, Population
from pgx_core.learning.ppo import PPOConfig
from pgx_core.learning.trainer import Trainer
from pgx_core.objectives.suites import TINY
from pgx_core.simulation.simulation import Simulation, SimulationConfig
from pgx_core.surrogate.logistic import pooled_logistic
from pgx_core.types import Features
from pgx_core.validation.flops import evaluation_flops, experience_flops, network_flops, training_flops


def population(n: int) -> Population:
    return Population(NetworkSize(2, 4, 1, (64, 48)), (False,) * n, tuple(range(n)))


def counted_by_torch(work: object) -> int:
    with FlopCounterMode(display=False) as counter:
        work()  # type: ignore[operator]
    return int(counter.get_total_flops())


def test_a_pass_is_what_torch_counts() -> None:
    actor, inputs = population(3).actor, torch.randn(3, 10, 6)
    layers = [(6, 64), (64, 48), (48, 1)]
    assert counted_by_torch(lambda: actor(inputs)) == network_flops(layers, 30)
    assert counted_by_torch(lambda: actor(inputs).sum().backward()) == network_flops(layers, 30, backward=True)


def test_an_iteration_of_ppo_is_what_torch_counts() -> None:
    layout = make_layout((Member((0, 1), False, 6), Member((2, 3), False, 6)))
    worlds = Simulation(TINY, layout.objectives, 0, SimulationConfig("fake"))
    config, two = PPOConfig(horizon=12, epochs=3), population(2)
    trainer = Trainer(two, worlds, layout, config, 1000, 0)
    real = counted_by_torch(trainer.iterate)
    # It also counts the means over each objective, products of a few columns.
    assert training_flops(two, trainer.steps, config) == pytest.approx(real, rel=0.01)


def test_acting_and_judging() -> None:
    one = population(1)
    actor, critic = network_flops([(6, 64), (64, 48), (48, 1)], 7), network_flops([(6, 64), (64, 48), (48, 1)], 14)
    assert evaluation_flops(one, 7) == actor
    assert experience_flops(one, 7) == actor + critic


def test_torch_counts_the_surrogate_too() -> None:
    """The costs of a validation rest on it: products done elsewhere would be missing."""
    rows, coordinates, n = 30, 5, 3
    random = np.random.default_rng(0)
    features = Features(
        coordinates=random.normal(size=(n * rows, coordinates)).astype(np.float32),
        labels=np.sign(random.normal(size=n * rows)),
        weights=np.ones(n * rows),
        objectives=np.repeat(np.arange(n), rows),
        episodes=np.arange(n * rows),
        names=("a", "b", "c"),
        parameter_norm=1.0,
        energy=1.0,
    )
    subsets = np.array([[True, True, False], [True, True, True]])
    problem = pooled_logistic(features, subsets, np.ones(n * rows, dtype=bool))
    steps, wanted = torch.zeros(2, coordinates, dtype=torch.float64), torch.ones(2, dtype=torch.bool)
    product = 2 * rows * coordinates * int(subsets.sum())
    assert counted_by_torch(lambda: problem.gradients(steps, wanted)) == 2 * product, "forwards and backwards"
    assert counted_by_torch(lambda: problem.curvature_bounds()) == 2 * n * rows * coordinates**2
