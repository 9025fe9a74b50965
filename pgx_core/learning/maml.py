"""Model-agnostic meta-learning (Finn, Abbeel, Levine 2017, arXiv 1703.03400), first order: starts that adapt fast.

Shapes: k starting points, n objectives, each with its own copy of the starting point that it belongs to.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn

from pgx_core.errors import require
from pgx_core.learning.layout import Layout, Member
from pgx_core.learning.network import Population
from pgx_core.learning.ppo import PPOConfig, clip_gradients, flatten, floor_entropy, loss, put_back, rate_at, update
from pgx_core.learning.trainer import Collected, Iteration, Trainer, Worlds, shown

UNGUARDED = 1e30  # nats: the guard of PPO would put back copies, which follow their start


@dataclass(frozen=True)
class MAMLConfig:
    """How a policy adapts to one objective, in meta-training and on unseen ones alike."""

    inner_steps: int = 1  # adaptation steps that meta-training looks ahead, >= 1
    inner_rate: float = 0.1  # learning rate of an adaptation step: plain gradient descent, > 0

    def __post_init__(self) -> None:
        require(self.inner_steps >= 1, "maml.inner_steps", "1 or more", self.inner_steps)
        require(0.0 < self.inner_rate < math.inf, "maml.inner_rate", "a number above 0", self.inner_rate)


def adapt_once(acting: Trainer, rate: float) -> None:
    """One adaptation step: every policy acts on its own objective for a horizon, then follows its policy gradient.

    The critic judges and stays as it is.
    """
    population, config = acting.population, replace(acting.config, value_weight=0.0, entropy_weight=0.0)
    data = flatten(acting.collect().batch, acting.layout, population.size.n_objectives, config)
    population.zero_grad(set_to_none=True)
    loss(population, data, config)[0].backward()  # at the policy that acted the clipped loss has its policy gradient
    clip_gradients(population, config.max_gradient_norm)
    descend(population, rate)
    floor_entropy(population, config.minimum_std)


@torch.no_grad()
def descend(module: nn.Module, rate: float) -> None:
    """theta - rate * gradient, in place."""
    for parameter in module.parameters():
        if parameter.grad is not None:
            parameter.sub_(rate * parameter.grad)


class SharedStart:
    """k starting points and the n copies of them that have adapted: stands where PPO expects an optimiser.

    The gradients are taken at the copies, and the start of each moves by their mean. How far a copy has moved from its
    start is held constant, so its gradient by the start is that by itself: this is the first-order approximation
    (Finn et al. 2017, section 5.2), which leaves out the second derivatives of the adaptation.
    """

    def __init__(
        self, start: nn.Module, copies: nn.Module, labels: Int[Tensor, "n"], optimiser: torch.optim.Optimizer
    ) -> None:
        """Args: the modules' parameters have the same names; their first dimension is k in `start`, n in `copies`."""
        self._pairs = list(zip(start.parameters(), copies.parameters(), strict=True))
        self._labels, self._optimiser = labels, optimiser
        self._counts = torch.bincount(labels)
        self._shifts: list[Tensor] = []

    @torch.no_grad()
    def begin(self) -> None:
        """Put every copy at its start."""
        for start, copy in self._pairs:
            copy.copy_(start[self._labels])

    @torch.no_grad()
    def hold(self) -> None:
        """Remember how far each copy has moved: the adaptation is over."""
        self._shifts = [copy - start[self._labels] for start, copy in self._pairs]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Of the copies."""
        for _, copy in self._pairs:
            copy.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Move the starts by the mean gradient of their copies, and the copies with them."""
        for start, copy in self._pairs:
            if copy.grad is None:  # log_std of discrete actions, which is empty
                continue
            total = torch.zeros_like(start).index_add_(0, self._labels, copy.grad)
            start.grad = total / self._counts.view(-1, *(1,) * (start.dim() - 1))
        self._optimiser.step()
        for (start, copy), shift in zip(self._pairs, self._shifts, strict=True):
            copy.copy_(start[self._labels] + shift)


class MetaTrainer:
    """Trains k starting points, each to adapt to its own objectives. Driven as a `Trainer` is.

    Nobody is told the objective, not even the critic: it is what adaptation has to find out.
    """

    def __init__(
        self,
        population: Population,
        labels: Int[Tensor, "n"],
        worlds: Worlds,
        layout: Layout,
        ppo: PPOConfig,
        config: MAMLConfig,
        total_steps: int,
        seed: int,
    ) -> None:
        """Args: `labels` is the starting point of each objective; `layout` that of `one_policy_each`."""
        self.total_steps, self.config = total_steps, config
        n = len(labels)
        copies = Population(population.size, (False,) * n, (0,) * n)
        self._acting = Trainer(copies, worlds, layout, ppo, total_steps, seed, told=False)
        device = self._acting.device
        self.population = population.to(device)
        self._labels, self._layout = labels.to(device), self._acting.layout
        self._optimiser = torch.optim.Adam(population.parameters(), lr=ppo.learning_rate, eps=1e-5)
        self._shared = SharedStart(population, copies, self._labels, self._optimiser)
        self._generator = torch.Generator(device).manual_seed(seed + 1)
        self.steps = 0

    @property
    def finished(self) -> bool:
        """Whether all steps are spent."""
        return self.steps >= self.total_steps

    def iterate(self) -> Iteration:
        """Adapt a copy to every objective, let the copies act, and move the starts by what those learn (Algorithm 3).

        The update after the adaptation is PPO's, where the paper has TRPO. A start of which a copy leaves its data
        goes back to the iteration's beginning, as PPO's policies do.
        """
        acting, ppo = self._acting, self._acting.config
        self._set_learning_rate()
        self._begin()
        for _ in range(self.config.inner_steps):
            adapt_once(acting, self.config.inner_rate)
        self._shared.hold()
        after = acting.collect()
        moving = [*self.population.actor.parameters(), self.population.log_std]
        beginning = [parameter.detach().clone() for parameter in moving]
        unguarded = replace(ppo, max_divergence=UNGUARDED)
        metrics = update(acting.population, self._shared, after.batch, self._layout, unguarded, self._generator)
        gone = ~(metrics.divergence <= ppo.max_divergence)  # NaN too
        lost = torch.zeros(self.population.n_policies, device=gone.device).index_add_(0, self._labels, gone.float())
        put_back(moving, beginning, lost > 0.0)
        floor_entropy(self.population, ppo.minimum_std)
        self._learn_normaliser(after)
        self.steps += (self.config.inner_steps + 1) * ppo.horizon * len(self._layout.objectives)
        return shown(self.steps, acting.population, acting.worlds, after.scores, metrics)

    def _begin(self) -> None:
        self._shared.begin()
        for name, buffer in self._acting.population.named_buffers():
            if name.startswith("observation_"):
                buffer.copy_(self.population.get_buffer(name)[self._labels])

    def _learn_normaliser(self, after: Collected) -> None:
        """Each start's, from what all of its copies saw."""
        seen = after.seen.flatten(0, 2)  # [T * n * B, observations]
        k, horizon = self.population.n_policies, len(after.seen)
        own = torch.nn.functional.one_hot(self._labels, k).T  # [k, n]
        mask = torch.einsum("kn,nb->knb", own.to(self._layout.mask), self._layout.mask)
        mask = mask.unsqueeze(1).expand(-1, horizon, -1, -1).flatten(1)
        self.population.update_normaliser(seen.expand(k, *seen.shape), mask)

    def _set_learning_rate(self) -> None:
        for group in self._optimiser.param_groups:
            group["lr"] = rate_at(min(self.steps / self.total_steps, 1.0), self._acting.config)

    def state_dict(self) -> dict[str, Any]:
        """Everything `load_state_dict` needs to continue bit for bit."""
        return {
            "size": asdict(self.population.size),
            "population": self.population.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "generator": self._generator.get_state(),
            "acting": self._acting.state_dict(),
            "steps": self.steps,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue a saved training."""
        self.population.load_state_dict(state["population"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._generator.set_state(state["generator"])
        self._acting.load_state_dict(state["acting"])
        self.steps = state["steps"]


def one_policy_each(n_objectives: int, worlds: int) -> tuple[Member, ...]:
    """A blind policy for every objective, with an even share of the worlds."""
    return tuple(Member((objective,), False, worlds // n_objectives) for objective in range(n_objectives))


@torch.no_grad()
def copy_starts(source: Population, labels: Int[Tensor, "n"], n_objectives: int) -> Population:
    """A blind copy of the starting point of every label, for a suite of another number of objectives.

    Only MLPs, whose weights of the one-hot come last and never mattered.
    """
    n = len(labels)
    copies = Population(replace(source.size, n_objectives=n_objectives), (False,) * n, (0,) * n)
    values = source.state_dict()
    for name, target in copies.state_dict().items():
        if name != "conditioned":
            value = values[name][labels]
            shared = tuple(slice(min(sizes)) for sizes in zip(value.shape, target.shape, strict=True))
            target[shared] = value[shared]
    return copies
