"""Trainings side by side: in processes of this machine, or on the nodes of a Ray cluster.

Nothing else here knows Ray, which is imported when it is asked for.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from pgx_core.errors import ConfigError, PgxError, RunError, require
from pgx_core.processes import run_in_processes
from pgx_core.run import Run
from pgx_core.training.progress import Progress

Workers = int | str  # processes of this machine, 1: this one alone; or the address of a Ray cluster

RETRIES = 10  # nodes that a job may lose
PATIENCE = 5.0  # s to find a cluster
POLL = 1.0  # s between two looks at what is done


@dataclass(frozen=True)
class Part:
    """A training that the jobs do, for the progress bar."""

    run: Run
    folder: str  # in the run's
    steps: int  # environment steps in all

    @property
    def done(self) -> int:
        """Steps when it last saved."""
        return min(self.run.saved_steps(self.folder), self.steps)


def spread_trainings(
    title: str, parts: Sequence[Part], work: Callable[..., None], jobs: Sequence[tuple[Any, ...]], workers: Workers
) -> None:
    """`spread` under a progress bar. On a cluster jobs take a GPU each where the runs train on one.

    Args:
        title: on the bar.
        parts: all that the jobs train, at least one.
        work: as of `spread`.
        jobs: as of `spread`.
        workers: as of `spread`.

    Raises:
        PgxError: as of `spread`.
    """
    gpus = float(parts[0].run.config.training.simulation.device.startswith("cuda"))
    with Progress(title, sum(part.steps for part in parts)) as progress:
        progress.skip(sum(part.done for part in parts))
        spread(work, jobs, workers, gpus, lambda: progress.reach(sum(part.done for part in parts)))


def spread(
    work: Callable[..., None],
    jobs: Sequence[tuple[Any, ...]],
    workers: Workers,
    gpus: float = 0.0,
    watch: Callable[[], None] = lambda: None,
) -> None:
    """Call `work(*job)` for every job, in the order given, as many at once as there are workers.

    On a cluster a job whose node is lost begins again on another. So the work must keep its state in a folder that all
    workers see under the same path, resume from there, and come to the same result however often it is interrupted.

    Args:
        work: a function of a module that the workers have installed.
        jobs: arguments of each call.
        workers: processes of this machine, or the address of a Ray cluster: HOST:PORT, or "auto" for one that runs
            on this machine; there a job has a processor of its own.
        gpus: of one node of the cluster that a job takes.
        watch: called every second, say to show the progress.

    Raises:
        ConfigError: there are no such workers, or Ray is not installed.
        PgxError: a job's own error; the others are given up.
        RunError: a process was killed, or a job lost its node too often.
    """
    if isinstance(workers, str):
        _on_cluster(work, jobs, workers, gpus, watch)
    else:
        check_workers(workers)
        run_in_processes([partial(work, *job) for job in jobs], workers, watch=watch, interval=POLL)


def check_workers(workers: Workers) -> None:
    """Find out that there are no such workers before there is work for them.

    Raises:
        ConfigError: as of `spread`.
    """
    if isinstance(workers, str):
        _connect(workers).shutdown()
    else:
        require(workers >= 1, "workers", "1 or more processes, or the address of a Ray cluster", workers)


def _on_cluster(
    work: Callable[..., None],
    jobs: Sequence[tuple[Any, ...]],
    address: str,
    gpus: float,
    watch: Callable[[], None],
) -> None:
    ray = _connect(address)
    remote = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=RETRIES)(_call)
    try:
        pending = [remote.remote(os.getcwd(), partial(work, *job)) for job in jobs]
        while pending:
            done, pending = ray.wait(pending, timeout=POLL)
            watch()
            for one in done:
                _result(ray, one)
    finally:
        ray.shutdown()  # ends the jobs too


def _connect(address: str) -> Any:
    try:
        import ray
    except ImportError as error:
        raise ConfigError(
            f"workers: expected a number of processes or the address of a Ray cluster, got '{address}', and Ray is not "
            'installed: pip install "pgx-core[scale]"'
        ) from error
    try:
        if ":" in address:  # Ray itself tries for minutes
            host, _, port = address.rpartition(":")
            socket.create_connection((host, int(port)), PATIENCE).close()
        ray.init(address, include_dashboard=False, log_to_driver=False, logging_level="error")
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"workers: expected a number of processes or a Ray cluster at '{address}' (`ray start --head` starts one): "
            f"{reason}"
        ) from error
    return ray


def _call(folder: str, job: Callable[[], None]) -> None:
    os.chdir(folder)  # paths of the command line are relative to it
    job()


def _result(ray: Any, reference: Any) -> None:
    try:
        ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise (error.cause if isinstance(error.cause, PgxError) else error) from None
    except ray.exceptions.RayError as error:
        raise RunError(f"ray: a job lost its node {RETRIES + 1} times: {str(error).splitlines()[0]}") from error
