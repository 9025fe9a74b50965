"""`pgx compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

from pgx_core.comparison.findings import figures_json, find, table
from pgx_core.comparison.plots import save_plots
from pgx_core.comparison.seeds import EVERY_METHOD, train_seeds
from pgx_core.files import write_file
from pgx_core.objectives.loading import short_name
from pgx_core.run import RunConfig
from pgx_core.scale import Workers, check_workers


def main(
    suite: tyro.conf.Positional[str],
    out: Path | None = None,
    seeds: int = 5,
    json: Path | None = None,
    workers: Workers = 1,
    config: Annotated[RunConfig, tyro.conf.arg(name="")] = EVERY_METHOD,
) -> None:
    """Does grouping pay on a suite? Train every method on several seeds at equal steps. The same command resumes.

    Args:
        suite: name of an embedded suite (see `pgx suites`), or FILE.py:VARIABLE.
        out: folder of the plots and of one run per seed; runs/compare_SUITE where not given.
        seeds: how many, 2 or more; the first is --seed. More can be added later.
        json: file for the figures, flat.
        workers: processes for the seeds, or a Ray cluster: HOST:PORT, or "auto" for the one that runs here.
        config: settings of every run, as of `pgx train`.
    """
    check_workers(workers)
    folder = out or Path("runs") / f"compare_{short_name(suite)}"
    runs = train_seeds(folder, suite, config, seeds, workers=workers)
    findings = find(runs)
    if json is not None:
        write_file(json, figures_json(findings))
    pictures = save_plots(findings, runs, folder)
    print(table(findings))
    print("plots", *pictures)
