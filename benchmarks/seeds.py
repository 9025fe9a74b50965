"""Is the right partition found whatever the seed? The suite `signs`, whose groups are the two signs.

python benchmarks/seeds.py --json benchmarks/results/seeds.json
"""

from __future__ import annotations

from pathlib import Path

import tyro
from common import write_json

from pgx_core.comparison.seeds import EVERY_METHOD, train_seeds
from pgx_core.scale import Workers
from pgx_core.types import Partition, load_record


def main(
    seeds: int = 10,
    folder: Path = Path("runs/compare_signs"),
    workers: Workers = 1,
    json: Path | None = None,
) -> None:
    """Count the seeds whose partition is exactly the two signs.

    Args:
        seeds: seeds 0, 1, ...
        folder: run folders, shared with `pgx compare signs`.
        workers: that do a seed each, as of `pgx compare`.
        json: where to write the figures.
    """
    runs = train_seeds(folder, "signs", EVERY_METHOD, seeds, stop="clustering", workers=workers)
    correct = 0
    for seed, run in enumerate(runs):
        partition = load_record(Partition, run.path("partition.npz"))
        right = list(partition.labels) == [0, 0, 0, 1, 1, 1]
        correct += right
        print(f"seed {seed}: {'right' if right else 'WRONG'}: {partition}")
    print(f"{correct} of {seeds} right")
    write_json(json, {"seeds": seeds, "correct": correct})


if __name__ == "__main__":
    tyro.cli(main)
