"""Both action distributions against those of torch, and a population of discrete policies."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import pytest
import torch
from torch.distributions import Categorical as TorchCategorical
from torch.distributions import Independent, Normal

from pgx_core.learning.distribution import Categorical, Gaussian
from pgx_core.learning.layout import Member, make_layout
from pgx_core.learning.network import CategoricalPolicy, NetworkSize, Population, clone_policy, objective_one_hot
from pgx_core.learning.ppo import Batch, PPOConfig, update

P, B, CHOICES = 2, 5, 4
SIZE = NetworkSize(3, 2, CHOICES, (8, 7), discrete=True)
EMPTY = torch.zeros(P, 1, 0)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture
def population(generator):
    population = Population(SIZE, (False, True), (1, 2))
    with torch.no_grad():
        for parameter in population.parameters():
            parameter += 0.5 * torch.randn(parameter.shape, generator=generator)
    return population


def outputs_and_weight(generator):
    outputs = 2 * torch.randn(P, B, CHOICES, generator=generator)
    return outputs, torch.rand(P, B, generator=generator).softmax(1)


def test_log_prob_and_entropy_of_choices_are_those_of_torch(generator):
    outputs, weight = outputs_and_weight(generator)
    actions = torch.randint(0, CHOICES, (P, B, 1), generator=generator).float()
    expected = TorchCategorical(logits=outputs)
    found = Categorical(CHOICES).log_prob(outputs, EMPTY, actions)
    torch.testing.assert_close(found, expected.log_prob(actions[..., 0]))
    entropy = Categorical(CHOICES).entropy(outputs, EMPTY, weight)
    torch.testing.assert_close(entropy, (expected.entropy() * weight).sum(1))


def test_log_prob_and_entropy_of_a_gaussian_are_those_of_torch(generator):
    outputs, weight = outputs_and_weight(generator)
    log_std = torch.randn(P, 1, CHOICES, generator=generator)
    actions = torch.randn(P, B, CHOICES, generator=generator)
    expected = Independent(Normal(outputs, log_std.exp()), 1)
    distribution = Gaussian(CHOICES)
    torch.testing.assert_close(distribution.log_prob(outputs, log_std, actions), expected.log_prob(actions))
    constant = 0.5 * CHOICES * (1 + math.log(2 * math.pi))
    entropy = distribution.entropy(outputs, log_std, weight)
    torch.testing.assert_close(entropy + constant, (expected.entropy() * weight).sum(1))


def test_choices_are_drawn_as_often_as_they_are_likely(generator):
    outputs = torch.tensor([[[2.0, 0.0, -1.0, 1.0]]]).expand(1, 40_000, -1)
    drawn = Categorical(CHOICES).sample(outputs, torch.zeros(1, 1, 0), generator)
    assert drawn.shape == (1, 40_000, 1) and drawn.dtype == outputs.dtype
    shares = torch.bincount(drawn.flatten().long(), minlength=CHOICES) / drawn.numel()
    torch.testing.assert_close(shares, outputs[0, 0].softmax(-1), atol=0.01, rtol=0)


def test_the_mode_is_the_likeliest_action(generator):
    outputs, _ = outputs_and_weight(generator)
    assert torch.equal(Gaussian(CHOICES).mode(outputs), outputs)
    assert torch.equal(Categorical(CHOICES).mode(outputs)[..., 0].long(), outputs.argmax(-1))


def test_a_discrete_policy_taken_out_acts_as_it_did_in_the_stack(population, generator):
    observations = torch.randn(P, B, SIZE.n_observations, generator=generator)
    one_hot = objective_one_hot(torch.randint(0, 2, (P, B), generator=generator), 2)
    actor_inputs, _ = population.inputs(observations, one_hot)
    outputs = population.actor(actor_inputs)
    actions = population.sample(outputs, generator)
    log_probs = population.log_prob(outputs, actions)
    for index in range(P):
        policy = population.policy(index)
        assert type(policy) is CategoricalPolicy
        assert next(name for name, _ in policy.named_parameters()) == "layers.0.weight"  # no spread to learn
        raw = torch.cat([observations, one_hot * population.conditioned], -1)[index]
        torch.testing.assert_close(policy.log_prob(raw, actions[index]), log_probs[index])


def test_a_discrete_clone_acts_alike(population, generator):
    clone = clone_policy(population, 1, (True, True, True))
    inputs = torch.randn(1, B, SIZE.n_inputs, generator=generator)
    outputs = clone.actor(inputs.expand(3, -1, -1))
    torch.testing.assert_close(outputs, population.actor(inputs.expand(2, -1, -1))[1:].expand(3, -1, -1))


def bandit(population, layout, generator, steps=64):
    """Choices of a population whose objective i pays for choice i, and nothing else."""
    one_hot = objective_one_hot(layout.slot_objectives, SIZE.n_objectives)
    observations = torch.zeros(*layout.mask.shape, SIZE.n_observations)
    inputs = population.inputs(observations, one_hot)
    actor, critic = (part.expand(steps, -1, -1, -1) for part in inputs)
    with torch.no_grad():
        outputs = population.actor(inputs[0]).expand(steps, -1, -1, -1)
        actions = population.sample(outputs, generator)
        zero, over = torch.zeros(actions.shape[:-1]), torch.ones(actions.shape[:-1], dtype=torch.bool)
        rewards = (actions[..., 0] == layout.slot_objectives).float()
        return Batch(actor, critic, actions, population.log_prob(outputs, actions), zero, zero, rewards, over, over)


def test_ppo_learns_which_choice_pays(generator):
    layout = make_layout((Member((0, 1), True, 8), Member((1,), False, 4)))
    population = Population(SIZE, (True, False), (1, 2))
    optimiser = torch.optim.Adam(population.parameters(), lr=1e-2)
    first = bandit(population, layout, generator).rewards.mean((0, 2))
    for _ in range(15):
        metrics = update(population, optimiser, bandit(population, layout, generator), layout, PPOConfig(), generator)
    rewards = bandit(population, layout, generator).rewards
    assert first.max() < 0.5
    assert rewards[:, 0].mean() > 0.95 and rewards[:, 1, :4].mean() > 0.95
    assert (metrics.entropy < 0.5).all() and (metrics.entropy >= 0).all()


def test_an_entropy_bonus_keeps_choices_open(generator):
    layout = make_layout((Member((0,), False, 8),))
    size = replace(SIZE, n_objectives=2)
    entropies = []
    for weight in (0.0, 1.0):
        population = Population(size, (False,), (1,))
        optimiser = torch.optim.Adam(population.parameters(), lr=1e-2)
        config = PPOConfig(entropy_weight=weight)
        for _ in range(10):
            metrics = update(population, optimiser, bandit(population, layout, generator), layout, config, generator)
        entropies.append(metrics.entropy.item())
    assert entropies[1] > entropies[0] + 0.3


def test_a_saved_discrete_population_is_the_same(population):
    twin = Population(SIZE, (False, False), (0, 0))
    twin.load_state_dict(copy.deepcopy(population.state_dict()))
    assert all(torch.equal(a, b) for a, b in zip(twin.parameters(), population.parameters(), strict=True))
