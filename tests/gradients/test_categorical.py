"""Features of a policy with discrete actions: exact, like those of continuous ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pgx_core.gradients.basis import lift
from pgx_core.gradients.features import FeatureConfig, compute_features
from pgx_core.gradients.parameters import flatten_parameters, with_parameters
from pgx_core.gradients.per_sample import (
    FactoredGradients,
    dense_gradients,
    gradients_of,
    per_sample_gradients,
)
from pgx_core.gradients.taylor import taylor_residuals
from pgx_core.learning.network import CategoricalPolicy
from pgx_core.types import SurrogateSolution, Transitions

N, N_INPUTS, CHOICES = 90, 6, 4


@pytest.fixture
def policy() -> CategoricalPolicy:
    torch.manual_seed(0)
    policy = CategoricalPolicy(N_INPUTS, CHOICES, (9, 8))
    policy.observation_mean.normal_()
    return policy.double()


@pytest.fixture
def transitions() -> Transitions:
    rng = np.random.default_rng(0)
    return Transitions(
        observations=2.0 * rng.normal(size=(N, N_INPUTS)),
        actions=rng.integers(0, CHOICES, (N, 1)).astype(float),
        advantages=rng.normal(size=N),
        objectives=np.arange(N) % 3,
        episodes=np.arange(N) // 6,
        names=("a", "b", "c"),
    )


@pytest.fixture
def exact(policy, transitions) -> torch.Tensor:
    observations, actions = torch.from_numpy(transitions.observations), torch.from_numpy(transitions.actions)
    return per_sample_gradients(policy, observations, actions)


def test_both_fast_forms_agree_with_one_autograd_call_per_sample(policy, transitions, exact) -> None:
    observations, actions = torch.from_numpy(transitions.observations), torch.from_numpy(transitions.actions)
    factored = gradients_of(policy, observations, actions)
    assert isinstance(factored, FactoredGradients)
    torch.testing.assert_close(factored.dense(), exact)
    torch.testing.assert_close(dense_gradients(policy, observations, actions).dense(), exact)


def test_the_last_layers_gradient_is_one_hot_minus_probabilities(policy, transitions, exact) -> None:
    probabilities = policy(torch.from_numpy(transitions.observations)).softmax(-1)
    one_hot = torch.eye(CHOICES).double()[transitions.actions[:, 0].astype(int)]
    torch.testing.assert_close(exact[:, -CHOICES:], one_hot - probabilities)


def test_gram_features_have_the_gradients_inner_products(policy, transitions, exact) -> None:
    parameters = len(flatten_parameters(policy))
    found = compute_features(policy, transitions, FeatureConfig(dimensions=parameters)).features
    assert found.energy == pytest.approx(1.0)
    np.testing.assert_allclose(found.coordinates @ found.coordinates.T, exact @ exact.T, atol=1e-9)


def test_projected_features_are_the_gradients_times_the_matrix(policy, transitions, exact) -> None:
    result = compute_features(policy, transitions, FeatureConfig("projection", 30))
    columns = lift(policy, result.basis, np.eye(30))
    np.testing.assert_allclose(result.features.coordinates, exact @ columns.T, atol=1e-9)


@pytest.mark.parametrize("mode", ["gram", "projection"])
def test_a_lifted_step_changes_log_probabilities_as_predicted(policy, transitions, mode) -> None:
    result = compute_features(policy, transitions, FeatureConfig(mode, 40))
    z = np.random.default_rng(1).normal(size=(1, 40))
    step = 1e-6 * lift(policy, result.basis, z)[0]
    moved = with_parameters(policy, flatten_parameters(policy) + step)
    observations, actions = torch.from_numpy(transitions.observations), torch.from_numpy(transitions.actions)
    change = (moved.log_prob(observations, actions) - policy.log_prob(observations, actions)).detach() / 1e-6
    np.testing.assert_allclose(result.features.coordinates @ z[0], change, rtol=1e-3, atol=1e-3)


def test_the_taylor_error_vanishes_with_the_step(policy, transitions) -> None:
    result = compute_features(policy, transitions, FeatureConfig(dimensions=40))
    z = np.random.default_rng(1).normal(size=(1, 40))
    solution = SurrogateSolution(z, np.zeros(1), np.zeros(1), np.full(1, 0.1))
    lengths = (1e-4, 1e-3, 1e-2)
    residuals = taylor_residuals(policy, result.basis, solution, transitions, lengths).residuals[0, :3]
    np.testing.assert_allclose(residuals[1:] / residuals[:-1], 10.0, rtol=0.3)  # first order: the error is second
    assert residuals[0] < 1e-2
