"""A validation of `tiny` that exists in memory only, and scores with planted groups."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from pgx_core.objectives.suites import TINY
from pgx_core.run import Run, RunConfig
from pgx_core.types import SubsetScores
from pgx_core.validation.validation import Validation, ValidationConfig


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def validation(tmp_path: Path) -> Validation:
    return Validation(Run(tmp_path, "tiny", TINY, RunConfig()), ValidationConfig())


@pytest.fixture
def planted() -> Callable[..., SubsetScores]:
    """Each objective does well in a subset as far as its companions are of its own group; plus noise."""

    def make(subsets: np.ndarray, labels: list[int], noise: float = 0.0) -> SubsetScores:
        groups = np.array(labels)
        alike = (groups[:, None] == groups) * 2.0 - 1.0
        np.fill_diagonal(alike, 0.0)
        values = subsets @ alike + noise * np.random.default_rng(0).normal(size=subsets.shape)
        values = np.where(subsets, values, np.nan)
        names = tuple(objective.name for objective in TINY.objectives)
        return SubsetScores(subsets, values, np.repeat(values[..., None], 2, -1), names, "real training")

    return make
