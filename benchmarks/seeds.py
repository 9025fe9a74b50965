"""Is the right partition found whatever the seed? The suite `signs`, whose groups are the two signs.

python benchmarks/seeds.py --json benchmarks/results/seeds.json
"""

from __future__ import annotations

from pathlib import Path

import tyro
from common import Job, finish_all, partition_of, scores_of, write_json

from pgx_core.training.methods import Method

SHOWN: tuple[Method, ...] = ("joint", "joint_id", "groups", "groups_id")


def main(
    seeds: int = 10,
    scores: bool = False,
    workers: int = 2,
    folder: Path = Path("runs/benchmark"),
    json: Path | None = None,
) -> None:
    """Count the seeds whose partition is exactly the two signs.

    Args:
        seeds: seeds 0, 1, ...
        scores: also train every method to the end and average its score.
        workers: runs side by side.
        folder: run folders, shared with grouping.py.
        json: where to write the figures.
    """
    jobs = [Job("signs", seed, "evaluation" if scores else "clustering", folder) for seed in range(seeds)]
    runs = finish_all(jobs, workers)
    correct = 0
    for seed, run in enumerate(runs):
        partition = partition_of(run)
        right = list(partition.labels) == [0, 0, 0, 1, 1, 1]
        correct += right
        print(f"seed {seed}: {'right' if right else 'WRONG'}: {partition}")
    figures: dict[str, object] = {"seeds": seeds, "correct": correct}
    if scores:
        for method in SHOWN:
            each = [float(scores_of(run, method).mean()) for run in runs]
            figures[f"score_{method}"] = sum(each) / seeds
            print(f"{method}: mean {sum(each) / seeds:.3f}, lowest {min(each):.3f}, highest {max(each):.3f}")
    print(f"{correct} of {seeds} right")
    write_json(json, figures)


if __name__ == "__main__":
    tyro.cli(main)
