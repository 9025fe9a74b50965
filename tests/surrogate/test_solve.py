from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from pgx_core.errors import ConfigError
from pgx_core.surrogate import solve as solver
from pgx_core.surrogate.logistic import PooledLogistic, pooled_logistic
from pgx_core.surrogate.scores import score_subsets
from pgx_core.surrogate.solve import SurrogateConfig, solve_subsets
from pgx_core.surrogate.split import split_episodes
from pgx_core.types import Features, SurrogateSolution

RADII = (1e-4, 1e-3, 1e-2, 1e-1, np.inf)
EXACT = {"tolerance": 1e-10, "ridge": 1e-3}


def everything(features: Features) -> np.ndarray:
    return np.ones(len(features.labels), dtype=bool)


def solve(features: Features, subsets: np.ndarray, radius: float) -> SurrogateSolution:
    return solve_subsets(features, subsets, everything(features), SurrogateConfig(trust_radius=radius, **EXACT))


def sklearn_steps(features: Features, subsets: np.ndarray, ridge: np.ndarray) -> np.ndarray:
    """The peer: one regression per subset, with the multiplier given."""
    weights = features.weights / np.bincount(features.objectives, features.weights)[features.objectives]
    steps = []
    for subset, multiplier in zip(subsets, ridge, strict=True):
        own = subset[features.objectives]
        model = LogisticRegression(
            C=1.0 / multiplier, fit_intercept=False, solver="newton-cholesky", tol=1e-11, max_iter=1000
        )
        model.fit(features.coordinates[own], features.labels[own], sample_weight=weights[own] / subset.sum())
        steps.append(model.coef_[0])
    return np.array(steps)


def residuals(problem: PooledLogistic, solution: SurrogateSolution) -> tuple[np.ndarray, np.ndarray]:
    """(|gradient of the regularised loss| of every subset at its step, that of the loss at no step)."""
    steps, ridge = torch.from_numpy(solution.steps), torch.from_numpy(solution.ridge)
    gradients = problem.gradients(steps, torch.ones(len(steps), dtype=torch.bool)) + ridge[:, None] * steps
    return gradients.norm(dim=1).numpy(), problem.slopes().norm(dim=1).numpy()


@pytest.mark.parametrize("radius", RADII)
def test_steps_equal_scikit_learn_one_subset_at_a_time(features: Features, subsets: np.ndarray, radius: float) -> None:
    solution = solve(features, subsets, radius)
    expected = sklearn_steps(features, subsets, solution.ridge)
    np.testing.assert_allclose(solution.steps, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("radius", RADII)
def test_the_constraint_is_complementary(features: Features, subsets: np.ndarray, radius: float) -> None:
    solution = solve(features, subsets, radius)
    problem = pooled_logistic(features, subsets, everything(features))
    residual, slope = residuals(problem, solution)
    assert (residual <= 1e-9 * slope).all()
    assert (solution.ridge >= EXACT["ridge"]).all()
    assert (solution.relative_lengths <= radius * (1 + 1e-12)).all()
    held = solution.ridge > EXACT["ridge"]
    np.testing.assert_allclose(solution.relative_lengths[held], radius, rtol=1e-8)
    np.testing.assert_allclose(solution.losses, problem.losses(torch.from_numpy(solution.steps)))


def test_both_sides_of_the_constraint_are_tested(features: Features, subsets: np.ndarray) -> None:
    assert (solve(features, subsets, RADII[0]).ridge > EXACT["ridge"]).all()
    assert (solve(features, subsets, RADII[-1]).ridge == EXACT["ridge"]).all()


@given(st.floats(-5, 1), st.floats(-6, 0), st.integers(0, 3), st.floats(-1, 2))
def test_any_radius_ridge_and_scale_converge(
    make_features: Callable[..., Features], log_radius: float, log_ridge: float, seed: int, log_scale: float
) -> None:
    features = make_features(n=100, seed=seed)
    features = dataclasses.replace(features, coordinates=features.coordinates * 10**log_scale)
    subsets = np.array([[True, True, False, False], [True, True, True, True]])
    config = SurrogateConfig(trust_radius=10**log_radius, ridge=10**log_ridge, tolerance=1e-6)
    solution = solve_subsets(features, subsets, everything(features), config)
    problem = pooled_logistic(features, subsets, everything(features))
    residual, slope = residuals(problem, solution)
    assert residual == pytest.approx(0.0, abs=2e-6 * np.linalg.norm(slope))
    assert (solution.relative_lengths <= config.trust_radius * (1 + 1e-12)).all()


@pytest.mark.parametrize("radius", [1e-3, 1e-1, np.inf])
def test_objectives_that_live_in_different_directions_converge(
    make_features: Callable[..., Features], subsets: np.ndarray, radius: float
) -> None:
    """The solver's shared axes fit none of these: each objective's curvature is one steep, oblique ridge."""
    features = make_features(r=20)
    rng = np.random.default_rng(0)
    steep = rng.normal(size=(4, 20))[features.objectives] * rng.normal(size=(len(features.labels), 1))
    oblique = dataclasses.replace(features, coordinates=0.1 * features.coordinates + 30.0 * steep)
    solution = solve(oblique, subsets, radius)
    expected = sklearn_steps(oblique, subsets, solution.ridge)
    np.testing.assert_allclose(solution.steps, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("radius", RADII)
def test_more_coordinates_than_a_model_has_axes(
    features: Features, subsets: np.ndarray, radius: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(solver, "AXES", 3)
    for shared in (solver.SHARED_ITERATIONS, 1):  # either kind of model
        monkeypatch.setattr(solver, "SHARED_ITERATIONS", shared)
        solution = solve(features, subsets, radius)
        expected = sklearn_steps(features, subsets, solution.ridge)
        np.testing.assert_allclose(solution.steps, expected, rtol=0, atol=1e-6 * np.abs(expected).max())
        assert (solution.relative_lengths <= radius * (1 + 1e-12)).all()


def test_single_precision_reaches_the_default_tolerance(features: Features, subsets: np.ndarray) -> None:
    single = dataclasses.replace(features, coordinates=features.coordinates.astype(np.float32))
    rough = solve_subsets(single, subsets, everything(features), SurrogateConfig())
    exact = solve(features, subsets, SurrogateConfig().trust_radius)
    np.testing.assert_allclose(rough.steps, exact.steps, rtol=0, atol=1e-4 * np.abs(exact.steps).max())


def test_separable_data_stay_inside_the_radius(make_features: Callable[..., Features]) -> None:
    features = make_features()
    labels = np.where(features.coordinates[:, 0] >= 0, 1.0, -1.0)
    separable = dataclasses.replace(features, labels=labels)
    config = SurrogateConfig(trust_radius=1.0, ridge=1e-9)
    solution = solve_subsets(separable, np.ones((1, 4), dtype=bool), everything(features), config)
    assert solution.relative_lengths[0] == pytest.approx(1.0)
    assert solution.losses[0] < 0.1


def test_a_subset_does_not_depend_on_its_company(features: Features, subsets: np.ndarray) -> None:
    together = solve(features, subsets, 0.01)
    for s in (0, 5, len(subsets) - 1):
        alone = solve(features, subsets[s : s + 1], 0.01)
        np.testing.assert_allclose(alone.steps[0], together.steps[s], atol=1e-9)


def test_a_lone_objective_follows_its_own_wish_best(features: Features) -> None:
    each = solve(features, np.eye(4, dtype=bool), 0.01)
    for i in range(4):
        problem = pooled_logistic(features, np.eye(4, dtype=bool)[[i] * 4], everything(features))
        assert problem.losses(torch.from_numpy(each.steps)).argmin() == i


@pytest.mark.parametrize("scales", [(1.0, 100.0, 1e-3, 1.0), (7.0,) * 4])
def test_reward_scales_do_not_matter(
    make_features: Callable[..., Features], subsets: np.ndarray, scales: tuple[float, ...]
) -> None:
    plain, scaled = (solve(make_features(scales=s), subsets, 0.01) for s in ((1.0,) * 4, scales))
    np.testing.assert_allclose(plain.steps, scaled.steps, atol=1e-9)


def test_held_out_transitions_have_no_say(features: Features, subsets: np.ndarray) -> None:
    fitted = np.arange(len(features.labels)) % 2 == 0
    turned = dataclasses.replace(features, labels=np.where(fitted, features.labels, -features.labels))
    first, second = (solve_subsets(f, subsets, fitted, SurrogateConfig()) for f in (features, turned))
    np.testing.assert_array_equal(first.steps, second.steps)


def test_the_radius_counts_parameter_length_not_coordinates(features: Features, subsets: np.ndarray) -> None:
    stretched = dataclasses.replace(features, step_length=5.0)
    plain, short = solve(features, subsets, 0.001), solve(stretched, subsets, 0.001)
    np.testing.assert_allclose(short.relative_lengths, plain.relative_lengths)
    np.testing.assert_allclose(np.linalg.norm(plain.steps, axis=1), 5.0 * np.linalg.norm(short.steps, axis=1))


def test_bad_settings_and_lack_of_convergence_are_named(features: Features, subsets: np.ndarray) -> None:
    with pytest.raises(ConfigError, match="trust_radius > 0, got 0"):
        SurrogateConfig(trust_radius=0.0)
    with pytest.raises(ConfigError, match="ridge > 0"):
        SurrogateConfig(ridge=-1.0)
    with pytest.raises(ConfigError, match="1 iterations"):
        solve_subsets(features, subsets, everything(features), SurrogateConfig(max_iterations=1))


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU here")
def test_a_gpu_finds_the_same_steps_and_scores(features: Features, subsets: np.ndarray) -> None:
    fitted, config = split_episodes(features, 0.5, seed=0), SurrogateConfig(**EXACT)
    here, there = (solve_subsets(features, subsets, fitted, config, device) for device in ("cpu", "cuda"))
    np.testing.assert_allclose(there.steps, here.steps, rtol=0, atol=1e-8 * np.abs(here.steps).max())
    one, other = (score_subsets(features, subsets, here, ~fitted, 4, device) for device in ("cpu", "cuda"))
    np.testing.assert_allclose(other.blocks, one.blocks, rtol=1e-10)
