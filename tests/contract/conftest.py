"""Every physics backend; each test of this folder runs on all of them."""

from __future__ import annotations

from typing import get_args, get_type_hints

import numpy as np
import pytest
import torch

from pgx_core.simulation.simulation import Simulation, SimulationConfig

BACKENDS = get_args(get_type_hints(SimulationConfig)["backend"])


@pytest.fixture(params=BACKENDS)
def config(request):
    if request.param == "warp":
        pytest.importorskip("mujoco_warp", reason="needs the extra 'warp'")
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
