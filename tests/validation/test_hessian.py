from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pgx_core.gradients.parameters import flatten_parameters
from pgx_core.gradients.per_sample import per_sample_gradients
from pgx_core.learning.network import GaussianPolicy
from pgx_core.types import Transitions
from pgx_core.validation.hessian import generalisation_measure, hutchinson, loss_of, sharpness
from pgx_core.validation.stages import prior_of

N = 60


@pytest.fixture
def policy() -> GaussianPolicy:
    return GaussianPolicy(3, 2, (4,)).double()


@pytest.fixture
def transitions() -> Transitions:
    rng = np.random.default_rng(0)
    return Transitions(
        observations=rng.normal(size=(N, 3)),
        actions=rng.normal(size=(N, 2)),
        advantages=rng.normal(size=N),
        objectives=np.repeat([0, 1, 1], N // 3),
        episodes=np.arange(N) // 5,
        names=("a", "b"),
    )


def test_the_trace_is_that_of_the_exact_hessian(policy: GaussianPolicy, transitions: Transitions) -> None:
    loss, theta = loss_of(policy, transitions), flatten_parameters(policy)
    exact = float(torch.func.hessian(loss)(theta).trace())
    found = hutchinson(loss, theta, 200, seed=0)
    assert found.value == pytest.approx(exact, abs=4 * found.error)
    assert found.error < 0.1 * abs(exact)


def test_a_diagonal_hessian_takes_one_probe() -> None:
    scale = torch.arange(5.0)

    def loss(theta: Tensor) -> Tensor:
        return (scale * theta.square()).sum()

    found = hutchinson(loss, torch.ones(5), 2, seed=3)
    assert (found.value, found.error) == (20.0, 0.0)


def test_the_error_is_the_spread_of_repeated_estimates(policy: GaussianPolicy, transitions: Transitions) -> None:
    loss, theta = loss_of(policy, transitions), flatten_parameters(policy)
    found = [hutchinson(loss, theta, 8, seed) for seed in range(30)]
    assert np.std([f.value for f in found]) == pytest.approx(np.mean([f.error for f in found]), rel=0.4)


def test_the_loss_weighs_every_objective_alike(policy: GaussianPolicy, transitions: Transitions) -> None:
    loss, theta = loss_of(policy, transitions), flatten_parameters(policy)
    means = [np.abs(transitions.advantages[transitions.objectives == i]).mean() for i in (0, 1)]
    assert float(loss(theta)) == pytest.approx(math.log(2) * np.mean(means))
    g = per_sample_gradients(policy, torch.tensor(transitions.observations), torch.tensor(transitions.actions))
    owns = [transitions.objectives == i for i in (0, 1)]
    pulls = [transitions.advantages[own] @ g.numpy()[own] / own.sum() for own in owns]
    np.testing.assert_allclose(torch.func.grad(loss)(theta).numpy(), -0.5 * np.mean(pulls, 0), rtol=1e-8)


def test_the_measure(transitions: Transitions) -> None:
    largest = np.abs(transitions.advantages).max() * math.log(2)
    assert generalisation_measure(3.0, 2.0, transitions) == pytest.approx(math.sqrt(largest * 3.0 * 4.0 / N))
    assert generalisation_measure(-1.0, 2.0, transitions) == 0.0


def test_a_policy_that_started_afresh_has_no_prior(policy: GaussianPolicy) -> None:
    assert [prior_of(method, policy) for method in ("groups", "groups_id", "joint")] == [policy] * 3
    assert prior_of("joint_id", policy) is None and prior_of("joint_wide_id", policy) is None


def test_every_policy_is_measured_on_its_own_experience(policy: GaussianPolicy, transitions: Transitions) -> None:
    torch.manual_seed(1)
    other: nn.Module = GaussianPolicy(3, 2, (4,)).double()
    first, second = transitions.rows(np.arange(20)), transitions.rows(transitions.objectives == 1)
    found = sharpness(("one", "two"), [policy, other], [first, second], [policy, policy], seed=0)
    alone = sharpness(("two",), [other], [second], [policy], seed=0)
    assert found.traces[1] == alone.traces[0] and found.measures[1] == alone.measures[0]
    assert found.measures[0] == 0.0  # it is the prior
    assert math.isnan(sharpness(("two",), [other], [second], [None], seed=0).measures[0])
