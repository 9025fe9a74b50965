from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from pgx_core.gradients.parameters import flatten_parameters, functional_log_prob, unflatten_parameters, with_parameters
from pgx_core.gradients.per_sample import (
    DenseGradients,
    Sides,
    dense_gradients,
    gradients_of,
    matrix_shapes,
    per_sample_gradients,
)
from pgx_core.learning.network import GaussianPolicy
from pgx_core.types import Transitions


@pytest.fixture
def batch(transitions: Transitions) -> tuple[Tensor, Tensor]:
    return torch.tensor(transitions.observations), torch.tensor(transitions.actions)


def relative(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max() / b.abs().max())


def test_the_loop_agrees_with_finite_differences(policy: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    observations, actions = batch[0][:3], batch[1][:3]
    gradients = per_sample_gradients(policy, observations, actions)
    theta, log_prob = flatten_parameters(policy), functional_log_prob(policy)
    step = 1e-6
    for p in range(len(theta)):
        shift = torch.zeros_like(theta)
        shift[p] = step
        above, below = (
            log_prob(unflatten_parameters(policy, t), observations, actions) for t in (theta + shift, theta - shift)
        )
        torch.testing.assert_close((above - below).detach() / (2 * step), gradients[:, p], rtol=1e-5, atol=1e-6)


def test_every_form_equals_the_loop(policy: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    loop = per_sample_gradients(policy, *batch)
    shapes = matrix_shapes(policy)
    sizes = [o * i for o, i in shapes]
    matrices = [part.unflatten(1, shape) for part, shape in zip(loop.split(sizes, dim=1), shapes, strict=True)]
    axes = tuple(Sides(random_axes(o), random_axes(i)) for o, i in shapes)
    kept = tuple(torch.randperm(size)[: size // 2].sort().values for size in sizes)
    turned = [(a.left.T @ g @ a.right).flatten(1) for g, a in zip(matrices, axes, strict=True)]
    for gradients in (gradients_of(policy, *batch), dense_gradients(policy, *batch)):
        assert relative(gradients.dense(), loop) < 1e-12
        assert relative(gradients.squared_norms(), loop.square().sum(1)) < 1e-12
        assert relative(gradients.energies(axes), torch.cat(turned, 1).square().sum(0)) < 1e-12
        chosen = torch.cat([entries[:, some] for entries, some in zip(turned, kept, strict=True)], 1)
        assert relative(gradients.entries(axes, kept), chosen) < 1e-12
        for moment, g in zip(gradients.moments(), matrices, strict=True):
            assert relative(moment.left, (g @ g.mT).sum(0)) < 1e-12
            assert relative(moment.right, (g.mT @ g).sum(0)) < 1e-12


def test_a_parameter_may_have_no_kept_entry(policy: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    shapes = matrix_shapes(policy)
    axes = tuple(Sides(random_axes(o), random_axes(i)) for o, i in shapes)
    kept = tuple(torch.arange(index == 1) for index in range(len(shapes)))
    for gradients in (gradients_of(policy, *batch), dense_gradients(policy, *batch)):
        assert gradients.entries(axes, kept).shape == (len(batch[0]), 1)


def test_a_parameter_may_be_a_single_number(batch: tuple[Tensor, Tensor]) -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.gain = nn.Linear(7, 3), nn.Parameter(torch.tensor(1.5))

        def log_prob(self, observations: Tensor, actions: Tensor) -> Tensor:
            return -(actions - self.gain * self.layer(observations)).square().sum(-1)

    policy = Scaled().double()
    gradients = gradients_of(policy, *batch)
    assert relative(gradients.dense(), per_sample_gradients(policy, *batch)) < 1e-12
    assert sum(o * i for o, i in matrix_shapes(policy)) == gradients.dense().shape[1]


def random_axes(size: int) -> Tensor:
    return torch.linalg.qr(torch.randn(size, size, dtype=torch.float64)).Q


def test_a_subclass_may_compute_its_density_otherwise(batch: tuple[Tensor, Tensor]) -> None:
    class Doubled(GaussianPolicy):
        def log_prob(self, observations: Tensor, actions: Tensor) -> Tensor:
            return 2.0 * super().log_prob(observations, actions)

    policy = Doubled(7, 3, (5,)).double()
    gradients = gradients_of(policy, *batch)
    assert isinstance(gradients, DenseGradients)
    assert relative(gradients.dense(), per_sample_gradients(policy, *batch)) < 1e-12


def test_clipped_observations_have_no_slope_of_their_own(
    plain_policy: GaussianPolicy, batch: tuple[Tensor, Tensor]
) -> None:
    wild = batch[0] * 100.0
    fast = gradients_of(plain_policy, wild, batch[1]).dense()
    assert relative(fast, per_sample_gradients(plain_policy, wild, batch[1])) < 1e-12


def test_distribution_checks_are_switched_back_on(policy: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    before = Distribution._validate_args
    dense_gradients(policy, *batch)
    assert Distribution._validate_args is before


def test_parameters_round_trip_and_leave_the_module_alone(policy: nn.Module) -> None:
    theta = flatten_parameters(policy)
    changed = with_parameters(policy, theta + 1.0)
    assert torch.equal(flatten_parameters(changed), theta + 1.0)
    assert torch.equal(flatten_parameters(policy), theta)
    assert [n for n, _ in changed.named_parameters()] == list(unflatten_parameters(policy, theta))
