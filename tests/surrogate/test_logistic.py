from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch

from pgx_core.errors import ConfigError
from pgx_core.surrogate.logistic import pooled_logistic, softplus
from pgx_core.types import Features


def everything(features: Features) -> np.ndarray:
    return np.ones(len(features.labels), dtype=bool)


class InNumpy:
    """A problem that takes and gives arrays."""

    def __init__(self, features: Features, subsets: np.ndarray) -> None:
        self._problem = pooled_logistic(features, subsets, everything(features))

    def __getattr__(self, name: str) -> Callable[..., np.ndarray]:
        return lambda *arrays: getattr(self._problem, name)(*map(torch.from_numpy, arrays)).numpy()


def test_the_loss_is_the_written_formula(features: Features, subsets: np.ndarray) -> None:
    problem = InNumpy(features, subsets)
    steps = np.random.default_rng(0).normal(size=(len(subsets), 12)) * 0.2
    for loss, subset, z in zip(problem.losses(steps), subsets, steps, strict=True):
        expected = 0.0
        for i in np.flatnonzero(subset):
            own = features.objectives == i
            terms = np.logaddexp(0.0, -features.labels[own] * (features.coordinates[own] @ z))
            expected += (features.weights[own] * terms).sum() / features.weights[own].sum() / subset.sum()
        assert loss == pytest.approx(expected, rel=1e-12)


def test_gradients_agree_with_finite_differences(features: Features, subsets: np.ndarray) -> None:
    problem = InNumpy(features, subsets)
    steps = np.random.default_rng(0).normal(size=(len(subsets), 12)) * 0.2
    gradients = problem.gradients(steps, np.ones(len(subsets), dtype=bool))
    for j in range(12):
        shift = 1e-6 * np.eye(12)[j]
        numeric = (problem.losses(steps + shift) - problem.losses(steps - shift)) / 2e-6
        np.testing.assert_allclose(gradients[:, j], numeric, atol=1e-8)


def test_slopes_are_the_gradients_at_no_step(features: Features, subsets: np.ndarray) -> None:
    problem = InNumpy(features, subsets)
    wanted = np.ones(len(subsets), dtype=bool)
    np.testing.assert_allclose(problem.slopes(), problem.gradients(np.zeros((len(subsets), 12)), wanted), atol=1e-14)


def test_unwanted_subsets_are_skipped(features: Features, subsets: np.ndarray) -> None:
    problem = InNumpy(features, subsets)
    steps = np.random.default_rng(0).normal(size=(len(subsets), 12)) * 0.2
    full = problem.gradients(steps, np.ones(len(subsets), dtype=bool))
    wanted = np.arange(len(subsets)) % 2 == 0
    np.testing.assert_allclose(problem.gradients(steps, wanted), np.where(wanted[:, None], full, 0.0), atol=1e-14)


def test_the_bound_is_never_below_the_hessian_and_touches_it_at_no_step(
    features: Features, subsets: np.ndarray
) -> None:
    problem = InNumpy(features, subsets)
    bounds = np.tensordot(subsets / subsets.sum(1, keepdims=True), problem.curvature_bounds(), axes=1)
    wanted = np.ones(len(subsets), dtype=bool)
    for size in (0.0, 0.1, 1.0):
        steps = size * np.random.default_rng(0).normal(size=(len(subsets), 12))
        hessians = np.stack(
            [
                (problem.gradients(steps + 1e-5 * axis, wanted) - problem.gradients(steps - 1e-5 * axis, wanted)) / 2e-5
                for axis in np.eye(12)
            ],
            axis=2,
        )
        gaps = np.linalg.eigvalsh(bounds - (hessians + hessians.transpose(0, 2, 1)) / 2)
        assert gaps.min() > -1e-7
        assert size > 0.0 or np.abs(gaps).max() < 1e-6


def test_everything_adds_up_over_the_objectives(features: Features, subsets: np.ndarray) -> None:
    problem = InNumpy(features, subsets)
    alone = InNumpy(features, np.eye(4, dtype=bool))
    z, shares = np.full((1, 12), 0.1), subsets / subsets.sum(1, keepdims=True)
    every, each = np.repeat(z, len(subsets), 0), np.repeat(z, 4, 0)
    np.testing.assert_allclose(problem.losses(every), shares @ alone.losses(each), rtol=1e-12)
    np.testing.assert_allclose(problem.slopes(), shares @ alone.slopes(), atol=1e-14)


def test_softplus_is_right_where_the_plain_formula_overflows() -> None:
    values = np.array([-1e4, -30.0, -1.0, 0.0, 1.0, 30.0, 1e4])
    np.testing.assert_allclose(softplus(torch.from_numpy(values)), np.logaddexp(0.0, values), rtol=1e-12, atol=1e-15)


def test_nothing_to_fit_is_named(features: Features, subsets: np.ndarray) -> None:
    with pytest.raises(ConfigError, match="empty"):
        pooled_logistic(features, np.zeros((1, 4), dtype=bool), everything(features))
    flat = dataclasses.replace(features, weights=np.where(features.objectives == 1, 0.0, features.weights))
    with pytest.raises(ConfigError, match="'jump'"):
        pooled_logistic(flat, subsets, everything(flat))
    others = subsets[~subsets[:, 1]]
    assert np.isfinite(InNumpy(flat, others).losses(np.zeros((len(others), 12)))).all()
