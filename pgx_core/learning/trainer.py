"""The training loop of a population: collect, update, record, checkpoint."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from pgx_core.learning.layout import Layout
from pgx_core.learning.network import Population, objective_one_hot
from pgx_core.learning.ppo import Batch, PPOConfig, UpdateMetrics, rate_at, update
from pgx_core.learning.precision import fast_products


@runtime_checkable
class Worlds(Protocol):
    """What the trainer needs of a simulation."""

    @property
    def episode_steps(self) -> int:
        """Steps in a full episode."""
        ...

    def reset(self) -> Tensor:
        """Start every world."""
        ...

    def step(self, actions: Tensor) -> Any:
        """Advance every world. The trainer reads the fields of `simulation.Step`."""
        ...

    def faults(self) -> Tensor:
        """Whole numbers for `check`, still on the device: worlds on one cannot raise without waiting for it."""
        ...

    def check(self, faults: Tensor) -> int:
        """Raise what went wrong since the last call; the number of worlds whose physics broke so far."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to continue."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> Tensor:
        """Continue; returns the observations."""
        ...


@dataclass(frozen=True)
class Iteration:
    """What one iteration of training showed. Every tensor is on the host."""

    steps: int  # environment steps so far, all policies together
    scores: Float[Tensor, "P n"]  # of each policy's episodes on each objective, estimated; NaN where it has none
    update: UpdateMetrics
    action_std: Float[Tensor, "P"]  # NaN where actions are discrete
    diverged: int  # worlds whose physics broke so far
    finite: bool  # are all parameters?
    peak_memory: int | None = None  # bytes that tensors took at most since the process began; None on the CPU


@dataclass(frozen=True)
class Collected:
    """One horizon of experience."""

    batch: Batch
    scores: Float[Tensor, "P n"]  # see `Iteration`
    seen: Float[Tensor, "T P B seen"]  # observations before normalisation


class Trainer:
    """Trains a population in a simulation, on the device that the simulation's observations are on.

    With worlds that do the same, the host queues a whole iteration there and waits for it once, in `shown`. All
    hidden state is in `state_dict`.
    """

    def __init__(
        self,
        population: Population,
        worlds: Worlds,
        layout: Layout,
        config: PPOConfig,
        total_steps: int,
        seed: int,
        told: bool = True,
    ) -> None:
        """Prepare to train. Moves `population` to the worlds' device.

        Args:
            population: what is trained.
            worlds: where.
            layout: which world serves which policy.
            config: how.
            total_steps: environment steps of all policies together; the last iteration may pass it.
            seed: of the exploration and the order of the data.
            told: whether anyone sees the objective: the critics, and those actors that are conditioned.
        """
        observations = worlds.reset()
        self.device = observations.device
        self.population = population.to(self.device)
        self.worlds = worlds
        self.layout = layout = layout.to(self.device)
        self.config = config
        self.total_steps = total_steps
        self.steps = 0
        self._optimiser = torch.optim.Adam(population.parameters(), lr=config.learning_rate, eps=1e-5)
        self._seed = seed
        self._generator = torch.Generator(self.device).manual_seed(seed)
        self._observations = layout.gather(observations)
        n_objectives = population.size.n_objectives
        one_hot = objective_one_hot(layout.slot_objectives, n_objectives)
        self._one_hot = one_hot * told
        self._membership = one_hot * layout.mask.unsqueeze(-1)

    @property
    def finished(self) -> bool:
        """Whether all steps are spent."""
        return self.steps >= self.total_steps

    def iterate(self) -> Iteration:
        """Collect one horizon in every world and learn from it."""
        self._set_learning_rate()
        population, layout = self.population, self.layout
        with fast_products(self.device):
            collected = self.collect()
            seen, mask = collected.seen, layout.mask
            population.update_normaliser(torch.cat(seen.unbind(), 1), mask.repeat(1, len(seen)))
            metrics = update(population, self._optimiser, collected.batch, layout, self.config, self._generator)
        self.steps += self.config.horizon * len(self.layout.objectives)
        return shown(self.steps, population, self.worlds, collected.scores, metrics)

    @torch.no_grad()
    def collect(self) -> Collected:
        """Act for one horizon in every world."""
        rows, seen = [], []
        totals = torch.zeros_like(self.layout.mask)
        for _ in range(self.config.horizon):
            seen.append(self._observations)
            row, scores = self._act()
            rows.append(row)
            totals += scores
        stacked = [torch.stack(column) for column in zip(*rows, strict=True)]
        actor_inputs, critic_inputs, actions, log_probs, final, rewards, terminated, ended = stacked
        values, next_values = self._values(critic_inputs, final)
        batch = Batch(actor_inputs, critic_inputs, actions, log_probs, values, next_values, rewards, terminated, ended)
        means, ends = (
            torch.einsum("pb,pbn->pn", sums, self._membership) / self._membership.sum(1) / self.config.horizon
            for sums in (totals, terminated.to(totals).sum(0))
        )
        return Collected(batch, means * lived_share(ends, self.worlds.episode_steps), torch.stack(seen))

    def _act(self) -> tuple[tuple[Tensor, ...], Float[Tensor, "P B"]]:
        """One control step of every world: what there is to learn from it, and the scores."""
        population, layout = self.population, self.layout
        actor_inputs, critic_inputs = population.inputs(self._observations, self._one_hot)
        outputs = population.actor(actor_inputs)
        actions = population.sample(outputs, self._generator)
        log_probs = population.log_prob(outputs, actions)
        step = self.worlds.step(layout.scatter(actions))
        self._observations = layout.gather(step.observations)
        outcome = (step.final_observations, step.rewards, step.terminated, step.terminated | step.truncated)
        return (actor_inputs, critic_inputs, actions, log_probs, *map(layout.gather, outcome)), layout.gather(
            step.scores
        )

    def _values(self, critic_inputs: Tensor, final: Tensor) -> tuple[Tensor, Tensor]:
        """V before and after each step. Where no episode ended, `after` is the next step's `before`."""
        horizon = len(critic_inputs)
        one_hot = self._one_hot.expand(horizon, *self._one_hot.shape)
        _, final_inputs = self.population.inputs(final, one_hot)
        both = torch.cat([critic_inputs, final_inputs]).transpose(0, 1).flatten(1, 2)  # [P, 2 T B, inputs]
        values = self.population.critic(both).squeeze(-1).unflatten(1, (2 * horizon, -1)).transpose(0, 1)
        return values[:horizon], values[horizon:]

    def _set_learning_rate(self) -> None:
        for group in self._optimiser.param_groups:
            group["lr"] = rate_at(min(self.steps / self.total_steps, 1.0), self.config)

    def state_dict(self) -> dict[str, Any]:
        """Everything `load_state_dict` needs to continue bit for bit."""
        return {
            "size": asdict(self.population.size),
            "population": self.population.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "generator": self._generator.get_state(),
            "worlds": self.worlds.state_dict(),
            "steps": self.steps,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue a saved training, on whatever device it was saved.

        On another kind of device the noise is drawn afresh: their generators have nothing in common.
        """
        self.population.load_state_dict(state["population"])
        self._optimiser.load_state_dict(state["optimiser"])
        if state["generator"].shape == self._generator.get_state().shape:
            self._generator.set_state(state["generator"])
        else:
            self._generator.manual_seed(self._seed + state["steps"])
        self._observations = self.layout.gather(self.worlds.load_state_dict(state["worlds"]))
        self.steps = state["steps"]


@torch.no_grad()
def shown(
    steps: int, population: Population, worlds: Worlds, scores: Float[Tensor, "P n"], metrics: UpdateMetrics
) -> Iteration:
    """What an iteration showed: the only point where it waits for the device."""
    finite = torch.stack([parameter.isfinite().all() for parameter in population.parameters()]).all()
    action_std = population.log_std.exp().mean((1, 2))
    losses = [getattr(metrics, field.name) for field in fields(metrics)]
    faults, scores, finite, action_std, *losses = fetched(worlds.faults(), scores, finite, action_std, *losses)
    return Iteration(
        steps=steps,
        scores=scores,
        update=UpdateMetrics(*losses),
        action_std=action_std,
        diverged=worlds.check(faults),
        finite=bool(finite),
        peak_memory=torch.cuda.max_memory_allocated(population.log_std.device) if population.log_std.is_cuda else None,
    )


def fetched(*tensors: Tensor) -> list[Tensor]:
    """Copies on the host, brought there in one transfer."""
    packed = torch.cat([tensor.flatten().double() for tensor in tensors]).cpu()  # holds numbers of every type used here
    parts = packed.split([tensor.numel() for tensor in tensors])
    return [part.view(tensor.shape).to(tensor.dtype) for part, tensor in zip(parts, tensors, strict=True)]


def lived_share(rate: Tensor, episode_steps: int) -> Tensor:
    """The expected share of an episode's steps before its termination, at a rate of terminations per step.

    An episode's score counts the steps after a termination as 0; a training's worlds start anew instead.
    """
    lived = (1.0 - (1.0 - rate) ** episode_steps) / (rate * episode_steps)
    return torch.where(rate == 0.0, 1.0, lived)
