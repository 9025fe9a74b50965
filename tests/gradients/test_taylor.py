from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from pgx_core.gradients.basis import lift
from pgx_core.gradients.features import FeatureConfig, compute_features
from pgx_core.gradients.parameters import flatten_parameters, with_parameters
from pgx_core.gradients.per_sample import per_sample_gradients
from pgx_core.gradients.taylor import taylor_residuals
from pgx_core.types import SurrogateSolution, Transitions

LENGTHS = (1e-5, 1e-3, 1e-2)


def solution(steps: np.ndarray) -> SurrogateSolution:
    return SurrogateSolution(steps, *[np.zeros(len(steps))] * 3)


def test_residuals_are_those_of_the_changed_network(policy: nn.Module, transitions: Transitions) -> None:
    made = compute_features(policy, transitions, FeatureConfig(dimensions=10))
    steps = 0.01 * np.random.default_rng(0).normal(size=(2, 10))
    result = taylor_residuals(policy, made.basis, solution(steps), transitions, LENGTHS)
    assert result.residuals.shape == (2, 4)
    batch = torch.tensor(transitions.observations), torch.tensor(transitions.actions)
    theta, gradients = flatten_parameters(policy), per_sample_gradients(policy, *batch)
    for row, step in zip(result.residuals, lift(policy, made.basis, steps), strict=True):
        scales = [length * theta.norm() / step.norm() for length in LENGTHS] + [1.0]
        for residual, scale in zip(row, scales, strict=True):
            changed = with_parameters(policy, theta + scale * step)
            with torch.no_grad():
                real = changed.log_prob(*batch) - policy.log_prob(*batch)  # type: ignore[operator]
            expected = (scale * gradients @ step - real).norm() / real.norm()
            assert residual == pytest.approx(float(expected), rel=1e-3)


def test_residuals_vanish_with_the_length(policy: nn.Module, transitions: Transitions) -> None:
    made = compute_features(policy, transitions, FeatureConfig(dimensions=10))
    result = taylor_residuals(policy, made.basis, solution(np.ones((1, 10))), transitions, LENGTHS)
    short, middle, long = result.residuals[0, :3]
    # The error of a first-order formula is quadratic, its relative error linear in the length.
    assert middle / short == pytest.approx(100.0, rel=0.05)
    assert long > middle


def test_single_precision_policies_are_compared_precisely(policy: nn.Module, transitions: Transitions) -> None:
    made = compute_features(policy.float(), transitions, FeatureConfig(dimensions=10))
    result = taylor_residuals(policy, made.basis, solution(np.ones((1, 10))), transitions, (1e-6,))
    assert result.residuals[0, 0] < 1e-4
    assert next(policy.parameters()).dtype == torch.float32


def test_a_step_of_no_length_has_no_residual(policy: nn.Module, transitions: Transitions) -> None:
    made = compute_features(policy, transitions, FeatureConfig(dimensions=10))
    result = taylor_residuals(policy, made.basis, solution(np.zeros((1, 10))), transitions, LENGTHS)
    assert np.isnan(result.residuals).all()
