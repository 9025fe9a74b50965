"""The whole pipeline as one call: groups, a policy for each, the comparison, a verified bundle and a report.

python examples/05_train_and_export.py [FOLDER]    03 to 05 share a run: each goes on where another stopped
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from pgx_core.pipeline import train
from pgx_core.run import RunConfig, open_run
from pgx_core.serving import verify_bundle
from pgx_core.stages import summary

SUITE = "tiny"  # or "signs", with `steps=None`, the suite's own: some minutes
CONFIG = RunConfig(steps=100_000, compare=("joint_id",))


def main(folder: str = "runs/examples/tiny") -> None:
    """What `pgx train` does. Kill it and call it again: it goes on where it was."""
    torch.set_num_threads(1)
    run = open_run(Path(folder), SUITE, CONFIG)
    train(run)
    print(summary(run))
    manifest = verify_bundle(run.path("bundle"))  # refuses a bundle with anything wrong
    for objective in manifest.objectives:
        print(f"  {objective.name:12} is served by {objective.group}, score in training {objective.score:.2f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
