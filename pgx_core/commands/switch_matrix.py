"""`pgx switch-matrix`."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Annotated

import tyro

from pgx_core.export.amend import write_switches
from pgx_core.report.switches import switch_figure
from pgx_core.serving import ServingConfig
from pgx_core.serving.switches import SWITCHES_PICTURE, SwitchMatrix
from pgx_core.serving.ways import survey
from pgx_core.switching.campaign import forget_draft, measure_switches
from pgx_core.switching.trial import SwitchConfig


def main(
    bundle: tyro.conf.Positional[Path],
    mjcf: Path | None = None,
    workers: int | None = None,
    config: Annotated[SwitchConfig, tyro.conf.arg(name="")] = SwitchConfig(),  # noqa: B008 (frozen)
) -> None:
    """Try every switch between two objectives in MuJoCo, and write what came of it into the bundle. Resumable.

    Args:
        bundle: bundle folder.
        mjcf: the robot, where the bundle carries none.
        workers: processes; where not given one for each processor.
        config: settings.
    """
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    matrix = measure_switches(bundle, mjcf, config, processors if workers is None else workers)
    write_switches(bundle, matrix, draw(matrix))
    forget_draft(bundle)
    for pair in sorted(matrix.pairs, key=lambda pair: -pair.high):
        settled = "not settled" if pair.settling_s is None else f"settled in {pair.settling_s:.1f} s"
        fell = f"fell {pair.falls} of {pair.episodes} ({pair.low:.0%} to {pair.high:.0%})"
        print(f"{pair.source:<16} -> {pair.target:<16} {fell:<26} {settled}")
    _, summary = survey(matrix, ServingConfig(blend_s=config.blend_s))
    print(summary)
    print(bundle / SWITCHES_PICTURE)


def draw(matrix: SwitchMatrix) -> bytes:
    """The heat map as PNG."""
    falls = {(pair.source, pair.target): (pair.falls, pair.episodes) for pair in matrix.pairs}
    times = {(pair.source, pair.target): pair.settling_s for pair in matrix.pairs}
    settling = {ends: "never" if time is None else f"{time:.1f} s" for ends, time in times.items()}
    picture = io.BytesIO()
    switch_figure(list(matrix.starts), falls, settling).savefig(picture, dpi=150, format="png")
    return picture.getvalue()
