"""A population on the suite `tiny`, and a suite whose scores can be worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from pgx_core.learning.network import NetworkSize, Population
from pgx_core.objectives.objective import Reset, Suite
from pgx_core.objectives.suites import TINY
from pgx_core.simulation.simulation import SimulationConfig

SLIDER_OBSERVATIONS = 2  # joint velocity, last action


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def fake() -> SimulationConfig:
    """A cart of unit mass that the command pushes."""
    return SimulationConfig("fake")


@pytest.fixture
def still_start() -> Suite:
    """`tiny`, every episode starting at rest in the home pose."""
    objectives = tuple(replace(objective, reset=Reset(0.0, 0.0)) for objective in TINY.objectives)
    return replace(TINY, objectives=objectives)


@pytest.fixture
def make_population() -> Callable[..., Population]:
    """Random policies for `tiny`, their weights large enough to matter."""

    def make(n: int = 1, conditioned: bool = False, hidden: tuple[int, ...] = (8, 8), scale: float = 0.5) -> Population:
        size = NetworkSize(SLIDER_OBSERVATIONS, 4, 1, hidden)
        population = Population(size, (conditioned,) * n, tuple(range(n)))
        generator = torch.Generator().manual_seed(n)
        with torch.no_grad():
            for parameter in population.parameters():
                parameter += scale * torch.randn(parameter.shape, generator=generator)
        return population

    return make
