"""`pgx export`."""

from __future__ import annotations

from pathlib import Path

import tyro

from pgx_core.export.bundle import write_bundle
from pgx_core.pipeline import require_finished
from pgx_core.results import bundle_contents
from pgx_core.run import read_run


def main(run: tyro.conf.Positional[Path], out: Path | None = None) -> None:
    """Write a finished run's bundle.

    Args:
        run: run folder.
        out: bundle folder; `bundle` in the run folder where not given.
    """
    found = read_run(run)
    require_finished(found, "evaluation")
    print(write_bundle(out or found.path("bundle"), bundle_contents(found)))
