"""One training of one population, with metrics, progress, and checkpoints it resumes from."""

from __future__ import annotations

import contextlib
import io
import math
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pgx_core.environments.environment import Space
from pgx_core.errors import RunError, require
from pgx_core.files import write_file
from pgx_core.learning.layout import Member, make_layout
from pgx_core.learning.maml import MetaTrainer
from pgx_core.learning.network import NetworkSize, Population
from pgx_core.learning.ppo import PPOConfig
from pgx_core.learning.task_network import Network
from pgx_core.learning.trainer import Iteration, Trainer
from pgx_core.objectives.environment_suite import AnySuite
from pgx_core.simulation.engines import Backend, SimulationConfig
from pgx_core.simulation.make import make_simulation
from pgx_core.training.metrics import Metrics, Row
from pgx_core.training.progress import Progress

CHECKPOINT = "checkpoint.pt"

Learner = Trainer | MetaTrainer


@dataclass(frozen=True)
class TrainingConfig:
    """How every population of a run is trained."""

    worlds: int = 96  # parallel worlds in all, >= 1, spread over policies in proportion to their objectives
    hidden: tuple[int, ...] = (64, 64)  # units per hidden layer, >= 1 each; at least one layer
    network: Network = "mlp"  # of every actor; the others have as many hidden layers and parameters as the MLP
    initial_std: float = 0.6  # exploration noise at the start, > 0, in units of the action range [-1, 1]
    simulation: SimulationConfig = field(default_factory=SimulationConfig)
    checkpoint_seconds: float = 15.0  # at most this much work is lost to a kill, >= 0
    ppo: PPOConfig = field(default_factory=PPOConfig)

    def __post_init__(self) -> None:
        require(self.worlds >= 1, "training.worlds", "1 or more", self.worlds)
        layers = len(self.hidden) >= 1 and min(self.hidden) >= 1
        require(layers, "training.hidden", "at least one layer of 1 or more units", self.hidden)
        require(0 < self.initial_std < math.inf, "training.initial_std", "a number above 0", self.initial_std)
        finite = 0 <= self.checkpoint_seconds < math.inf
        require(finite, "training.checkpoint_seconds", "0 or more", self.checkpoint_seconds)

    def placed(self, backend: Backend | None = None, device: str | None = None) -> TrainingConfig:
        """The same training by another backend or on another device, where one is given.

        Raises:
            ConfigError: that backend does not run there.
        """
        given = {"backend": backend, "device": device}
        chosen: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        return replace(self, simulation=replace(self.simulation, **chosen))


@dataclass(frozen=True)
class Trained:
    """A trained population and its metrics."""

    population: Population
    rows: list[Row]
    seconds: float  # of training, over all processes that worked on it


def members_of(labels: np.ndarray, conditioned: bool, worlds: int) -> tuple[Member, ...]:
    """One policy per group, with a share of the worlds in proportion to its objectives."""
    groups = [tuple(map(int, np.flatnonzero(labels == group))) for group in range(int(labels.max()) + 1)]
    return tuple(Member(group, conditioned, round(worlds * len(group) / len(labels))) for group in groups)


def network_size(suite: AnySuite, space: Space, config: TrainingConfig) -> NetworkSize:
    """Input and output sizes of every network trained on a suite."""
    sizes = (space.n_observations, len(suite.objectives), space.n_actions)
    return NetworkSize(*sizes, config.hidden, space.n_privileged, space.discrete, config.network)


def train_population(
    suite: AnySuite,
    members: tuple[Member, ...],
    config: TrainingConfig,
    steps: int,
    seed: int,
    folder: Path,
    title: str,
    start: Population | None = None,
    progress: Progress | None = None,
) -> Trained:
    """Train a population for `steps` environment steps in all; resume or return what `folder` already holds.

    Args:
        suite: the objectives.
        members: what each policy is trained on.
        config: how.
        steps: environment steps, all policies together.
        seed: of the networks, the exploration and the worlds.
        folder: where checkpoint and metrics go.
        title: name on the progress bar.
        start: initial parameters; freshly drawn where None.
        progress: the bar of the stage it is part of; one of its own where None.

    Raises:
        RunError: the checkpoint in `folder` cannot be read, nothing can be written there, or training diverged.
    """
    trainer = _trainer(suite, members, config, steps, seed, start)
    rows, seconds = drive(trainer, suite.names, config, folder, title, progress)
    return Trained(trainer.population, rows, seconds)


def drive(
    trainer: Learner,
    names: tuple[str, ...],
    config: TrainingConfig,
    folder: Path,
    title: str,
    progress: Progress | None = None,
) -> tuple[list[Row], float]:
    """Bring a training to its end, from where `folder` left it: its metrics, and the seconds spent in all.

    Args:
        trainer: at its beginning.
        names: of the objectives.
        config: how often to save.
        folder: where checkpoint and metrics go.
        title: name on the progress bar.
        progress: the bar of the stage it is part of; one of its own where None.

    Raises:
        RunError: as of `train_population`.
    """
    saved = load_checkpoint(folder / CHECKPOINT) if (folder / CHECKPOINT).exists() else None
    if saved:
        trainer.load_state_dict(saved["trainer"])
    metrics = Metrics(folder, names, saved["rows"] if saved else [])
    with contextlib.ExitStack() as stack:
        stack.callback(metrics.close)
        bar = progress or stack.enter_context(Progress(title, trainer.total_steps))
        bar.skip(min(trainer.steps, trainer.total_steps))
        seconds = _train(trainer, metrics, config, folder / CHECKPOINT, title, saved["seconds"] if saved else 0.0, bar)
        metrics.save()  # the rows of a process that was killed between its checkpoint and this file
    return metrics.rows, seconds


def _trainer(
    suite: AnySuite,
    members: tuple[Member, ...],
    config: TrainingConfig,
    steps: int,
    seed: int,
    start: Population | None,
) -> Trainer:
    layout = make_layout(members)
    simulation = make_simulation(suite, layout.objectives, seed, config.simulation)
    population = start or Population(
        network_size(suite, simulation.space, config),
        tuple(member.conditioned for member in members),
        tuple(1000 * seed + i for i in range(len(members))),
        config.initial_std,
    )
    return Trainer(population, simulation, layout, config.ppo, steps, seed)


def _train(
    trainer: Learner,
    metrics: Metrics,
    config: TrainingConfig,
    path: Path,
    title: str,
    spent: float,
    progress: Progress,
) -> float:
    """Iterate to the end; the seconds spent in all."""
    started = saved_at = time.monotonic()
    while not trainer.finished:
        before = trainer.steps
        iteration = trainer.iterate()
        _require_finite(iteration, title)
        metrics.add(iteration)
        done = min(trainer.steps, trainer.total_steps) - before  # the last iteration may pass the end
        progress.advance(done, f"{title} {metrics.rows[-1]['score']:.2f}")
        now = time.monotonic()
        if trainer.finished or now - saved_at > config.checkpoint_seconds:
            _save_checkpoint(path, trainer, metrics.rows, spent + now - started)
            metrics.save()
            saved_at = now
    return spent + time.monotonic() - started


def _require_finite(iteration: Iteration, title: str) -> None:
    if not iteration.finite:
        raise RunError(
            f"{title}: expected finite network weights, got NaN or infinity after {iteration.steps} steps: lower "
            "--training.ppo.learning-rate, and choose another --out"
        )


def _save_checkpoint(path: Path, trainer: Learner, rows: list[Row], seconds: float) -> None:
    buffer = io.BytesIO()  # torch reports a full disk as a broken archive; a plain write says what it is
    torch.save({"trainer": trainer.state_dict(), "rows": rows, "seconds": seconds}, buffer)
    write_file(path, buffer.getvalue())


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read what training saved.

    Raises:
        RunError: the file is missing or damaged.
    """
    try:
        checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        if not {"trainer", "rows", "seconds"} <= checkpoint.keys() or "size" not in checkpoint["trainer"]:
            raise ValueError("not a checkpoint")
    except FileNotFoundError as error:
        raise RunError(f"'{path}' is missing: repeat the training that writes it") from error
    except Exception as error:  # torch raises many kinds for a damaged archive
        raise RunError(f"'{path}' cannot be read: delete it and repeat the command, which trains it again") from error
    return checkpoint
