"""`pgx validate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import tyro

from pgx_core.files import locked, write_file
from pgx_core.scale import Workers, check_workers
from pgx_core.validation.findings import figures_json, table
from pgx_core.validation.stages import validate
from pgx_core.validation.validation import ValidationConfig, open_validation


def main(
    run: tyro.conf.Positional[Path],
    json: Path | None = None,
    workers: Workers = 1,
    config: Annotated[ValidationConfig, tyro.conf.arg(name="")] = ValidationConfig(),  # noqa: B008 (frozen)
) -> None:
    """Compare a finished run's estimate with real training of its subsets. The same command resumes.

    Args:
        run: run folder; tables and plots go into `validation` there.
        json: file for the figures, flat.
        workers: processes for the subsets, or a Ray cluster: HOST:PORT, or "auto" for the one that runs here.
        config: settings.
    """
    check_workers(workers)
    torch.set_num_threads(1)
    with locked(run):
        validation = open_validation(run, config)
        findings = validate(validation, say=lambda line: print(line, flush=True), workers=workers)
    if json is not None:
        write_file(json, figures_json(findings))
    print(table(findings))
    print(f"plots {validation.path('scores.png')}, taylor.png and sensitivity.png beside it")
