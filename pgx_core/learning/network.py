"""Policies: one network with its action distribution, and a population of them as stacked parameters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from pgx_core.learning.distribution import ActionDistribution, Categorical, Gaussian
from pgx_core.learning.paco import PaCo
from pgx_core.learning.soft_modules import SoftModules
from pgx_core.learning.task_network import HIDDEN_GAIN, OUTPUT_GAIN, Network, TaskNetwork, TaskNetworkSize


class Policy(nn.Module):
    """A network of the normalised observation, whose outputs are parameters of an action distribution.

    Abstract; its kinds say which network. The last `n_objectives` inputs are the one-hot objective; they pass the
    normaliser unchanged. A policy that is not conditioned sees zeros there.
    """

    observation_mean: Tensor
    observation_std: Tensor
    log_std: Tensor  # free parameters of the distribution

    def __init__(self, n_inputs: int, distribution: ActionDistribution) -> None:
        super().__init__()
        self.distribution = distribution
        if distribution.n_free:
            self.log_std = nn.Parameter(torch.zeros(distribution.n_free))
        else:
            self.register_buffer("log_std", torch.zeros(0), persistent=False)
        self.register_buffer("observation_mean", torch.zeros(n_inputs))
        self.register_buffer("observation_std", torch.ones(n_inputs))

    def normalise(self, observations: Float[Tensor, "*B inputs"]) -> Float[Tensor, "*B inputs"]:
        """The network's input: centred, scaled, clipped to +-10 standard deviations."""
        return ((observations - self.observation_mean) / self.observation_std).clip(-10.0, 10.0)

    def forward(self, observations: Float[Tensor, "*B inputs"]) -> Float[Tensor, "*B outputs"]:
        """The network's outputs: the mean action, not yet clipped, or a logit for each choice."""
        raise NotImplementedError

    def log_prob(
        self, observations: Float[Tensor, "*B inputs"], actions: Float[Tensor, "*B actions"]
    ) -> Float[Tensor, "*B"]:
        """log pi(a|s), summed over action dimensions."""
        return self.distribution.log_prob(self(observations), self.log_std, actions)


class MLPPolicy(Policy):
    """A tanh MLP of the observation and the objective alike. Abstract; its kinds say which distribution."""

    def __init__(self, n_inputs: int, distribution: ActionDistribution, hidden: tuple[int, ...]) -> None:
        super().__init__(n_inputs, distribution)
        sizes = (n_inputs, *hidden, distribution.n_outputs)
        self.layers = nn.ModuleList(nn.Linear(i, o) for i, o in pairwise(sizes))

    def forward(self, observations: Float[Tensor, "*B inputs"]) -> Float[Tensor, "*B outputs"]:
        """See Policy."""
        hidden = self.normalise(observations)
        for layer in self.layers[:-1]:
            hidden = torch.tanh(layer(hidden))
        outputs: Tensor = self.layers[-1](hidden)
        return outputs


class GaussianPolicy(MLPPolicy):
    """A diagonal Gaussian over continuous actions, its mean the MLP's outputs."""

    def __init__(self, n_inputs: int, n_actions: int, hidden: tuple[int, ...] = (64, 64)) -> None:
        super().__init__(n_inputs, Gaussian(n_actions), hidden)


class CategoricalPolicy(MLPPolicy):
    """A softmax over discrete actions, its logits the MLP's outputs."""

    def __init__(self, n_inputs: int, n_choices: int, hidden: tuple[int, ...] = (64, 64)) -> None:
        super().__init__(n_inputs, Categorical(n_choices), hidden)


class NetworkPolicy(Policy):
    """A network that takes the objective apart, with either distribution."""

    def __init__(self, n_inputs: int, distribution: ActionDistribution, network: TaskNetwork) -> None:
        super().__init__(n_inputs, distribution)
        self.network = network

    def forward(self, observations: Float[Tensor, "B inputs"]) -> Float[Tensor, "B outputs"]:
        """See Policy."""
        outputs: Tensor = self.network(self.normalise(observations))
        return outputs


def _gain(layer: int, n_layers: int, output_gain: float) -> float:
    return output_gain if layer == n_layers - 1 else HIDDEN_GAIN


class StackedMLP(nn.Module):
    """P tanh MLPs of one shape, evaluated by one batched product per layer."""

    def __init__(self, n_policies: int, sizes: tuple[int, ...], output_gain: float, seeds: tuple[int, ...]) -> None:
        super().__init__()
        self.weights = nn.ParameterList(torch.empty(n_policies, i, o) for i, o in pairwise(sizes))
        self.biases = nn.ParameterList(torch.zeros(n_policies, 1, o) for o in sizes[1:])
        for policy, seed in enumerate(seeds):
            generator = torch.Generator().manual_seed(seed)
            for layer, weight in enumerate(self.weights):
                gain = _gain(layer, len(self.weights), output_gain)
                nn.init.orthogonal_(weight.data[policy], gain, generator=generator)

    def forward(self, inputs: Float[Tensor, "P B inputs"]) -> Float[Tensor, "P B outputs"]:
        """Every policy on its own batch."""
        hidden = inputs
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            hidden = torch.baddbmm(bias, hidden, weight)
            if layer < len(self.weights) - 1:
                hidden = torch.tanh(hidden)
        return hidden


TASK_NETWORKS: dict[Network, type[TaskNetwork]] = {"soft_modules": SoftModules, "paco": PaCo}


@dataclass(frozen=True)
class NetworkSize:
    """Shapes shared by a whole population."""

    n_observations: int
    n_objectives: int
    n_actions: int  # action dimensions; choices where `discrete`
    hidden: tuple[int, ...] = (64, 64)
    n_privileged: int = 0  # values after the observation that the critic alone sees
    discrete: bool = False
    network: Network = "mlp"  # of the actors; critics are MLPs, and see the objective, whatever the actors are

    @property
    def n_inputs(self) -> int:
        """Observation and one-hot objective: what the actor takes."""
        return self.n_observations + self.n_objectives

    @property
    def distribution(self) -> ActionDistribution:
        """What the actors' outputs mean."""
        return Categorical(self.n_actions) if self.discrete else Gaussian(self.n_actions)

    @property
    def mlp_parameters(self) -> int:
        """Parameters of an actor's network that is an MLP."""
        widths = (self.n_inputs, *self.hidden, self.distribution.n_outputs)
        return sum((inputs + 1) * outputs for inputs, outputs in pairwise(widths))

    @property
    def task_network(self) -> TaskNetworkSize:
        """Of an actor that is no MLP: as many hidden layers as one, and as many parameters as whole units allow."""
        n_outputs, n_layers = self.distribution.n_outputs, len(self.hidden)
        size = TaskNetworkSize(self.n_observations, self.n_objectives, n_outputs, n_layers)
        return TASK_NETWORKS[self.network].fitted(size, self.mlp_parameters)


def _stacked_actor(size: NetworkSize, seeds: tuple[int, ...]) -> StackedMLP | TaskNetwork:
    if size.network != "mlp":
        return TASK_NETWORKS[size.network](size.task_network, seeds)
    actor = StackedMLP(len(seeds), (size.n_inputs, *size.hidden, size.distribution.n_outputs), OUTPUT_GAIN, seeds)
    # An actor that has not seen the objective starts blind to it, so a conditioned copy of it acts alike.
    actor.weights[0].data[:, size.n_observations :] = 0.0
    return actor


class Population(nn.Module):
    """P actor-critics with stacked parameters.

    Every actor takes (observation, one-hot objective); the one-hot is zeroed for actors that are not
    conditioned. Every critic sees it: the per-objective signal must survive even where the actor is blind
    to the objective. The observation normaliser belongs to the policy and travels with it.
    """

    observation_mean: Tensor
    observation_std: Tensor
    observation_count: Tensor
    conditioned: Tensor

    def __init__(
        self,
        size: NetworkSize,
        conditioned: tuple[bool, ...],
        seeds: tuple[int, ...],
        initial_std: float = 0.6,
    ) -> None:
        super().__init__()
        n, n_seen = len(conditioned), size.n_observations + size.n_privileged
        self.size, self.distribution = size, size.distribution
        self.actor = _stacked_actor(size, seeds)
        critic_sizes = (n_seen + size.n_objectives, *size.hidden, 1)
        self.critic = StackedMLP(n, critic_sizes, 1.0, tuple(s + 1_000_003 for s in seeds))
        self.log_std = nn.Parameter(torch.full((n, 1, self.distribution.n_free), math.log(initial_std)))
        self.register_buffer("observation_mean", torch.zeros(n, 1, n_seen))
        self.register_buffer("observation_std", torch.ones(n, 1, n_seen))
        self.register_buffer("observation_count", torch.zeros(n, 1, 1))
        self.register_buffer("conditioned", torch.tensor(conditioned, dtype=torch.float32).view(n, 1, 1))

    @property
    def n_policies(self) -> int:
        """P."""
        return self.log_std.shape[0]

    def inputs(
        self, observations: Float[Tensor, "*T P B seen"], one_hot: Float[Tensor, "*T P B objectives"]
    ) -> tuple[Float[Tensor, "*T P B inputs"], Float[Tensor, "*T P B critic_inputs"]]:
        """Network inputs of (actor, critic). The critic's privileged values come last in `observations`."""
        normal = ((observations - self.observation_mean) / self.observation_std).clip(-10.0, 10.0)
        actors = normal[..., : self.size.n_observations]
        return torch.cat([actors, one_hot * self.conditioned], -1), torch.cat([normal, one_hot], -1)

    def sample(
        self, outputs: Float[Tensor, "*T P B outputs"], generator: torch.Generator
    ) -> Float[Tensor, "*T P B actions"]:
        """Draw an action from each row of the actor's outputs."""
        return self.distribution.sample(outputs, self.log_std, generator)

    def log_prob(
        self, outputs: Float[Tensor, "*T P B outputs"], actions: Float[Tensor, "*T P B actions"]
    ) -> Float[Tensor, "*T P B"]:
        """log pi(a|s) of actions, from the actor's outputs."""
        return self.distribution.log_prob(outputs, self.log_std, actions)

    @torch.no_grad()
    def update_normaliser(self, observations: Float[Tensor, "P B seen"], mask: Float[Tensor, "P B"]) -> None:
        """Merge a batch into each policy's running mean and standard deviation (Chan et al. 1979)."""
        weight = mask.unsqueeze(-1)
        count = weight.sum(1, keepdim=True)
        mean = (observations * weight).sum(1, keepdim=True) / count
        variance = ((observations - mean).square() * weight).sum(1, keepdim=True) / count
        total = self.observation_count + count
        delta = mean - self.observation_mean
        merged = (
            self.observation_std.square() * self.observation_count
            + variance * count
            + delta.square() * self.observation_count * count / total
        ) / total
        self.observation_mean += delta * count / total
        # The floor keeps a reading that never moved from being blown up when it first does.
        self.observation_std.copy_(merged.sqrt().clip(min=1e-2))
        self.observation_count.copy_(total)

    def views(self, index: int) -> dict[str, Tensor]:
        """One actor's parameters, under their names in `policy(index)`. To write into them is to change the actor."""
        actor, named = self.actor, {}
        if self.distribution.n_free:
            named["log_std"] = self.log_std[index, 0]
        if isinstance(actor, TaskNetwork):
            return named | {f"network.{name}": value[index] for name, value in actor.named_parameters()}
        for layer, (weight, bias) in enumerate(zip(actor.weights, actor.biases, strict=True)):
            named |= {f"layers.{layer}.weight": weight[index].T, f"layers.{layer}.bias": bias[index, 0]}
        return named

    @torch.no_grad()
    def policy(self, index: int) -> Policy:
        """A copy of one actor as a plain module."""
        policy, n = _plain_policy(self.size), self.size.n_observations
        for name, value in self.views(index).items():
            policy.get_parameter(name).copy_(value)
        policy.observation_mean[:n] = self.observation_mean[index, 0, :n]
        policy.observation_std[:n] = self.observation_std[index, 0, :n]
        return policy


def _plain_policy(size: NetworkSize) -> Policy:
    if size.network != "mlp":
        network = TASK_NETWORKS[size.network](size.task_network)
        return NetworkPolicy(size.n_inputs, size.distribution, network)
    return (CategoricalPolicy if size.discrete else GaussianPolicy)(size.n_inputs, size.n_actions, size.hidden)


@torch.no_grad()
def clone_policy(source: Population, index: int, conditioned: tuple[bool, ...]) -> Population:
    """A population whose every member starts as policy `index` of `source`, conditioned as given."""
    n = len(conditioned)
    clone = Population(source.size, conditioned, seeds=(0,) * n)
    values = source.state_dict()
    for name, target in clone.state_dict().items():
        if name != "conditioned":
            target.copy_(values[name][index].expand_as(target))
    return clone


def objective_one_hot(objectives: Int[Tensor, "*B"], n_objectives: int) -> Float[Tensor, "*B objectives"]:
    """Which objective each sample pursues. Unlike torch's own, it does not look at the values, and so never waits."""
    return (objectives.unsqueeze(-1) == torch.arange(n_objectives, device=objectives.device)).float()
