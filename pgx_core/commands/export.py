"""`pgx export`."""

from __future__ import annotations

import sys
from pathlib import Path

import tyro

from pgx_core.export.bundle import write_bundle
from pgx_core.files import locked
from pgx_core.pipeline import require_finished
from pgx_core.results import bundle_contents
from pgx_core.run import read_run
from pgx_core.serving.rehearsal import REHEARSAL_FILE
from pgx_core.serving.switches import SWITCHES_FILE


def main(run: tyro.conf.Positional[Path], out: Path | None = None) -> None:
    """Write a finished run's bundle.

    Args:
        run: run folder.
        out: bundle folder; `bundle` in the run folder where not given.
    """
    with locked(run):
        found = read_run(run)
        require_finished(found, "evaluation")
        folder = out or found.path("bundle")
        measured = [name for name in (SWITCHES_FILE, REHEARSAL_FILE) if (folder / name).exists()]
        print(write_bundle(folder, bundle_contents(found)))
    if measured:  # of policies that may have been others
        print(f"without the old bundle's {' and '.join(measured)}: measure this one too", file=sys.stderr)
