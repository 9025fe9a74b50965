"""Proximal policy optimisation of a population: P policies learn at once from one batch of worlds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pgx_core.errors import require
from pgx_core.learning.advantages import generalised_advantages, normalise_per_objective
from pgx_core.learning.layout import Layout
from pgx_core.learning.network import Population, objective_one_hot


@dataclass(frozen=True)
class PPOConfig:
    """PPO (Schulman et al. 2017). The same for every policy of a population."""

    horizon: int = 24  # control steps per iteration in each world, >= 1
    epochs: int = 4  # passes over each iteration's data, >= 1
    minibatches: int = 4  # gradient steps per pass, >= 1
    learning_rate: float = 2e-3  # Adam, > 0; constant at first, then falling: see `rate_at`
    discount: float = 0.97  # gamma per control step, 0 to below 1
    trace: float = 0.9  # lambda of GAE, 0 to 1
    clip: float = 0.2  # trust region of the probability ratio, > 0
    value_weight: float = 1.0  # >= 0
    entropy_weight: float = 0.0  # >= 0
    minimum_std: float = 0.1  # entropy floor of continuous actions, > 0: exploration noise never falls below it
    max_divergence: float = 1.0  # KL(old || new), nats, > 0; a policy that takes a step from beyond it goes back
    max_gradient_norm: float = 1e3  # per policy, > 0; a guard against outliers, since Adam takes out the scale

    def __post_init__(self) -> None:
        for name in ("horizon", "epochs", "minibatches"):
            require(getattr(self, name) >= 1, f"ppo.{name}", "1 or more", getattr(self, name))
        for name in ("learning_rate", "clip", "minimum_std", "max_divergence", "max_gradient_norm"):
            require(0.0 < getattr(self, name) < math.inf, f"ppo.{name}", "a number above 0", getattr(self, name))
        for name in ("value_weight", "entropy_weight"):
            require(0.0 <= getattr(self, name) < math.inf, f"ppo.{name}", "0 or more", getattr(self, name))
        require(0.0 <= self.discount < 1.0, "ppo.discount", "0 to below 1", self.discount)
        require(0.0 <= self.trace <= 1.0, "ppo.trace", "0 to 1", self.trace)


@dataclass(frozen=True)
class Batch:
    """One iteration's experience. T steps, P policies, B slots."""

    actor_inputs: Float[Tensor, "T P B inputs"]
    critic_inputs: Float[Tensor, "T P B critic_inputs"]
    actions: Float[Tensor, "T P B actions"]
    log_probs: Float[Tensor, "T P B"]
    values: Float[Tensor, "T P B"]
    next_values: Float[Tensor, "T P B"]
    rewards: Float[Tensor, "T P B"]
    terminated: Bool[Tensor, "T P B"]
    ended: Bool[Tensor, "T P B"]


@dataclass(frozen=True)
class UpdateMetrics:
    """Means over the last pass, one value per policy."""

    policy_loss: Float[Tensor, "P"]
    value_loss: Float[Tensor, "P"]
    entropy: Float[Tensor, "P"]
    divergence: Float[Tensor, "P"]  # KL(old || new), estimated


@runtime_checkable
class Optimiser(Protocol):
    """What an update needs of an optimiser."""

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""

    def step(self) -> Any:
        """Move the parameters by their gradients."""


def rate_at(progress: float, config: PPOConfig) -> float:
    """The learning rate after a share of the training, 0 to 1.

    Full for the first 85%, since short trainings are over before they have learnt enough at a falling rate; then down
    to a twentieth, since a policy that must compromise between objectives jitters around its compromise at a high one.
    """
    return config.learning_rate * min(1.0, max(0.05, (1.0 - progress) / 0.15))


def advantages_of(batch: Batch, layout: Layout, n_objectives: int, config: PPOConfig) -> tuple[Tensor, Tensor]:
    """(normalised advantages, value targets), each [T, P, B]."""
    advantages = generalised_advantages(
        batch.rewards,
        batch.values,
        batch.next_values,
        batch.terminated,
        batch.ended,
        config.discount,
        config.trace,
    )
    membership = objective_one_hot(layout.slot_objectives, n_objectives) * layout.mask.unsqueeze(-1)
    return normalise_per_objective(advantages, membership), advantages + batch.values


def update(
    population: Population,
    optimiser: Optimiser,
    batch: Batch,
    layout: Layout,
    config: PPOConfig,
    generator: torch.Generator,
) -> UpdateMetrics:
    """One PPO iteration: several passes over the batch in minibatches.

    Clipping bounds what a sample can gain, not how far the policy moves: with little noise it may leave its data within
    a few steps, and hours of training are lost. Such a policy is put back, and held for the rest of the iteration.
    """
    data = flatten(batch, layout, population.size.n_objectives, config)
    n = data[0].shape[1]
    acting = [*population.actor.parameters(), population.log_std]
    beginning = [parameter.detach().clone() for parameter in acting]
    held = torch.zeros(population.n_policies, dtype=torch.bool, device=population.log_std.device)
    collected = []
    for epoch in range(config.epochs):
        for chosen in torch.randperm(n, generator=generator, device=generator.device).chunk(config.minibatches):
            total, metrics = loss(population, [tensor.index_select(1, chosen) for tensor in data], config)
            optimiser.zero_grad(set_to_none=True)
            total.backward()
            clip_gradients(population, config.max_gradient_norm)
            optimiser.step()
            floor_entropy(population, config.minimum_std)
            held = held | (metrics[-1] > config.max_divergence)
            put_back(acting, beginning, held)
            if epoch == config.epochs - 1:
                collected.append(metrics)
    return UpdateMetrics(*torch.stack(collected).mean(0).unbind(0))


def flatten(batch: Batch, layout: Layout, n_objectives: int, config: PPOConfig) -> list[Float[Tensor, "P N *_"]]:
    """What `loss` takes, N = T * B: inputs of actor and critic, actions, their log-probabilities, advantages, targets,
    weights.
    """
    advantages, targets = advantages_of(batch, layout, n_objectives, config)
    weight = layout.mask.expand_as(advantages)
    return [
        tensor.transpose(0, 1).flatten(1, 2)  # [T, P, B, ...] to [P, T * B, ...]
        for tensor in (
            batch.actor_inputs, batch.critic_inputs, batch.actions, batch.log_probs, advantages, targets, weight
        )
    ]  # fmt: skip


def loss(population: Population, data: list[Tensor], config: PPOConfig) -> tuple[Tensor, Float[Tensor, "4 P"]]:
    """PPO's loss, summed over policies, and the `UpdateMetrics` of each."""
    actor_inputs, critic_inputs, actions, old_log_probs, advantages, targets, weight = data
    weight = weight / weight.sum(1, keepdim=True).clip(min=1.0)
    outputs = population.actor(actor_inputs)
    log_ratio = population.log_prob(outputs, actions) - old_log_probs
    ratio = log_ratio.exp()
    clipped = ratio.clip(1.0 - config.clip, 1.0 + config.clip)
    policy_loss = -(torch.minimum(ratio * advantages, clipped * advantages) * weight).sum(1)
    value_loss = ((population.critic(critic_inputs).squeeze(-1) - targets).square() * weight).sum(1)
    entropy = population.distribution.entropy(outputs, population.log_std, weight)
    # Losses are summed over policies: each parameter belongs to one, so each gets its own gradient.
    total = (policy_loss + config.value_weight * value_loss - config.entropy_weight * entropy).sum()
    divergence = ((ratio - 1.0 - log_ratio) * weight).sum(1)  # Schulman's low-variance estimate
    return total, torch.stack([policy_loss, value_loss, entropy, divergence]).detach()


@torch.no_grad()
def clip_gradients(population: Population, maximum: float) -> None:
    """Scale each policy's gradient to at most `maximum`, independently of its siblings."""
    gradients = [parameter.grad for parameter in population.parameters() if parameter.grad is not None]
    norms = torch.stack([gradient.square().flatten(1).sum(1) for gradient in gradients]).sum(0).sqrt()
    factor = (maximum / (norms + 1e-8)).clip(max=1.0)
    for gradient in gradients:
        gradient *= factor.view(-1, *(1,) * (gradient.dim() - 1))


@torch.no_grad()
def floor_entropy(population: Population, minimum_std: float) -> None:
    """Keep the exploration noise above its floor."""
    population.log_std.clamp_(min=math.log(minimum_std))


@torch.no_grad()
def put_back(parameters: Sequence[Tensor], beginning: Sequence[Tensor], held: Bool[Tensor, "P"]) -> None:
    """Give some policies the parameters of the iteration's beginning."""
    for parameter, start in zip(parameters, beginning, strict=True):
        parameter.copy_(torch.where(held.view(-1, *(1,) * (start.dim() - 1)), start, parameter))
