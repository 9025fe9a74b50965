"""Every transition of the meta policy as a gradient feature: which parameters would make this action likelier?

python examples/03_gradient_features.py [FOLDER]    03 to 05 share a run: each goes on where another stopped
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import torch

from pgx_core.gradients.features import FeatureConfig, compute_features
from pgx_core.gradients.per_sample import per_sample_gradients
from pgx_core.pipeline import train
from pgx_core.run import RunConfig, open_run
from pgx_core.types import Transitions, load_record

SUITE = "tiny"  # or "signs", with `steps=None`, the suite's own: some minutes
CONFIG = RunConfig(steps=100_000, compare=("joint_id",))


def main(folder: str = "runs/examples/tiny") -> None:
    """Compare the Gram features with a random projection, and both with full gradients."""
    torch.set_num_threads(1)
    run = open_run(Path(folder), SUITE, CONFIG)
    train(run, stop="rollouts", say=lambda line: None)  # what is already there is not run again
    transitions = load_record(Transitions, run.path("transitions.npz"))
    policy = run.population("meta").policy(0)

    some = np.random.default_rng(0).choice(len(transitions.objectives), 200, replace=False)
    observations, actions = (torch.from_numpy(x[some]) for x in (transitions.observations, transitions.actions))
    full = per_sample_gradients(policy, observations, actions).numpy()  # the slow way: one backward pass each
    exact = full @ full.T
    print(f"{len(transitions.objectives):,} transitions, {full.shape[1]:,} parameters")
    for config in (FeatureConfig("gram"), FeatureConfig("projection")):
        began = time.perf_counter()
        features = compute_features(policy, transitions, config).features
        seconds = time.perf_counter() - began
        x = features.coordinates[some]
        error = np.linalg.norm(x @ x.T - exact) / np.linalg.norm(exact)
        print(f"{config.mode:10} {x.shape[1]:4} coordinates, {seconds:4.1f} s, error of the inner products {error:.1%}")


if __name__ == "__main__":
    main(*sys.argv[1:])
