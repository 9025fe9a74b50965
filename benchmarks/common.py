"""What the benchmarks share: runs that resume, robust averages, tables and JSON."""

from __future__ import annotations

import os

os.environ.setdefault("TQDM_DISABLE", "1")  # bars of several processes would overwrite each other; read at import

import json
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.stats import trim_mean

from pgx_core.pipeline import train
from pgx_core.report.data import MethodScores
from pgx_core.run import Run, RunConfig, open_run
from pgx_core.simulation.simulation import SimulationConfig
from pgx_core.training.methods import Method
from pgx_core.types import Partition, load_record

COMPARED: tuple[Method, ...] = (
    "joint",
    "joint_id",
    "random",
    "random_id",
    "cosine",
    "groups",
    "groups_id",
    "specialists",
)


@dataclass(frozen=True)
class Job:
    """One run of one suite with one seed, up to one stage."""

    suite: str
    seed: int
    stop: str
    folder: Path


def open_job(job: Job) -> Run:
    """The run of a job, started or resumed. One simulation thread: the jobs themselves run side by side."""
    config = RunConfig(seed=job.seed, compare=COMPARED)
    training = replace(config.training, simulation=SimulationConfig(threads=1))
    return open_run(job.folder / f"{job.suite}_{job.seed}", job.suite, replace(config, training=training))


def finish(job: Job) -> Run:
    """Run a job to its end; what is already there is not run again."""
    torch.set_num_threads(1)
    run = open_job(job)
    train(run, stop=job.stop, say=lambda line: print(f"{job.suite} seed {job.seed}: {line}", flush=True))
    return run


def finish_all(jobs: Iterable[Job], workers: int) -> list[Run]:
    """Run jobs on a pool of processes."""
    with ProcessPoolExecutor(workers) as pool:
        return list(pool.map(finish, jobs))


def partition_of(run: Run) -> Partition:
    """The groups a run found."""
    return load_record(Partition, run.path("partition.npz"))


def scores_of(run: Run, method: Method) -> np.ndarray:
    """Score of a method on every objective."""
    return load_record(MethodScores, run.path(f"evaluation/{method}.npz")).scores


def interquartile_mean(scores: np.ndarray, seed: int = 0, draws: int = 2000) -> tuple[float, float, float]:
    """(interquartile mean, lower, upper) of scores [seeds, objectives], with a 95% interval.

    The stratified bootstrap of Agarwal et al. (2021): seeds are drawn anew for every objective.
    """
    rng = np.random.default_rng(seed)
    n_seeds, n = scores.shape
    rows = rng.integers(0, n_seeds, (draws, n_seeds, n))
    replicates = trim_mean(scores[rows, np.arange(n)].reshape(draws, -1), 0.25, axis=1)
    low, high = np.quantile(replicates, [0.025, 0.975])
    return float(trim_mean(scores, 0.25, axis=None)), float(low), float(high)


def write_json(path: Path | None, figures: dict[str, object]) -> None:
    """Write the figures where `--json` asks for it."""
    if path:
        path.write_text(json.dumps(figures, indent=2) + "\n")
