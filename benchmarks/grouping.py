"""Does grouping pay? Every way to spend one budget, on every embedded suite, over several seeds.

python benchmarks/grouping.py --json benchmarks/results/grouping.json
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tyro
from common import COMPARED, Job, finish_all, interquartile_mean, partition_of, scores_of, write_json

from pgx_core.objectives.suites import SUITES


def main(
    suites: tuple[str, ...] = ("signs", "skills", "hierarchy"),
    seeds: int = 5,
    workers: int = 2,
    folder: Path = Path("runs/benchmark"),
    json: Path | None = None,
) -> None:
    """Train everything (resumable), then print one table.

    Args:
        suites: embedded suites.
        seeds: seeds 0, 1, ... of each.
        workers: runs side by side.
        folder: run folders.
        json: where to write the figures.
    """
    jobs = [Job(suite, seed, "evaluation", folder) for seed in range(seeds) for suite in suites]
    runs = dict(zip(((job.suite, job.seed) for job in jobs), finish_all(jobs, workers), strict=True))
    figures: dict[str, object] = {}
    for suite in suites:
        own = [runs[suite, seed] for seed in range(seeds)]
        print(f"\n{suite}: {SUITES[suite].steps:,} environment steps for every method, {seeds} seeds")
        for seed, run in enumerate(own):
            print(f"  seed {seed} groups: {partition_of(run)}")
        print("| method | interquartile mean | 95% interval |\n|---|---|---|")
        table = {}
        for method in COMPARED:
            mean, low, high = interquartile_mean(np.array([scores_of(run, method) for run in own]))
            table[f"score_{method}"] = mean
            table[f"score_{method}_interval"] = [low, high]
            print(f"| {method} | {mean:.3f} | {low:.3f} to {high:.3f} |")
        figures[suite] = table
    write_json(json, figures)


if __name__ == "__main__":
    tyro.cli(main)
