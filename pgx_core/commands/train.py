"""`pgx train`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import torch
import tyro

from pgx_core.files import locked
from pgx_core.objectives.loading import short_name
from pgx_core.pipeline import check_stages, train
from pgx_core.run import RunConfig, open_run
from pgx_core.scale import Workers, check_workers
from pgx_core.simulation.engines import Backend
from pgx_core.stages import summary


def main(
    suite: tyro.conf.Positional[str],
    out: Path | None = None,
    from_stage: Annotated[str | None, tyro.conf.arg(name="from")] = None,
    to_stage: Annotated[str | None, tyro.conf.arg(name="to")] = None,
    backend: Backend | None = None,
    device: str | None = None,
    workers: Workers = 1,
    config: Annotated[RunConfig, tyro.conf.arg(name="")] = RunConfig(),  # noqa: B008 (frozen)
) -> None:
    """Find the groups of a suite, train a policy for each, export and report. The same command resumes.

    Args:
        suite: name of an embedded suite (see `pgx suites`), or FILE.py:VARIABLE.
        out: run folder; runs/SUITE where not given.
        from_stage: run this stage and all after it again.
        to_stage: stop after this stage.
        backend: short for --training.simulation.backend: what steps the worlds.
        device: short for --training.simulation.device: cpu, cuda or cuda:N. A run may be resumed on another.
        workers: processes for groups and baselines, or a Ray cluster: HOST:PORT, or "auto" for the one that runs here.
        config: settings.
    """
    check_stages(from_stage, to_stage)
    check_workers(workers)
    torch.set_num_threads(1)
    config = replace(config, training=config.training.placed(backend, device))
    run = open_run(out or Path("runs") / short_name(suite), suite, config)
    with locked(run.folder):
        train(run, from_stage, to_stage, say=lambda line: print(line, flush=True), workers=workers)
    if to_stage is None:
        print(summary(run))
