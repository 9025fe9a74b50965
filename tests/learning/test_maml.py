"""First-order MAML: in closed form on a quadratic, against plain autograd on a policy, and as a training."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from pgx_core.errors import ConfigError
from pgx_core.learning.layout import make_layout
from pgx_core.learning.maml import (
    MAMLConfig,
    MetaTrainer,
    SharedStart,
    adapt_once,
    copy_starts,
    descend,
    one_policy_each,
)
from pgx_core.learning.network import NetworkSize, Population
from pgx_core.learning.ppo import PPOConfig, flatten
from pgx_core.learning.trainer import Trainer
from pgx_core.objectives.environment_suites import CARTPOLE_SUITE
from pgx_core.simulation.environment_simulation import EnvironmentSimulation

SUITE = replace(CARTPOLE_SUITE, objectives=CARTPOLE_SUITE.objectives[:4])
LABELS = torch.tensor([0, 1, 0, 0])
PPO = PPOConfig(horizon=6)


class Points(nn.Module):
    def __init__(self, values: torch.Tensor) -> None:
        super().__init__()
        self.points = nn.Parameter(values.clone())


def test_a_step_on_a_quadratic_is_the_closed_form() -> None:
    """L_i = |theta - c_i|^2 / 2, adapted by theta_i = theta - a (theta - c_i); theta moves by the mean."""
    centres, labels = torch.tensor([[1.0, 2.0], [-3.0, 0.5], [4.0, -1.0]]), torch.tensor([0, 0, 1])
    start, rate, outer = torch.tensor([[0.5, 0.0], [2.0, 2.0]]), 0.3, 0.7
    starts, copies = Points(start), Points(torch.zeros(3, 2))
    shared = SharedStart(starts, copies, labels, torch.optim.SGD(starts.parameters(), lr=outer))

    def backward() -> None:
        shared.zero_grad()
        (0.5 * (copies.points - centres).square().sum()).backward()

    shared.begin()
    assert torch.equal(copies.points, start[labels])
    for _ in range(2):  # two adaptation steps
        backward()
        descend(copies, rate)
    shared.hold()
    left = (1 - rate) ** 2
    torch.testing.assert_close(copies.points.data, centres + left * (start[labels] - centres))
    backward()
    shared.step()
    means = torch.stack([centres[:2].mean(0), centres[2]])
    moved = start - outer * left * (start - means)
    torch.testing.assert_close(starts.points.data, moved)
    shift = centres + left * (start[labels] - centres) - start[labels]
    torch.testing.assert_close(copies.points.data, moved[labels] + shift)  # ready for the next pass over the same data


def make_worlds(seed: int = 0) -> tuple[EnvironmentSimulation, object]:
    layout = make_layout(one_policy_each(4, 8))
    return EnvironmentSimulation(SUITE, layout.objectives, seed), layout


def make_population(k: int) -> Population:
    population = Population(NetworkSize(4, 4, 2, (8,), discrete=True), (False,) * k, tuple(range(k)))
    with torch.no_grad():
        for parameter in population.actor.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(9))
    return population


def test_an_adaptation_step_follows_the_policy_gradient_and_leaves_the_critic() -> None:
    worlds, layout = make_worlds()
    acting = Trainer(make_population(4), worlds, layout, PPO, 1, 0, told=False)
    saved, before = copy.deepcopy(acting.state_dict()), copy.deepcopy(acting.population)
    inputs, critic_inputs, actions, _, advantages, _, weight = flatten(acting.collect().batch, layout, 4, PPO)
    assert not critic_inputs[..., 4:].any()  # nobody is told the objective
    for index in range(4):
        policy = before.policy(index)
        log_prob = policy.log_prob(inputs[index], actions[index])
        (log_prob * advantages[index] * weight[index]).sum().div(weight[index].sum()).backward()
        with torch.no_grad():
            for name, value in before.views(index).items():
                value += 0.5 * policy.get_parameter(name).grad
    acting.load_state_dict(saved)
    adapt_once(acting, 0.5)
    for (name, came), expected in zip(acting.population.named_parameters(), before.parameters(), strict=True):
        torch.testing.assert_close(came, expected, msg=name, atol=1e-6, rtol=1e-5)


def make_trainer(seed: int = 0) -> MetaTrainer:
    worlds, layout = make_worlds(seed)
    return MetaTrainer(make_population(2), LABELS, worlds, layout, PPO, MAMLConfig(2, 0.1), 10_000, seed)


def test_the_same_seed_gives_the_same_and_a_saved_training_continues_bit_for_bit(tmp_path) -> None:
    whole, again, other = make_trainer(), make_trainer(), make_trainer(1)
    for trainer in (whole, again, other):
        trainer.iterate()
    torch.save(again.state_dict(), tmp_path / "state.pt")
    resumed = make_trainer(5)
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    came = [(whole.iterate(), resumed.iterate()) for _ in range(2)]
    assert resumed.steps == whole.steps == came[0][0].steps * 3 / 2 == 3 * 3 * 6 * 8
    state = resumed.population.state_dict()
    for name, value in whole.population.state_dict().items():
        assert torch.equal(value, state[name]), name
    assert not torch.equal(whole.population.actor.weights[0], other.population.actor.weights[0])


@pytest.mark.parametrize("limit", [1e-9, 1e9])
def test_a_start_of_which_a_copy_leaves_its_data_goes_back(limit: float) -> None:
    worlds, layout = make_worlds()
    ppo = replace(PPO, max_divergence=limit)
    trainer = MetaTrainer(make_population(2), LABELS, worlds, layout, ppo, MAMLConfig(1, 0.1), 10_000, 0)
    before = copy.deepcopy(trainer.population)
    trainer.iterate()
    moved = [
        not torch.equal(came, start)
        for came, start in zip(trainer.population.actor.parameters(), before.actor.parameters(), strict=True)
    ]
    assert all(moved) if limit > 1.0 else not any(moved)


def test_a_start_learns_from_its_own_objectives_alone() -> None:
    one, two = make_trainer(), make_trainer()
    two._acting.worlds._worlds._force[2:4] *= 3.0  # the worlds of objective 1, the only one of start 1
    for trainer in (one, two):
        trainer.iterate()
    states = one.population.state_dict(), two.population.state_dict()
    for name in ("actor.weights.0", "critic.biases.0", "observation_mean"):
        first, second = (state[name] for state in states)
        assert torch.equal(first[0], second[0]) and not torch.equal(first[1], second[1]), name
    moved = states[0]["actor.weights.0"] - make_population(2).actor.weights[0]
    assert moved[:, :4].abs().sum((1, 2)).min() > 0 and not moved[:, 4:].any()


def test_the_normaliser_is_that_of_all_that_a_starts_copies_saw() -> None:
    trainer = make_trainer()
    seen = []
    collect = trainer._acting.collect
    trainer._acting.collect = lambda: seen.append(collect()) or seen[-1]
    trainer.iterate()
    assert len(seen) == 3
    own = seen[-1].seen[:, LABELS == 0].flatten(0, 2)
    torch.testing.assert_close(trainer.population.observation_mean[0, 0], own.mean(0))
    assert trainer.population.observation_count.flatten().tolist() == [3 * 2 * 6, 1 * 2 * 6]


def test_copies_for_another_number_of_objectives_act_as_their_starts() -> None:
    starts = make_population(2)
    copies = copy_starts(starts, torch.tensor([1, 0, 1]), 7)
    observations = torch.randn(3, 5, 4)
    came = copies.actor(copies.inputs(observations, torch.ones(3, 5, 7))[0])
    for index, label in enumerate((1, 0, 1)):
        own = torch.cat([observations[index], torch.zeros(5, 4)], 1)
        torch.testing.assert_close(came[index], starts.policy(label)(own))


@pytest.mark.parametrize(("values", "match"), [((0, 0.1), "inner_steps"), ((1, 0.0), "inner_rate")])
def test_bad_settings_are_named(values, match) -> None:
    with pytest.raises(ConfigError, match=match):
        MAMLConfig(*values)
