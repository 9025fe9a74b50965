"""What worker processes save: the trainings of one run by one process and by several, in turns.

python benchmarks/workers.py --json benchmarks/results/workers.json
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path
from statistics import median

import tyro
from common import write_json

from pgx_core.pipeline import train
from pgx_core.run import RunConfig, open_run


def main(
    suite: str = "signs", workers: int = 2, steps: int = 300_000, turns: int = 1, json: Path | None = None
) -> None:
    """Train groups and baselines from one partition, again and again.

    Args:
        suite: name of an embedded suite, or FILE.py:VARIABLE.
        workers: processes.
        steps: environment steps of each method, fewer than the suite's own to save time: starting processes weighs
            more in it than in a real run.
        turns: of both.
        json: where to write the figures.
    """
    seconds: dict[int, list[float]] = {1: [], workers: []}
    with tempfile.TemporaryDirectory() as folder:
        config = RunConfig(steps=steps)
        train(open_run(Path(folder, "begun"), suite, config), stop="clustering", say=lambda line: None)
        for turn in range(turns):
            for count, taken in seconds.items():
                copy = shutil.copytree(Path(folder, "begun"), Path(folder, f"{turn}_{count}"))
                began = time.monotonic()
                train(open_run(copy, suite, config), stop="baselines", say=lambda line: None, workers=count)
                taken.append(time.monotonic() - began)
                print(f"turn {turn}, {count} processes: {taken[-1]:.1f} s")
    ratio = median(one / other for one, other in zip(seconds[1], seconds[workers], strict=True))
    print(f"{workers} processes are {ratio:.2f} times as fast as one, on {os.cpu_count()} processors")
    write_json(json, {"speedup": ratio, "workers": workers, "processors": os.cpu_count(), "seconds": seconds})


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    tyro.cli(main)
