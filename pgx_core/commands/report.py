"""`pgx report`."""

from __future__ import annotations

from pathlib import Path

import tyro

from pgx_core.files import locked
from pgx_core.pipeline import require_finished
from pgx_core.run import read_run
from pgx_core.stages import report


def main(run: tyro.conf.Positional[Path]) -> None:
    """Write a finished run's report again.

    Args:
        run: run folder.
    """
    with locked(run):
        found = read_run(run)
        require_finished(found, "evaluation")
        report(found)
    print(found.path("report/report.html"))
