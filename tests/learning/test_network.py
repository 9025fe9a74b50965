"""The stacked population against single modules, and what travels with a policy."""

from __future__ import annotations

import copy
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Independent, Normal

from pgx_core.learning.layout import Member, make_layout
from pgx_core.learning.network import GaussianPolicy, NetworkSize, Population, clone_policy, objective_one_hot
from pgx_core.learning.ppo import PPOConfig, update

B = 9


@pytest.fixture
def seen(population):
    """(observations, one-hot) for every policy."""
    size = population.size
    generator = torch.Generator().manual_seed(7)
    observations = 5 * torch.randn(population.n_policies, B, size.n_observations, generator=generator).double()
    objectives = torch.randint(0, size.n_objectives, (population.n_policies, B), generator=generator)
    return observations, objective_one_hot(objectives, size.n_objectives).double()


def test_a_policy_taken_out_acts_as_it_did_in_the_stack(population, seen):
    observations, one_hot = seen
    actor_inputs, _ = population.inputs(observations, one_hot)
    stacked = population.actor(actor_inputs)
    for index in range(population.n_policies):
        policy = population.policy(index).double()
        raw = torch.cat([observations, one_hot * population.conditioned], -1)[index]
        torch.testing.assert_close(policy(raw), stacked[index], rtol=1e-5, atol=1e-6)  # copied in single precision
        assert torch.equal(policy.log_std, population.log_std[index, 0].float().double())


def test_a_policy_taken_out_is_a_copy(population):
    policy = population.policy(1)
    before = copy.deepcopy(population.state_dict())
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.zero_()
        policy.observation_mean.zero_()
    assert all(torch.equal(value, before[name]) for name, value in population.state_dict().items())


def test_log_prob_is_that_of_torch(population, seen):
    policy = population.policy(0).double()
    raw = torch.cat(seen, -1)[0]
    actions = torch.randn(B, population.size.n_actions).double()
    expected = Independent(Normal(policy(raw), policy.log_std.exp()), 1).log_prob(actions)
    torch.testing.assert_close(policy.log_prob(raw, actions), expected)


def test_only_conditioned_actors_see_the_objective_and_every_critic_does(population, seen):
    observations, one_hot = seen
    other = one_hot.roll(1, -1)
    for network, sees in ((population.actor, [False, True, False]), (population.critic, [True] * 3)):
        index = 0 if network is population.actor else 1
        one, two = (network(population.inputs(observations, hot)[index]) for hot in (one_hot, other))
        assert [not torch.equal(one[p], two[p]) for p in range(3)] == sees


def test_the_critic_alone_sees_what_is_privileged():
    size = NetworkSize(5, 3, 2, (8,), n_privileged=4)
    population = Population(size, (True, False), (1, 2))
    one_hot, observations = torch.eye(3).expand(2, 3, 3), torch.randn(2, 3, 9)
    other = torch.cat([observations[..., :5], torch.randn(2, 3, 4)], -1)
    (actor, critic), (same, differs) = population.inputs(observations, one_hot), population.inputs(other, one_hot)
    assert torch.equal(actor, same) and actor.shape[-1] == size.n_inputs == 8
    assert not torch.equal(population.critic(critic), population.critic(differs))
    population.update_normaliser(observations, torch.ones(2, 3))
    policy = population.policy(1)
    assert policy.observation_mean.shape == (8,)
    expected, _ = population.inputs(observations, one_hot)
    torch.testing.assert_close(
        policy(torch.cat([observations[1, :, :5], torch.zeros(3, 3)], -1)), population.actor(expected)[1]
    )


def test_observations_are_clipped_ten_deviations_from_the_mean(population, seen):
    observations, one_hot = seen
    actor, critic = population.inputs(observations + 1e9, one_hot)
    n = population.size.n_observations
    assert (actor[..., :n] == 10.0).all() and (critic[..., :n] == 10.0).all()


def test_policies_do_not_touch_each_other(population, seen):
    inputs, _ = population.inputs(*seen)
    expected = population.actor(inputs)
    with torch.no_grad():
        for parameter in population.parameters():
            parameter[1] = torch.nan
    came = population.actor(inputs)
    assert torch.equal(came[0], expected[0]) and torch.equal(came[2], expected[2])


def test_seeds_decide_the_start_and_a_new_actor_is_blind_to_the_objective():
    size = NetworkSize(5, 3, 2, (8,))
    first, again = Population(size, (True, True), (1, 2)), Population(size, (True, True), (1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(first.actor.weights[0][0], first.actor.weights[0][1])
    assert torch.equal(Population(size, (False,), (2,)).actor.weights[0][0], first.actor.weights[0][1])
    actor, _ = first.inputs(torch.randn(2, 3, 5), torch.eye(3).expand(2, 3, 3))
    with_id = first.actor(actor)
    actor[..., 5:] = 0.0
    assert torch.equal(first.actor(actor), with_id)
    torch.testing.assert_close(first.log_std.exp(), torch.full((2, 1, 2), 0.6))


@given(st.lists(st.integers(2, 6), min_size=1, max_size=4), st.integers(0, 2**31))
def test_the_normaliser_equals_the_statistics_of_all_data(counts, seed):
    size = NetworkSize(4, 1, 1, (2,))
    population = Population(size, (False, False), (0, 1)).double()
    generator = torch.Generator().manual_seed(seed)
    seen: list[list[torch.Tensor]] = [[], []]
    for count in counts:
        observations = 3 + 2 * torch.randn(2, 6, 4, generator=generator).double()
        observations[:, 0] += 20  # no batch is so narrow that the floor of the deviation counts
        mask = torch.ones(2, 6).double()
        mask[1, count:] = 0.0  # the second policy has empty slots
        population.update_normaliser(observations, mask)
        seen[0].append(observations[0])
        seen[1].append(observations[1, :count])
        for policy, data in enumerate(map(torch.cat, seen)):
            np.testing.assert_allclose(population.observation_mean[policy, 0], data.mean(0), atol=1e-9)
            assert population.observation_count[policy].item() == len(data)
            np.testing.assert_allclose(population.observation_std[policy, 0], data.std(0, unbiased=False), atol=1e-9)


def test_a_reading_that_never_moves_keeps_a_floor():
    population = Population(NetworkSize(2, 1, 1, (2,)), (False,), (0,))
    for _ in range(5):
        population.update_normaliser(torch.full((1, 8, 2), 3.0), torch.ones(1, 8))
    torch.testing.assert_close(population.observation_std, torch.full((1, 1, 2), 1e-2))
    torch.testing.assert_close(population.observation_mean, torch.full((1, 1, 2), 3.0))


def act(population, observations):
    """Every policy on every objective: [objectives, P, B, actions]."""
    eye = torch.eye(population.size.n_objectives).to(observations)
    return torch.stack(
        [population.actor(population.inputs(observations, hot.expand(*observations.shape[:2], -1))[0]) for hot in eye]
    )


def test_a_conditioned_copy_of_a_blind_policy_acts_alike_until_it_is_trained(population, batch):
    population.actor.weights[0].data[0, population.size.n_observations :] = 0.0  # as blind training leaves them
    clone = clone_policy(population, 0, (True, False)).double()
    assert clone.conditioned.flatten().tolist() == [1.0, 0.0]
    observations = torch.randn(2, B, population.size.n_observations).double()
    expected = act(population, observations[:1].expand(3, -1, -1))[:, :1]
    came = act(clone, observations[:1].expand(2, -1, -1))
    torch.testing.assert_close(came, expected.expand_as(came), atol=1e-5, rtol=1e-5)  # cloned in single precision
    assert torch.equal(clone.log_std, population.log_std[:1].float().double().expand(2, -1, -1))
    assert torch.equal(clone.observation_count, population.observation_count[:1].expand(2, -1, -1))

    layout = make_layout((Member((0, 1, 2), True, 7),) * 2)
    _train_once(clone, batch, layout)
    trained = act(clone, observations)
    assert not torch.allclose(trained[0, 0], trained[1, 0])  # now it tells objectives apart
    assert torch.equal(trained[0, 1], trained[1, 1])  # and its blind twin does not


def _train_once(clone, batch, layout):
    same = type(batch)(
        *(
            getattr(batch, f.name)[:, :1].expand(-1, 2, *[-1] * (getattr(batch, f.name).dim() - 2))
            for f in fields(batch)
        )
    )
    n = clone.size.n_observations
    one_hot = objective_one_hot(layout.slot_objectives, clone.size.n_objectives).double() * clone.conditioned
    actor_inputs = torch.cat([same.actor_inputs[..., :n], one_hot.expand(len(same.rewards), -1, -1, -1)], -1)
    same = replace(same, actor_inputs=actor_inputs)
    optimiser = torch.optim.Adam(clone.parameters(), lr=1e-2)
    update(
        clone,
        optimiser,
        same,
        replace(layout, mask=layout.mask.double()),
        PPOConfig(max_divergence=1e30),
        torch.Generator(),
    )


def test_a_clone_shares_no_memory(population):
    clone = clone_policy(population, 2, (False, False))
    before = copy.deepcopy(population.state_dict())
    twin = copy.deepcopy(clone.state_dict())
    with torch.no_grad():
        for tensor in (*clone.parameters(), *clone.buffers()):
            tensor[0] = torch.nan
    assert all(torch.equal(value, before[name]) for name, value in population.state_dict().items())
    assert all(torch.equal(value[1], twin[name][1]) for name, value in clone.state_dict().items())


def test_a_plain_policy_normalises_its_input():
    policy = GaussianPolicy(3, 2, (4,))
    policy.observation_mean.copy_(torch.tensor([1.0, 2.0, 3.0]))
    policy.observation_std.copy_(torch.tensor([1.0, 2.0, 0.1]))
    torch.testing.assert_close(policy.normalise(torch.tensor([2.0, 0.0, 9.0])), torch.tensor([1.0, -1.0, 10.0]))
