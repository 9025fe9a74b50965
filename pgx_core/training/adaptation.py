"""Meta-reinforcement learning: train starting points on a suite's objectives, adapt them to those held out."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int

from pgx_core.errors import ConfigError, require
from pgx_core.learning.layout import make_layout
from pgx_core.learning.maml import MAMLConfig, MetaTrainer, adapt_once, copy_starts, one_policy_each
from pgx_core.learning.network import Population
from pgx_core.learning.ppo import PPOConfig
from pgx_core.learning.trainer import Trainer
from pgx_core.objectives.environment_suite import AnySuite
from pgx_core.simulation.make import make_simulation
from pgx_core.simulation.simulation import SimulationConfig
from pgx_core.training.evaluation import EvaluationConfig, evaluate
from pgx_core.training.session import Trained, TrainingConfig, drive, network_size

CHOICE_SEED = 40_000  # of the episodes that choose a starting point: other starts than those that measure it
CHOICE_EPISODES = 2


@dataclass(frozen=True)
class AdaptationConfig:
    """How starting points are trained and adapted."""

    steps: tuple[int, ...] = (0, 1, 3, 10, 30)  # adaptation steps after which it is measured, >= 0, rising
    worlds: int = 8  # parallel worlds of each unseen objective, >= 1
    maml: MAMLConfig = field(default_factory=MAMLConfig)

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in zip((-1, *self.steps), self.steps, strict=False)) and bool(self.steps)
        require(rising, "adaptation.steps", "numbers from 0, rising", self.steps)
        require(self.worlds >= 1, "adaptation.worlds", "1 or more", self.worlds)


def train_starts(
    suite: AnySuite,
    labels: Int[np.ndarray, "n"],
    config: TrainingConfig,
    maml: MAMLConfig,
    steps: int,
    seed: int,
    folder: Path,
    title: str,
) -> Trained:
    """MAML on every group of objectives at once; resume or return what `folder` already holds.

    Args:
        suite: the objectives.
        labels: the group of each.
        config: of the networks, the worlds and the outer update.
        maml: of the adaptation.
        steps: environment steps in all, those of the inner adaptation included.
        seed: of everything.
        folder: where checkpoint and metrics go.
        title: name on the progress bar.

    Raises:
        ConfigError: the network is no MLP.
        RunError: as of `train_population`.
    """
    if config.network != "mlp":
        raise ConfigError(f"training.network: expected mlp, which MAML adapts, got {config.network}")
    n, k = len(labels), int(labels.max()) + 1
    members = one_policy_each(n, config.worlds)
    layout = make_layout(members)
    simulation = make_simulation(suite, layout.objectives, seed, config.simulation)
    size = network_size(suite, simulation.space, config)
    starts = Population(size, (False,) * k, tuple(1000 * seed + i for i in range(k)), config.initial_std)
    trainer = MetaTrainer(starts, torch.from_numpy(labels), simulation, layout, config.ppo, maml, steps, seed)
    rows, seconds = drive(trainer, suite.names, config, folder, title)
    return Trained(starts, rows, seconds)


def choose_starts(starts: Population, suite: AnySuite, physics: SimulationConfig | None = None) -> Int[np.ndarray, "n"]:
    """The starting point for each objective of a suite: the one that does best before any adaptation."""
    if starts.n_policies == 1:
        return np.zeros(len(suite.objectives), dtype=np.int64)
    measured = evaluate(starts, suite, EvaluationConfig(CHOICE_EPISODES, CHOICE_SEED), physics)
    return np.asarray(measured.scores.argmax(0))


def adapt(
    starts: Population, chosen: Int[np.ndarray, "n"], suite: AnySuite, config: AdaptationConfig, ppo: PPOConfig,
    evaluation: EvaluationConfig, seed: int, physics: SimulationConfig | None = None,
) -> Float[np.ndarray, "steps n"]:  # fmt: skip
    """Scores of an own copy of a starting point on each objective, after each number of adaptation steps.

    Args:
        starts: trained by `train_starts`.
        chosen: the start of each objective.
        suite: the objectives, say `EnvironmentSuite.unseen()`.
        config: how many steps, in how many worlds.
        ppo: horizon and discount, as in training.
        evaluation: whole episodes of the likeliest action.
        seed: of the worlds that adaptation sees, and of its exploration.
        physics: of a robot's suite.
    """
    n = len(suite.objectives)
    copies = copy_starts(starts, torch.from_numpy(chosen), n)
    layout = make_layout(one_policy_each(n, n * config.worlds))
    worlds = make_simulation(suite, layout.objectives, seed, physics)
    acting, done, scores = Trainer(copies, worlds, layout, ppo, 1, seed, told=False), 0, []
    for steps in config.steps:
        while done < steps:
            adapt_once(acting, config.maml.inner_rate)
            done += 1
        measured = evaluate(copies, suite, evaluation, physics, asked=np.eye(n, dtype=bool))
        scores.append(measured.scores.diagonal())
    return np.array(scores)
