"""Does grouping pay? Every way to spend one budget, on every embedded suite, over several seeds.

It is `pgx compare SUITE` for one suite after another, with fewer methods; a run that exists is not trained again.

    python benchmarks/grouping.py --json benchmarks/results/grouping.json
"""

from __future__ import annotations

import json as json_format
from dataclasses import replace
from pathlib import Path

import tyro
from common import write_json

from pgx_core.comparison.findings import figures_json, find, table
from pgx_core.comparison.seeds import EVERY_METHOD, train_seeds
from pgx_core.objectives.loading import short_name
from pgx_core.scale import Workers
from pgx_core.training.methods import Method

COMPARED: tuple[Method, ...] = ("joint", "joint_id", "random", "random_id", "cosine", "groups", "specialists")


def main(
    suites: tuple[str, ...] = ("signs", "skills", "hierarchy"),
    seeds: int = 5,
    folder: Path = Path("runs/grouping"),
    workers: Workers = 1,
    json: Path | None = None,
) -> None:
    """Train everything (resumable), then print a table for each suite.

    Args:
        suites: embedded suites, or FILE.py:VARIABLE.
        seeds: seeds 0, 1, ... of each.
        folder: of the comparisons' folders.
        workers: that do a seed each, as of `pgx compare`.
        json: where to write the figures.
    """
    config = replace(EVERY_METHOD, compare=COMPARED)
    figures: dict[str, object] = {}
    for suite in suites:
        runs = train_seeds(folder / short_name(suite), suite, config, seeds, workers=workers)
        findings = find(runs)
        print(table(findings))
        figures[suite] = json_format.loads(figures_json(findings))
    write_json(json, figures)


if __name__ == "__main__":
    tyro.cli(main)
