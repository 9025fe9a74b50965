"""`pgx adapt`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

from pgx_core.files import locked, write_file
from pgx_core.meta_rl import adapt_run, figures_json, table
from pgx_core.training.adaptation import AdaptationConfig


def main(
    run: tyro.conf.Positional[Path],
    json: Path | None = None,
    config: Annotated[AdaptationConfig, tyro.conf.arg(name="")] = AdaptationConfig(),  # noqa: B008 (frozen)
) -> None:
    """Meta-train by MAML on all of a run's objectives and per group, and adapt to unseen ones. It resumes.

    Args:
        run: run folder, finished up to its stage `clustering`; results go into `adaptation` there.
        json: file for the figures, flat.
        config: settings.
    """
    with locked(run):
        found = adapt_run(run, config, say=lambda line: print(line, flush=True))
    if json is not None:
        write_file(json, figures_json(found))
    print(table(found))
