"""The method on problems whose groups are known, with policies it knows nothing about."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pgx_core.affinity.matrix import AffinityConfig
from pgx_core.clustering.auto import ClusteringConfig
from pgx_core.errors import ConfigError
from pgx_core.gradients.features import FeatureConfig
from pgx_core.grouping import GroupingConfig, group_objectives
from pgx_core.types import Transitions

CONFIG = GroupingConfig(
    features=FeatureConfig(dimensions=30),
    affinity=AffinityConfig(bootstrap=50),
    clustering=ClusteringConfig(bootstrap=20),
)
INPUTS, EPISODES, LENGTH = 4, 10, 20


class LinearGaussian(nn.Module):
    """The smallest policy: a mean that is linear in the state, and a fixed spread."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = nn.Linear(INPUTS, 2)

    def log_prob(self, observations: Tensor, actions: Tensor) -> Tensor:
        return -0.5 * (actions - self.mean(observations)).square().sum(-1)

    def sample(self, observations: Tensor) -> Tensor:
        mean = self.mean(observations)
        return mean + torch.randn(mean.shape)

    def direction(self, actions: Tensor) -> Tensor:
        return actions[:, 0] - self.mean.bias[0]


class Chooser(nn.Module):
    """Three discrete actions as one-hot vectors, from a network with normalised layers."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(INPUTS, 16), nn.LayerNorm(16), nn.GELU(), nn.Linear(16, 3))

    def log_prob(self, observations: Tensor, actions: Tensor) -> Tensor:
        return (self.net(observations).log_softmax(-1) * actions).sum(-1)

    def sample(self, observations: Tensor) -> Tensor:
        chosen = torch.distributions.Categorical(logits=self.net(observations)).sample()
        return nn.functional.one_hot(chosen, 3).float()

    def direction(self, actions: Tensor) -> Tensor:
        return actions[:, 0] - actions[:, 2]


@torch.no_grad()
def experience(policy: nn.Module, pulls: list[float], seed: int = 0) -> Transitions:
    """Objectives that reward the same kind of action by factors `pulls`: the sign is the group."""
    torch.manual_seed(seed)
    per_objective = EPISODES * LENGTH
    n = len(pulls) * per_objective
    observations = torch.randn(n, INPUTS)
    actions = policy.sample(observations)
    objectives = np.repeat(np.arange(len(pulls)), per_objective)
    advantages = policy.direction(actions).numpy() * np.array(pulls)[objectives]
    advantages = advantages + 0.5 * np.random.default_rng(seed).standard_normal(n)
    return Transitions(
        observations=observations.numpy(),
        actions=actions.numpy(),
        advantages=advantages,
        objectives=objectives,
        episodes=np.repeat(np.arange(len(pulls) * EPISODES), LENGTH),
        names=tuple(f"objective_{i}" for i in range(len(pulls))),
    )


@pytest.fixture(params=[LinearGaussian, Chooser])
def policy(request) -> nn.Module:
    torch.manual_seed(1)
    make: Callable[[], nn.Module] = request.param
    return make()


@pytest.mark.parametrize("pulls", [[1, -1, 1, -1, 1, -1], [1, 1, -2, 1, -0.7], [-1, 1, 1, 1, 1, -1]])
def test_opposite_pulls_are_parted(pulls, policy) -> None:
    partition = group_objectives(policy, experience(policy, pulls), CONFIG)
    expected = [0 if np.sign(pull) == np.sign(pulls[0]) else 1 for pull in pulls]
    assert partition.labels.tolist() == expected
    assert partition.stability > 0.9
    assert partition.names == tuple(f"objective_{i}" for i in range(len(pulls)))


def test_the_policy_is_left_alone(policy) -> None:
    before = {name: value.clone() for name, value in policy.state_dict().items()}
    group_objectives(policy, experience(policy, [1, -1, 1, -1]), CONFIG)
    assert all(torch.equal(value, before[name]) for name, value in policy.state_dict().items())
    assert all(parameter.grad is None for parameter in policy.parameters())


def test_the_same_pull_stays_together(policy) -> None:
    assert group_objectives(policy, experience(policy, [1, 1, 1, 1, 1]), CONFIG).k == 1


def test_two_objectives(policy) -> None:
    assert group_objectives(policy, experience(policy, [1, -1]), CONFIG).k == 2
    assert group_objectives(policy, experience(policy, [1, 1]), CONFIG).k == 1


def test_the_number_of_groups_can_be_given(policy) -> None:
    transitions = experience(policy, [1, -1, 1, -1])
    for k in (1, 2, 4):
        config = GroupingConfig(CONFIG.features, clustering=ClusteringConfig(k=k), affinity=CONFIG.affinity)
        assert group_objectives(policy, transitions, config).k == k
    with pytest.raises(ConfigError, match="1 to the 4 objectives, got 5"):
        group_objectives(policy, transitions, GroupingConfig(clustering=ClusteringConfig(k=5)))


def test_equal_input_gives_equal_output(policy) -> None:
    transitions = experience(policy, [1, -1, 1, -1])
    first, again = (group_objectives(policy, transitions, CONFIG) for _ in range(2))
    assert (first.labels == again.labels).all()
    assert (first.value, first.stability) == (again.value, again.stability)
