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
