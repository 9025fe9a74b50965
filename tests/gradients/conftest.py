from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal

from pgx_core.learning.network import GaussianPolicy
from pgx_core.types import Transitions

N_INPUTS, N_ACTIONS = 7, 3


class LibraryPolicy(nn.Module):
    """Written as public libraries write theirs: a Sequential, torch.distributions, a state-dependent spread."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(N_INPUTS, 8), nn.ELU(), nn.LayerNorm(8), nn.Linear(8, 2 * N_ACTIONS))

    def log_prob(self, observations: Tensor, actions: Tensor) -> Tensor:
        mean, log_std = self.body(observations).chunk(2, dim=-1)
        return Independent(Normal(mean, log_std.exp()), 1).log_prob(actions)


def _plain() -> GaussianPolicy:
    torch.manual_seed(0)
    policy = GaussianPolicy(N_INPUTS, N_ACTIONS, (9, 8))
    with torch.no_grad():
        policy.log_std.copy_(torch.tensor([-0.7, 0.1, -0.2]))
        policy.observation_mean.normal_()
        policy.observation_std.uniform_(0.5, 2.0)
    return policy.double()


def _library() -> LibraryPolicy:
    torch.manual_seed(1)
    return LibraryPolicy().double()


@pytest.fixture
def plain_policy() -> GaussianPolicy:
    return _plain()


@pytest.fixture(params=[_plain, _library], ids=["plain", "library"])
def policy(request: pytest.FixtureRequest) -> nn.Module:
    return request.param()


@pytest.fixture
def make_transitions() -> Callable[..., Transitions]:
    def make(n: int, objectives: np.ndarray | None = None) -> Transitions:
        rng = np.random.default_rng(0)
        return Transitions(
            observations=2.0 * rng.normal(size=(n, N_INPUTS)),
            actions=rng.normal(size=(n, N_ACTIONS)),
            advantages=np.concatenate([[0.0], rng.normal(size=n - 1)]),
            objectives=np.arange(n) % 3 if objectives is None else objectives,
            episodes=np.arange(n) // 6,
            names=("run", "jump", "stand"),
        )

    return make


@pytest.fixture
def transitions(make_transitions: Callable[..., Transitions]) -> Transitions:
    return make_transitions(120)
