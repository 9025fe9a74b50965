from __future__ import annotations

import numpy as np
import pytest

from pgx_core.types import Features
from pgx_core.validation.estimates import score_with
from pgx_core.validation.sensitivity import AXES, Reference, sensitivity

PER_OBJECTIVE, EPISODE, DIMENSIONS = 320, 20, 60


@pytest.fixture
def features() -> Features:
    """Objectives 0 and 1 are pulled one way, 2 and 3 the other, in the first of many directions."""
    rng, count = np.random.default_rng(0), 4 * PER_OBJECTIVE
    objectives = np.repeat(np.arange(4), PER_OBJECTIVE)
    coordinates = rng.normal(size=(count, DIMENSIONS)) * np.linspace(2.0, 0.1, DIMENSIONS)
    pull = np.where(objectives < 2, 1.0, -1.0) * coordinates[:, 0]
    labels = np.where(pull + 0.5 * rng.normal(size=count) > 0, 1.0, -1.0)
    return Features(
        coordinates=coordinates.astype(np.float32),
        labels=labels,
        weights=np.ones(count),
        objectives=objectives,
        episodes=np.arange(count) // EPISODE,
        names=("right_1", "right_2", "left_1", "left_2"),
        parameter_norm=10.0,
        energy=1.0,
    )


def test_less_of_everything(validation, planted, features) -> None:
    full = score_with(features, validation)
    real = planted(full.subsets, [0, 0, 1, 1])
    found = sensitivity(validation, features, Reference(full, real, 2, 0))
    settings = {axis: found.settings[[a == axis for a in found.axes]].tolist() for axis in AXES}
    assert settings == {
        "subsets": [2, 5, 10],
        "samples per objective": [60, 80, 160, 320],
        "dimensions": [25, 50, 60],
        "groups k": [2],
    }
    last = [max(i for i, a in enumerate(found.axes) if a == axis) for axis in AXES]
    assert (found.nmi_full[last] == 1.0).all() and (found.nmi_real[last] == 1.0).all()
    few = found.axes.index("subsets")
    assert np.isnan(found.nmi_full[few])  # two subsets leave pairs unsampled
    assert (found.spearman[[i for i, axis in enumerate(found.axes) if axis == "dimensions"]] > 0.5).all()


def test_real_training_that_groups_otherwise_is_noticed(validation, planted, features) -> None:
    full = score_with(features, validation)
    found = sensitivity(validation, features, Reference(full, planted(full.subsets, [0, 1, 0, 1]), 2, 0))
    assert found.nmi_real[-1] == pytest.approx(0.0, abs=1e-9)
    assert found.nmi_full[-1] == 1.0
