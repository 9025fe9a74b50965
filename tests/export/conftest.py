"""The same bundle that the serving tests run."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

_PATH = Path(__file__).parents[1] / "serving" / "conftest.py"
_spec = importlib.util.spec_from_file_location("serving_fixtures", _PATH)
_fixtures = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_fixtures)

contents = _fixtures.contents
original = _fixtures.original


@pytest.fixture(scope="session")
def make():
    """The makers of contracts, policies and contents."""
    return _fixtures
