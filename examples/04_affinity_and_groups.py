"""From features to groups: adapt to many subsets without training, see who helps whom, and cluster.

python examples/04_affinity_and_groups.py [FOLDER]    03 to 05 share a run: each goes on where another stopped
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from pgx_core.affinity.matrix import estimate_affinity
from pgx_core.affinity.subsets import sample_subsets
from pgx_core.clustering.auto import cluster
from pgx_core.grouping import GroupingConfig
from pgx_core.pipeline import train
from pgx_core.run import RunConfig, open_run
from pgx_core.surrogate.scores import score_subsets
from pgx_core.surrogate.solve import solve_subsets
from pgx_core.surrogate.split import split_episodes
from pgx_core.types import Features, load_record

SUITE = "tiny"  # or "signs", with `steps=None`, the suite's own: some minutes
CONFIG = RunConfig(steps=100_000, compare=("joint_id",))


def main(folder: str = "runs/examples/tiny") -> None:
    """The lines of `pgx_core.grouping.group_objectives`, one by one."""
    torch.set_num_threads(1)
    run = open_run(Path(folder), SUITE, CONFIG)
    train(run, stop="features", say=lambda line: None)  # what is already there is not run again
    features = load_record(Features, run.path("features.npz"))

    config = GroupingConfig()
    subsets = sample_subsets(len(features.names), config.subsets)
    fitted = split_episodes(features, config.surrogate.held_out, config.surrogate.seed)
    solution = solve_subsets(features, subsets, fitted, config.surrogate)
    scores = score_subsets(features, subsets, solution, ~fitted, config.surrogate.blocks)
    affinity = estimate_affinity(scores, config.affinity)
    result = cluster(affinity, config.clustering)

    print(f"{len(subsets)} subsets; longest step {solution.relative_lengths.max():.1%} of the parameters' length")
    print("affinity +- standard error")
    for i, name in enumerate(features.names):
        cells = zip(affinity.matrix[i], affinity.errors[i], strict=True)
        print(f"  {name:12}" + "".join(f" {value:5.2f}+-{error:.2f}" for value, error in cells))
    table = result.table
    for k, gain, noise, stability in zip(table.ks, table.gains, table.noise, table.stability, strict=True):
        print(f"  k={k}: gain {gain:.2f} (pure noise: {noise:.2f}), stability {stability:.2f}")
    print(f"groups: {result.partition}")


if __name__ == "__main__":
    main(*sys.argv[1:])
