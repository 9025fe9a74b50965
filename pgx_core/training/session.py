"""One training of one population, with metrics, a progress bar, and checkpoints it resumes from."""

from __future__ import annotations

import io
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from pgx_core.errors import RunError
from pgx_core.files import write_file
from pgx_core.learning.layout import Member, make_layout
from pgx_core.learning.network import NetworkSize, Population
from pgx_core.learning.ppo import PPOConfig
from pgx_core.learning.trainer import Trainer
from pgx_core.objectives.objective import Suite
from pgx_core.simulation.simulation import Simulation, SimulationConfig
from pgx_core.training.metrics import Metrics, Row


@dataclass(frozen=True)
class TrainingConfig:
    """How every population of a run is trained."""

    worlds: int = 96  # parallel worlds in all, spread over policies in proportion to their objectives
    hidden: tuple[int, ...] = (64, 64)  # units per hidden layer
    initial_std: float = 0.6  # exploration noise at the start, in units of the action range [-1, 1]
    simulation: SimulationConfig = field(default_factory=SimulationConfig)
    checkpoint_seconds: float = 15.0  # at most this much work is lost to a kill
    ppo: PPOConfig = field(default_factory=PPOConfig)


@dataclass(frozen=True)
class Trained:
    """A trained population and its metrics."""

    population: Population
    members: tuple[Member, ...]
    rows: list[Row]
    seconds: float  # of training, over all processes that worked on it


def members_of(labels: np.ndarray, conditioned: bool, worlds: int) -> tuple[Member, ...]:
    """One policy per group, with a share of the worlds in proportion to its objectives."""
    groups = [tuple(map(int, np.flatnonzero(labels == group))) for group in range(int(labels.max()) + 1)]
    return tuple(Member(group, conditioned, round(worlds * len(group) / len(labels))) for group in groups)


def network_size(suite: Suite, simulation: Simulation, hidden: tuple[int, ...]) -> NetworkSize:
    """Input and output sizes of every network trained on a suite."""
    contract = simulation.robot.contract
    return NetworkSize(contract.observation_size, len(suite.objectives), contract.action_size, hidden)


def train_population(
    suite: Suite,
    members: tuple[Member, ...],
    config: TrainingConfig,
    steps: int,
    seed: int,
    folder: Path,
    title: str,
    start: Population | None = None,
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
    """
    layout = make_layout(members)
    simulation = Simulation(suite, layout.objectives, seed, config.simulation)
    conditioned = tuple(member.conditioned for member in members)
    population = start or Population(
        network_size(suite, simulation, config.hidden),
        conditioned,
        tuple(1000 * seed + i for i in range(len(members))),
        config.initial_std,
    )
    trainer = Trainer(population, simulation, layout, config.ppo, steps, seed)
    path = folder / "checkpoint.pt"
    saved = load_checkpoint(path) if path.exists() else None
    if saved:
        trainer.load_state_dict(saved["trainer"])
    metrics = Metrics(folder, suite.names, saved["rows"] if saved else [])
    spent = saved["seconds"] if saved else 0.0
    try:
        spent = _train(trainer, metrics, config, path, title, spent)
    finally:
        metrics.close()
    return Trained(population, members, metrics.rows, spent)


def _train(
    trainer: Trainer, metrics: Metrics, config: TrainingConfig, path: Path, title: str, spent: float
) -> float:
    started = saved_at = time.monotonic()
    with tqdm(total=trainer.total_steps, initial=trainer.steps, desc=title, unit="step", unit_scale=True) as bar:
        while not trainer.finished:
            iteration = trainer.iterate()
            metrics.add(iteration)
            bar.update(iteration.steps - bar.n)
            bar.set_postfix(score=f"{metrics.rows[-1]['score']:.2f}", refresh=False)
            now = time.monotonic()
            if trainer.finished or now - saved_at > config.checkpoint_seconds:
                _save_checkpoint(path, trainer, metrics.rows, spent + now - started)
                saved_at = now
    return spent + time.monotonic() - started


def _save_checkpoint(path: Path, trainer: Trainer, rows: list[Row], seconds: float) -> None:
    buffer = io.BytesIO()  # torch reports a full disk as a broken archive; a plain write says what it is
    torch.save({"trainer": trainer.state_dict(), "rows": rows, "seconds": seconds}, buffer)
    write_file(path, buffer.getvalue())


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read what training saved.

    Raises:
        RunError: the file is damaged.
    """
    try:
        checkpoint: dict[str, Any] = torch.load(path, weights_only=True)
    except Exception as error:  # torch raises many kinds for a damaged archive
        raise RunError(f"'{path}' cannot be read: delete its folder and train again") from error
    return checkpoint
