"""What the estimate stands in for: the meta policy trained on every subset for real, and measured."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from pgx_core.learning.layout import Member
from pgx_core.learning.network import clone_policy
from pgx_core.training.evaluation import EvaluationConfig, evaluate
from pgx_core.training.session import train_population
from pgx_core.types import SubsetScores
from pgx_core.validation.validation import Validation

WORLDS = 24  # of each subset's training: few, so that few steps still make many updates
EPISODES = 4  # per policy and objective; the noise of training exceeds that of these
SEED = 30_000  # added to the run's: other worlds than its own trainings saw


@dataclass(frozen=True)
class Spent:
    """What the real training and its evaluation took."""

    train_steps: int
    train_seconds: float
    evaluation_steps: int
    evaluation_seconds: float


def fine_tune(validation: Validation) -> tuple[SubsetScores, Spent]:
    """f(S) by real training: one policy per subset from the meta policy, measured on its own objectives.

    All train as one population, each in as many worlds and for as many steps, and see what the meta policy sees.
    A training that was broken off goes on from its checkpoint.

    Raises:
        RunError: the checkpoint cannot be read or written, or training diverged.
    """
    run, subsets = validation.run, validation.subsets
    seed = run.config.seed + validation.config.seed + SEED
    conditioned = run.config.meta_conditioned
    members = tuple(Member(tuple(map(int, np.flatnonzero(row))), conditioned, WORLDS) for row in subsets)
    start = clone_policy(run.population("meta"), 0, (conditioned,) * len(members))
    steps = validation.config.steps * len(members)
    folder = validation.path("finetuned")
    trained = train_population(run.suite, members, run.config.training, steps, seed, folder, "real", start)
    began = time.monotonic()
    config = EvaluationConfig(EPISODES, run.config.evaluation.seed)
    measured = evaluate(trained.population, run.suite, config, run.config.training.simulation, asked=subsets)
    spent = Spent(
        train_steps=steps,
        train_seconds=trained.seconds,
        evaluation_steps=int(subsets.sum()) * EPISODES * run.suite.episode_steps,
        evaluation_seconds=time.monotonic() - began,
    )
    scores = SubsetScores(subsets, measured.scores, measured.episodes, run.suite.names, "real training")
    return scores, spent
