"""The runs of a comparison: one per seed, each resumable by itself, several side by side if asked for."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from itertools import repeat
from pathlib import Path

import torch

from pgx_core.errors import RunError, require
from pgx_core.pipeline import train
from pgx_core.run import Run, RunConfig, open_run, read_run
from pgx_core.simulation.simulation import SimulationConfig
from pgx_core.training.methods import Method
from pgx_core.training.session import TrainingConfig

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
)
# Every method, and one simulation thread: it is the runs that go side by side.
EVERY_METHOD = RunConfig(compare=COMPARED, training=TrainingConfig(simulation=SimulationConfig(threads=1)))
LAST_STAGE = "evaluation"


def train_seeds(
    folder: Path, reference: str, config: RunConfig, count: int, workers: int = 1, stop: str = LAST_STAGE
) -> tuple[Run, ...]:
    """Bring runs that differ in their seed alone to the end of one stage; what is finished is not done again.

    Args:
        folder: where they lie, as `seed_0`, `seed_1` ...; more can be added later.
        reference: the suite, as on the command line.
        config: of every run; its seed is the first one's.
        count: number of seeds, >= 2: one has no interval.
        workers: runs side by side, >= 1, each in a process of its own if more than 1. A script that asks for more
            needs the usual `if __name__ == "__main__":`.
        stop: the last stage.

    Raises:
        SuiteError: the suite is unusable.
        ConfigError: the settings do not fit it, or a number is out of range.
        RunError: the folder holds runs with other settings, a training diverged, a worker was killed, or a folder
            cannot be written.
    """
    require(count >= 2, "seeds", "2 or more", count)
    require(workers >= 1, "workers", "1 or more", workers)
    seeds = range(config.seed, config.seed + count)
    runs = tuple(open_run(folder / f"seed_{seed}", reference, replace(config, seed=seed)) for seed in seeds)
    if workers > 1:
        _side_by_side(runs, workers, stop)
    else:
        for run in runs:
            _finish(run.folder, stop)
    return runs


def _side_by_side(runs: tuple[Run, ...], workers: int, stop: str) -> None:
    folders = [run.folder for run in runs]
    os.environ.setdefault("TQDM_DISABLE", "1")  # bars of several processes would overwrite each other
    # Spawned: a forked process inherits locks of torch's threads, and the pipes that tell others of our end.
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(min(workers, len(runs)), context, initializer=_end_with_parent) as pool:
            list(pool.map(_finish, folders, repeat(stop)))
    except BrokenProcessPool as error:
        raise RunError(
            "a worker process was killed, perhaps for want of memory: repeat the command, with fewer --workers"
        ) from error


def _finish(folder: Path, stop: str) -> None:
    torch.set_num_threads(1)
    run = read_run(folder)
    train(run, stop=stop, say=lambda line: print(f"seed {run.config.seed}: {line}", flush=True))


def _end_with_parent() -> None:
    """Let a worker end when its parent does, however that ended: two processes must not write in one folder."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C reaches the parent too, which has the last word
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
