"""Networks that take the objective apart: against hand computation, alone and stacked, and in a training."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from pgx_core.gradients.features import FeatureConfig, compute_features
from pgx_core.gradients.parameters import flatten_parameters
from pgx_core.gradients.per_sample import DenseGradients, gradients_of, per_sample_gradients
from pgx_core.learning import soft_modules
from pgx_core.learning.network import TASK_NETWORKS, NetworkSize, Population, clone_policy, objective_one_hot
from pgx_core.learning.paco import SETS, PaCo
from pgx_core.learning.soft_modules import SoftModules
from pgx_core.learning.task_network import TaskNetworkSize
from pgx_core.types import Transitions

KINDS = pytest.mark.parametrize("kind", list(TASK_NETWORKS))
SIZE = NetworkSize(n_observations=5, n_objectives=3, n_actions=2, hidden=(12, 12))
B = 6


def scatter(module: torch.nn.Module, seed: int = 0) -> None:
    """Move every parameter away from its initial value."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.4 * torch.randn(parameter.shape, generator=generator)


def make(kind, conditioned=(True, True, False), discrete=False) -> Population:
    population = Population(replace(SIZE, network=kind, discrete=discrete), conditioned, tuple(range(len(conditioned))))
    scatter(population)
    return population


def draw(population: Population) -> tuple[torch.Tensor, torch.Tensor]:
    """Observations and one-hot objectives for every policy."""
    generator = torch.Generator().manual_seed(1)
    observations = torch.randn(population.n_policies, B, 5, generator=generator)
    objectives = torch.arange(B).expand(population.n_policies, B) % 3
    return observations, objective_one_hot(objectives, 3)


@KINDS
@pytest.mark.parametrize("discrete", [False, True])
def test_a_policy_taken_out_acts_as_it_did_in_the_stack(kind, discrete) -> None:
    population = make(kind, discrete=discrete)
    observations, one_hot = draw(population)
    actor_inputs, _ = population.inputs(observations, one_hot)
    stacked = population.actor(actor_inputs)
    longer = population.actor(actor_inputs.expand(4, *actor_inputs.shape))  # with a time dimension in front
    for index in range(population.n_policies):
        raw = torch.cat([observations, one_hot * population.conditioned], -1)[index]
        torch.testing.assert_close(population.policy(index)(raw), stacked[index], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(longer[2, index], stacked[index], atol=1e-5, rtol=1e-5)


def test_routing_of_two_modules_by_hand(monkeypatch) -> None:
    monkeypatch.setattr(soft_modules, "MODULES", 2)
    network = SoftModules(TaskNetworkSize(1, 2, 1, n_layers=2, width=1))
    with torch.no_grad():
        for name, value in {
            "observation": [[1.0, -1.0]], "task": [[1.0, 0.0], [0.0, 2.0]],
            "module_0": [[[1.0], [0.0]], [[0.0], [2.0]]], "module_bias_0": [[[0.1]], [[0.2]]],
            "module_1": [[[3.0]], [[-1.0]]], "module_bias_1": [[[0.0]], [[0.5]]],
            "down_0": [[1.0, 0.0, 2.0, 0.0], [0.0, 1.0, 0.0, -1.0]], "down_bias_0": [[0.0, 0.3, 0.0, 0.0]],
            "up_1": [[1.0, 0.0], [0.0, 1.0], [0.0, 0.0], [1.0, 1.0]],
            "down_1": [[0.0, 1.0, 1.0, 0.0], [1.0, 0.0, 0.0, 1.0]],
            "output": [[[1.0]], [[-2.0]]], "output_bias": [[0.7]],
        }.items():  # fmt: skip
            network.values[name].copy_(torch.tensor(value))
    f = np.tanh([0.8, -0.8])
    key = f * np.array([1.0, 3.0])  # the second objective

    def share(pairs):
        return np.exp(pairs.reshape(2, 2)) / np.exp(pairs.reshape(2, 2)).sum(1, keepdims=True)

    first = np.maximum(key, 0.0) @ [[1.0, 0.0, 2.0, 0.0], [0.0, 1.0, 0.0, -1.0]] + [0.0, 0.3, 0.0, 0.0]
    signal = np.array([first[0] + first[3], first[1] + first[3]]) * key
    second = np.maximum(signal, 0.0) @ [[0.0, 1.0, 1.0, 0.0], [1.0, 0.0, 0.0, 1.0]]
    g = share(first) @ [math.tanh(f[0] + 0.1), math.tanh(2.0 * f[1] + 0.2)]
    g = share(second) @ [math.tanh(3.0 * g[0]), math.tanh(-g[1] + 0.5)]
    came = network(torch.tensor([[0.8, 0.0, 1.0]]))
    assert came.item() == pytest.approx(g[0] - 2.0 * g[1] + 0.7, abs=1e-6)


@KINDS
def test_routes_and_mixtures_tell_objectives_apart_only_where_they_are_seen(kind) -> None:
    population = make(kind)
    observations, one_hot = draw(population)
    one, two = (population.actor(population.inputs(observations, hot)[0]) for hot in (one_hot, one_hot.roll(1, -1)))
    assert [not torch.equal(one[index], two[index]) for index in range(3)] == [True, True, False]


def test_routes_are_shares() -> None:
    actor = make("soft_modules").actor
    routes = actor.routes(torch.randn(3, B, 2 * actor.size.width), torch.eye(3)[None].expand(3, 3, 3).repeat(1, 2, 1))
    assert len(routes) == len(SIZE.hidden)
    for route in routes:
        torch.testing.assert_close(route.sum(-1), torch.ones(3, B, 4))
        assert route.std() > 0.01


def test_paco_is_the_network_of_the_mixed_parameters() -> None:
    network = PaCo(TaskNetworkSize(5, 3, 2, n_layers=2, width=4))
    scatter(network)
    observations, values = torch.randn(B, 5), network.values
    for objective in range(3):
        weights = values["task_bias"][0] + values["task"][objective]
        hidden = observations
        for layer in range(3):
            weight = sum(weights[k] * values[f"weight_{layer}"][k] for k in range(SETS))
            bias = sum(weights[k] * values[f"bias_{layer}"][k] for k in range(SETS))
            hidden = hidden @ weight + bias
            hidden = torch.tanh(hidden) if layer < 2 else hidden
        one_hot = torch.eye(3)[objective].expand(B, 3)
        torch.testing.assert_close(network(torch.cat([observations, one_hot], 1)), hidden, atol=1e-5, rtol=1e-5)


@KINDS
@pytest.mark.parametrize("hidden", [(16,), (64, 64), (128, 64, 32)])
def test_it_has_about_as_many_parameters_as_the_mlp(kind, hidden) -> None:
    size = NetworkSize(12, 10, 6, hidden, network=kind)
    chosen = size.task_network
    assert abs(TASK_NETWORKS[kind].count(chosen) / size.mlp_parameters - 1) < (0.2 if hidden == (16,) else 0.05)
    actor = Population(size, (True,), (0,)).actor
    assert sum(parameter.numel() for parameter in actor.parameters()) == actor.count(chosen)


@KINDS
def test_each_policy_is_drawn_from_its_own_seed(kind) -> None:
    size = replace(SIZE, network=kind)
    both, second = Population(size, (True, True), (1, 2)).actor, Population(size, (True,), (2,)).actor
    drawn = both.gains(size.task_network)
    assert len(drawn) > len(SIZE.hidden)
    for name in drawn:
        value = both.values[name]
        assert torch.equal(value[1], second.values[name][0]) and not torch.equal(value[0], value[1]), name


@KINDS
def test_every_parameter_gets_a_gradient_and_only_its_own_policys(kind) -> None:
    population = make(kind)
    actor_inputs, _ = population.inputs(*draw(population))
    population.actor(actor_inputs)[1].square().sum().backward()
    for name, parameter in population.actor.named_parameters():
        assert parameter.grad[1].abs().sum() > 0, name
        assert not parameter.grad[[0, 2]].any(), name


@KINDS
def test_a_conditioned_copy_of_a_blind_policy_acts_alike(kind) -> None:
    blind = Population(replace(SIZE, network=kind), (False,), (3,))
    told = clone_policy(blind, 0, (True, True))
    observations, one_hot = draw(told)
    expected = blind.actor(blind.inputs(observations[:1], one_hot[:1])[0])
    torch.testing.assert_close(told.actor(told.inputs(observations, one_hot)[0])[:1], expected)


@KINDS
def test_features_are_its_gradients(kind) -> None:
    policy = make(kind).policy(0).double()
    rng = np.random.default_rng(0)
    n = 40
    objectives = np.arange(n) % 3
    observations = np.concatenate([rng.normal(size=(n, 5)), np.eye(3)[objectives]], 1)
    transitions = Transitions(
        observations, rng.normal(size=(n, 2)), rng.normal(size=n), objectives, np.arange(n) // 4, ("a", "b", "c")
    )
    arrays = torch.from_numpy(transitions.observations), torch.from_numpy(transitions.actions)
    exact = per_sample_gradients(policy, *arrays)
    gradients = gradients_of(policy, *arrays)
    assert isinstance(gradients, DenseGradients)
    torch.testing.assert_close(gradients.dense(), exact)
    found = compute_features(policy, transitions, FeatureConfig(dimensions=len(flatten_parameters(policy)))).features
    np.testing.assert_allclose(found.coordinates @ found.coordinates.T, exact @ exact.T, atol=1e-6)
