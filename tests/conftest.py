"""One thread and fixed seeds for every test."""

import os

# Read when numpy and torch are first loaded. A second thread only waits at barriers here.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

import sys

import numpy as np
import pytest
from hypothesis import settings

# Deadlines measure the machine's load, not the code; the same examples every time keep a red test red.
settings.register_profile("pgx", deadline=None, derandomize=True)
settings.load_profile("pgx")


@pytest.fixture(autouse=True)
def _fixed_seeds() -> None:
    np.random.seed(0)
    if "torch" in sys.modules:  # the tests that need no torch start a second sooner without it
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(scope="session")
def pushers(tmp_path_factory):
    """A served bundle of two hand-made policies for the slider: one pushes right, one left. Not to be written to."""
    import torch

    from pgx_core.contract import ObjectiveContract
    from pgx_core.export.bundle import BundleContents, GroupPolicy, write_bundle
    from pgx_core.learning.network import GaussianPolicy
    from pgx_core.objectives.suites import SLIDER
    from pgx_core.serving import load_bundle
    from pgx_core.simulation.robot_model import compile_robot, standalone_mjcf

    def pusher(action):
        policy = GaussianPolicy(2, 1, (4,))
        with torch.no_grad():
            for parameter in policy.parameters():
                parameter.zero_()
            policy.layers[-1].bias.fill_(action)
        return policy

    contents = BundleContents(
        name="pushers",
        contract=compile_robot(SLIDER).contract,
        objectives=(
            ObjectiveContract("right", {"velocity": 1.0}, "pushers", 1.0),
            ObjectiveContract("left", {"velocity": -1.0}, "pullers", 1.0),
            ObjectiveContract("away", {}, "pushers", 1.0),
        ),
        groups=tuple(
            GroupPolicy(name, pusher(action), np.zeros((4, 2), np.float32))
            for name, action in (("pushers", 0.5), ("pullers", -0.5))
        ),
        metrics={"steps": 0.0},
        config={},
        seed=0,
        rationale="By hand.",
        robot_xml=standalone_mjcf(SLIDER),
    )
    return load_bundle(write_bundle(tmp_path_factory.mktemp("bundles") / "pushers", contents))
