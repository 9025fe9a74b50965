from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pgx_core.types import Features

N_OBJECTIVES = 4


@pytest.fixture(scope="session")
def make_features() -> Callable[..., Features]:
    """Anisotropic coordinates, advantages that follow a different direction for every objective."""

    def make(n: int = 300, r: int = 12, scales: tuple[float, ...] = (1.0,) * N_OBJECTIVES, seed: int = 0) -> Features:
        rng = np.random.default_rng(seed)
        objectives = np.repeat(np.arange(N_OBJECTIVES), n)
        spectrum = 8.0 / np.arange(1, r + 1)
        coordinates = spectrum * rng.normal(size=(len(objectives), r))
        wishes = rng.normal(size=(N_OBJECTIVES, r))
        advantages = (coordinates * wishes[objectives]).sum(1) + 10.0 * rng.normal(size=len(objectives))
        advantages *= np.array(scales)[objectives]
        return Features(
            coordinates=coordinates,
            labels=np.where(advantages >= 0, 1.0, -1.0),
            weights=np.abs(advantages),
            objectives=objectives,
            episodes=np.arange(len(objectives)) // 20,
            names=("run", "jump", "stand", "turn"),
            parameter_norm=10.0,
            energy=0.99,
        )

    return make


@pytest.fixture
def features(make_features: Callable[..., Features]) -> Features:
    return make_features()


@pytest.fixture
def subsets() -> np.ndarray:
    """Every non-empty subset of the objectives."""
    codes = np.arange(1, 2**N_OBJECTIVES)
    return (codes[:, None] >> np.arange(N_OBJECTIVES)) % 2 == 1
