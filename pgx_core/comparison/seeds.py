"""The runs of a comparison: one per seed, each resumable by itself."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from pgx_core.errors import require
from pgx_core.files import locked, remove_drafts
from pgx_core.pipeline import train
from pgx_core.run import Run, RunConfig, open_run, read_run
from pgx_core.scale import Part, Workers, spread_trainings
from pgx_core.training.methods import Method
from pgx_core.training.progress import Progress

COMPARED: tuple[Method, ...] = (
    "joint",
    "joint_id",
    "joint_wide_id",
    "random",
    "random_id",
    "cosine",
    "groups",
    "groups_id",
    "specialists",
    "soft_modules",
    "paco",
)
EVERY_METHOD = RunConfig(compare=COMPARED)
LAST_STAGE = "evaluation"


def train_seeds(
    folder: Path, reference: str, config: RunConfig, count: int, stop: str = LAST_STAGE, workers: Workers = 1
) -> tuple[Run, ...]:
    """Bring runs that differ in their seed alone to the end of one stage; what is finished is not done again.

    Args:
        folder: where they lie, as `seed_0`, `seed_1` ...; more can be added later.
        reference: the suite, as on the command line.
        config: of every run; its seed is the first one's.
        count: number of seeds, >= 2: one has no interval.
        stop: the last stage.
        workers: that do a seed each, as of `scale.spread`.

    Raises:
        SuiteError: the suite is unusable.
        ConfigError: the settings do not fit it, or a number is out of range.
        RunError: the folder holds runs with other settings, a training diverged, or a folder cannot be written.
    """
    require(count >= 2, "seeds", "2 or more", count)
    torch.set_num_threads(1)
    seeds = range(config.seed, config.seed + count)
    runs = tuple(open_run(folder / f"seed_{seed}", reference, replace(config, seed=seed)) for seed in seeds)
    with locked(folder):
        remove_drafts(folder)
        if workers != 1:
            _spread(runs, stop, workers)
        for run in runs:
            train(run, stop=stop, say=partial(_say, run.config.seed))
    return runs


def train_seed(folder: Path, stop: str) -> None:
    """One run, in a process of its own."""
    torch.set_num_threads(1)
    Progress.shown = False
    train(read_run(folder), stop=stop, say=lambda line: None)


def _spread(runs: tuple[Run, ...], stop: str, workers: Workers) -> None:
    parts = [Part(run, run.trained(method), run.training_steps(method)) for run in runs for method in run.methods]
    parts += [Part(run, "meta", run.meta_steps) for run in runs]
    jobs = [(run.folder.resolve(), stop) for run in runs]
    spread_trainings("seeds", parts, train_seed, jobs, workers)


def _say(seed: int, line: str) -> None:
    print(f"seed {seed}: {line}", flush=True)
