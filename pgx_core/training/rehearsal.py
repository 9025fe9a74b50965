"""One step of every objective before a run begins, so that a suite's mistake costs no training and leaves no folder."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from pgx_core.objectives.environment_suite import AnySuite
from pgx_core.objectives.objective import Reward, Suite
from pgx_core.simulation.make import make_simulation
from pgx_core.simulation.simulation import SimulationConfig


@torch.no_grad()
def rehearse(suite: AnySuite, config: SimulationConfig | None = None) -> None:
    """Reset and step two worlds per objective: in one alone, a term that returns a single number would pass.

    The values of a trade-off are asked too: the run needs them only when everything is trained.

    Raises:
        SuiteError: the robot does not compile, an environment's package is missing, or a term fails or returns
            something else than finite numbers.
    """
    if isinstance(suite, Suite):
        values = tuple(Reward(term, weight=0.0) for term in suite.trade_off)
        objectives = tuple(replace(each, rewards=(*each.rewards, *values)) for each in suite.objectives)
        suite = replace(suite, objectives=objectives)
    simulation = make_simulation(suite, np.repeat(np.arange(len(suite.objectives)), 2), 0, config)
    simulation.reset()
    simulation.step(torch.zeros(simulation.n_worlds, simulation.space.action_columns))
    simulation.check()
