from __future__ import annotations

import numpy as np
import pytest
import torch

from pgx_core.gradients.parameters import flatten_parameters, with_parameters
from pgx_core.gradients.per_sample import per_sample_gradients
from pgx_core.learning.network import GaussianPolicy
from pgx_core.types import Transitions
from pgx_core.validation.taylor import LENGTHS, RANDOM_DIRECTIONS, taylor_errors


def test_both_errors_are_those_of_the_changed_network() -> None:
    rng = np.random.default_rng(0)
    whole = [np.zeros(50, dtype=np.int64)] * 2
    seen = Transitions(rng.normal(size=(50, 3)), rng.normal(size=(50, 2)), rng.normal(size=50), *whole, ("a",))
    torch.manual_seed(0)
    policy = GaussianPolicy(3, 2, (5,)).double()
    theta, batch = flatten_parameters(policy), (torch.tensor(seen.observations), torch.tensor(seen.actions))
    steps = torch.randn(2, len(theta), dtype=torch.float64)
    found = taylor_errors(policy, steps, seen, seed=0)
    assert found.random_errors.shape == found.random_residuals.shape == (RANDOM_DIRECTIONS, len(LENGTHS))
    gradients = per_sample_gradients(policy, *batch)
    for s, step in enumerate(steps):
        for i, length in enumerate(LENGTHS):
            moved = length * theta.norm() * step / step.norm()
            with torch.no_grad():
                before = policy.log_prob(*batch)
                after = with_parameters(policy, theta + moved).log_prob(*batch)  # type: ignore[operator]
            error = before + gradients @ moved - after
            assert found.adapted_errors[s, i] == pytest.approx(float(error.abs().mean() / after.abs().mean()), rel=1e-6)
            ratio = float(error.norm() / (after - before).norm())
            assert found.adapted_residuals[s, i] == pytest.approx(ratio, rel=1e-6)
