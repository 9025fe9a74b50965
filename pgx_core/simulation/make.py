"""The simulation that a suite needs."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int

from pgx_core.objectives.environment_suite import AnySuite, EnvironmentSuite
from pgx_core.simulation.environment_simulation import EnvironmentSimulation
from pgx_core.simulation.simulation import Simulation, SimulationConfig

AnySimulation = Simulation | EnvironmentSimulation


def make_simulation(
    suite: AnySuite,
    objectives: Int[np.ndarray, "W"],
    seed: int,
    config: SimulationConfig | None = None,
    stagger: bool = True,
) -> AnySimulation:
    """Worlds of a suite, of a robot or of environments.

    Args:
        suite: the objectives.
        objectives: which one each world pursues.
        seed: of everything random in the worlds.
        config: the physics engine of a robot's suite; environments bring their own.
        stagger: spread the first episodes' ends.

    Raises:
        SuiteError: the robot does not compile, or a package that the environment needs is missing.
    """
    if isinstance(suite, EnvironmentSuite):
        return EnvironmentSimulation(suite, objectives, seed, stagger)
    return Simulation(suite, objectives, seed, config, stagger)
