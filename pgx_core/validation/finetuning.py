"""What the estimate stands in for: the meta policy trained on every subset for real, and measured."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from pgx_core.files import write_file
from pgx_core.learning.layout import Member
from pgx_core.learning.network import clone_policy
from pgx_core.run import read_run
from pgx_core.scale import Part, Workers, spread_trainings
from pgx_core.training.evaluation import evaluate
from pgx_core.training.progress import Progress
from pgx_core.training.session import Trained, train_population
from pgx_core.types import SubsetScores
from pgx_core.validation.validation import Validation, ValidationConfig

BATCH = 48  # subsets that train as one population, at most
WORLDS = 24  # of each subset's training: few, so that few steps still make many updates
EPISODES = 4  # per policy and objective; the noise of training exceeds that of these
SHARED = "validation/finetuned/side_by_side"  # a file that says that several processes trained here
SEED = 30_000  # added to the run's: other worlds than its own trainings saw


@dataclass(frozen=True)
class Spent:
    """What the real training and its evaluation took."""

    train_steps: int
    train_seconds: float  # NaN where batches trained side by side: each then waited for the others, too
    evaluation_steps: int
    evaluation_seconds: float


def fine_tune(validation: Validation) -> tuple[SubsetScores, Spent]:
    """f(S) by real training: one policy per subset from the meta policy, measured on its own objectives.

    Subsets train in batches, each batch as one population, every policy in as many worlds and for as many steps; they
    see what the meta policy sees. A training that was broken off goes on from its checkpoint, and one that
    `spread_fine_tuning` did is found done.

    Raises:
        RunError: a checkpoint cannot be read or written, or training diverged.
    """
    run, subsets = validation.run, validation.subsets
    config = replace(run.evaluation, episodes=EPISODES)
    with Progress("real", validation.config.steps * len(subsets)) as progress:
        trained = [train_batch(validation, *batch, progress) for batch in batches(validation)]
    began = time.monotonic()
    measured = [
        evaluate(one.population, run.suite, config, run.config.training.simulation, asked=subsets[first:end])
        for one, (first, end) in zip(trained, batches(validation), strict=True)
    ]
    spent = Spent(
        train_steps=validation.config.steps * len(subsets),
        train_seconds=math.nan if run.path(SHARED).exists() else sum(one.seconds for one in trained),
        evaluation_steps=int(subsets.sum()) * EPISODES * run.suite.episode_steps,
        evaluation_seconds=time.monotonic() - began,
    )
    scores = np.concatenate([one.scores for one in measured])
    episodes = np.concatenate([one.episodes for one in measured])
    return SubsetScores(subsets, scores, episodes, run.suite.names, "real training"), spent


def spread_fine_tuning(validation: Validation, workers: Workers) -> None:
    """Train the batches side by side, each as one job; `fine_tune` then finds them done.

    Args:
        validation: which.
        workers: as of `scale.spread`.

    Raises:
        ConfigError: there are no such workers.
        RunError: as of `fine_tune`.
    """
    run, each = validation.run, validation.config.steps
    parts = [Part(run, _folder(first), each * (end - first)) for first, end in batches(validation)]
    jobs = [(run.folder.resolve(), validation.config, *batch) for batch in batches(validation)]
    write_file(run.path(SHARED), "")
    spread_trainings("real", parts, train_job, jobs, workers)


def train_job(folder: Path, config: ValidationConfig, first: int, end: int) -> None:
    """One batch of `spread_fine_tuning`, in a process of its own."""
    torch.set_num_threads(1)
    with Progress("real", 0, quiet=True) as progress:
        train_batch(Validation(read_run(folder), config), first, end, progress)


def batches(validation: Validation) -> list[tuple[int, int]]:
    """The first subset and the end of each population, whose policies train together."""
    m = len(validation.subsets)
    return [(first, min(first + BATCH, m)) for first in range(0, m, BATCH)]


def train_batch(validation: Validation, first: int, end: int, progress: Progress) -> Trained:
    """Train the policies of subsets `first` to `end` - 1, or go on with them.

    Raises:
        RunError: as of `fine_tune`.
    """
    run, subsets = validation.run, validation.subsets[first:end]
    conditioned = run.config.meta_conditioned
    members = tuple(Member(tuple(map(int, np.flatnonzero(row))), conditioned, WORLDS) for row in subsets)
    start = clone_policy(run.population("meta"), 0, (conditioned,) * len(members))
    seed = run.config.seed + validation.config.seed + SEED + 1000 * first
    steps, folder = validation.config.steps * len(members), run.path(_folder(first))
    return train_population(run.suite, members, run.config.training, steps, seed, folder, "real", start, progress)


def _folder(first: int) -> str:
    return f"validation/finetuned/{first}"
