"""Every physics backend; each test of this folder runs on all of them, but for warp, which compiles for long."""

from __future__ import annotations

from typing import get_args, get_type_hints

import numpy as np
import pytest
import torch

from pgx_core.simulation.simulation import Simulation, SimulationConfig

from ..simulation import isaacgym_standin, isaacgym_stubs

BACKENDS = get_args(get_type_hints(SimulationConfig)["backend"])
# What is above the engine has no part in which engine it is; `tests/simulation/test_resident.py` has the rest.
FILES_OF_WARP = ("test_engine.py", "test_divergence.py")


def pytest_generate_tests(metafunc):
    if "config" in metafunc.fixturenames:
        with_warp = metafunc.definition.path.name in FILES_OF_WARP
        metafunc.parametrize("config", [b for b in BACKENDS if b != "warp" or with_warp], indirect=True)


@pytest.fixture(scope="module")
def isaacgym():
    """The stand-in for Isaac Gym."""
    if not isaacgym_stubs.folder().exists():
        pytest.skip("isaacgym-stubs is not installed")
    with isaacgym_standin.installed():
        yield


@pytest.fixture
def config(request):
    if request.param == "warp":
        from ..simulation import warp_for_tests  # noqa: F401 (it skips where the extra is not installed)
    if request.param == "isaacgym":
        request.getfixturevalue("isaacgym")
    return SimulationConfig(request.param, threads=1)


@pytest.fixture
def simulate(config):
    """A simulation with some worlds of each objective, not yet started."""

    def simulate(suite, seed=0, worlds=2, stagger=True, objectives=None):
        objectives = np.repeat(np.arange(len(suite.objectives)), worlds) if objectives is None else objectives
        return Simulation(suite, objectives, seed, config, stagger)

    return simulate


@pytest.fixture
def random_actions():
    """Violent random actions, the same for the same seed: many lie beyond [-1, 1]."""

    def random_actions(simulation, steps, seed=0):
        generator = torch.Generator().manual_seed(seed)
        joints = simulation.robot.contract.action_size
        return [2 * torch.randn(simulation.n_worlds, joints, generator=generator) for _ in range(steps)]

    return random_actions
