"""One step of every objective before a run begins, so that a suite's mistake costs no training and leaves no folder."""

from __future__ import annotations

import numpy as np
import torch

from pgx_core.objectives.environment_suite import AnySuite
from pgx_core.simulation.make import make_simulation
from pgx_core.simulation.simulation import SimulationConfig


@torch.no_grad()
def rehearse(suite: AnySuite, config: SimulationConfig | None = None) -> None:
    """Reset and step two worlds per objective: in one alone, a term that returns a single number would pass.

    Raises:
        SuiteError: the robot does not compile, an environment's package is missing, or a term fails or returns
            something else than finite numbers.
    """
    simulation = make_simulation(suite, np.repeat(np.arange(len(suite.objectives)), 2), 0, config)
    simulation.reset()
    simulation.step(torch.zeros(simulation.n_worlds, simulation.space.action_columns))
