"""Is the estimate true? Several seeds of several suites, every subset trained for real (`pgx validate`).

python benchmarks/validation.py --json benchmarks/results/validation.json
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import tyro
from common import write_json

from pgx_core.comparison.seeds import train_seeds
from pgx_core.objectives.loading import short_name
from pgx_core.run import RunConfig
from pgx_core.scale import Workers
from pgx_core.validation.findings import figures
from pgx_core.validation.stages import validate
from pgx_core.validation.validation import ValidationConfig, open_validation


def main(
    suites: tuple[str, ...] = ("tiny", "signs", "hierarchy"),
    seeds: int = 3,
    steps: int = ValidationConfig.steps,
    folder: Path = Path("runs/validation"),
    workers: Workers = 1,
    json: Path | None = None,
) -> None:
    """Print a row for each figure and a column for each suite: the mean over the seeds, and the lowest and highest.

    Args:
        suites: embedded suites, or FILE.py:VARIABLE.
        seeds: seeds 0, 1, ... of each.
        steps: of each subset's real training.
        folder: of the runs; one that is there, and its validation, is not done again.
        workers: that do a seed each, and then batches of subsets, as of `pgx compare` and `pgx validate`.
        json: where to write the figures: under each suite the means, and under `seeds` what each seed gave.
    """
    found: dict[str, list[dict[str, float]]] = {}
    for suite in suites:
        runs = train_seeds(folder / short_name(suite), suite, RunConfig(compare=("joint_id",)), seeds, workers=workers)
        opened = [open_validation(run.folder, ValidationConfig(steps=steps)) for run in runs]
        found[short_name(suite)] = [figures(validate(validation, workers=workers)) for validation in opened]
    print("| | " + " | ".join(found) + " |\n|" + "---|" * (len(found) + 1))
    for name in next(iter(found.values()))[0]:
        print(f"| {name} | " + " | ".join(_text([seed[name] for seed in column]) for column in found.values()) + " |")
    write_json(json, {suite: _summary(column) for suite, column in found.items()})


def _text(values: list[float]) -> str:
    if not np.isfinite(values).all():
        return "-"
    return f"{np.mean(values):.3g} ({min(values):.3g} to {max(values):.3g})"


def _summary(column: list[dict[str, float]]) -> dict[str, object]:
    means = {name: _plain(float(np.mean([seed[name] for seed in column]))) for name in column[0]}
    return means | {"seeds": [{name: _plain(value) for name, value in seed.items()} for seed in column]}


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None


if __name__ == "__main__":
    tyro.cli(main)
