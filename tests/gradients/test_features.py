from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pgx_core.errors import ConfigError
from pgx_core.gradients.basis import CHUNK, GramBasis, ProjectionBasis, lift, projection_matrix
from pgx_core.gradients.features import FeatureConfig, compute_features
from pgx_core.gradients.parameters import flatten_parameters
from pgx_core.gradients.per_sample import per_sample_gradients
from pgx_core.learning.network import GaussianPolicy
from pgx_core.types import Features, Transitions, load_record, save_record

SOME = FeatureConfig(dimensions=20, landmarks=60)
ALL = FeatureConfig(dimensions=200, landmarks=200)
PROJECTION = FeatureConfig(mode="projection", dimensions=40)


def loop(policy: nn.Module, data: Transitions | GramBasis) -> np.ndarray:
    return per_sample_gradients(policy, torch.tensor(data.observations), torch.tensor(data.actions)).numpy()


@pytest.mark.parametrize("config", [SOME, ALL, PROJECTION], ids=["nystrom", "exact", "projection"])
def test_coordinates_are_inner_products_with_the_lifted_axes(
    policy: nn.Module, transitions: Transitions, config: FeatureConfig
) -> None:
    made = compute_features(policy, transitions, config)
    axes = lift(policy, made.basis, np.eye(made.features.coordinates.shape[1])).numpy()
    expected = loop(policy, transitions) @ axes.T
    np.testing.assert_allclose(made.features.coordinates, expected, rtol=0, atol=1e-10 * np.abs(expected).max())


@pytest.mark.parametrize("config", [SOME, ALL], ids=["nystrom", "exact"])
def test_gram_directions_are_orthonormal(policy: nn.Module, transitions: Transitions, config: FeatureConfig) -> None:
    basis = compute_features(policy, transitions, config).basis
    assert isinstance(basis, GramBasis)
    axes = lift(policy, basis, np.eye(basis.combination.shape[1]))
    torch.testing.assert_close(axes @ axes.T, torch.eye(len(axes), dtype=axes.dtype), rtol=0, atol=1e-8)


def test_with_every_transition_a_landmark_nothing_is_lost(policy: nn.Module, transitions: Transitions) -> None:
    features = compute_features(policy, transitions, ALL).features
    gradients = loop(policy, transitions)
    assert features.energy == pytest.approx(1.0, abs=1e-4)
    np.testing.assert_allclose(
        features.coordinates @ features.coordinates.T,
        gradients @ gradients.T,
        rtol=0,
        atol=1e-4 * np.square(gradients).sum(1).max(),
    )


def test_the_leading_directions_are_those_of_the_singular_value_decomposition(
    policy: nn.Module, transitions: Transitions
) -> None:
    features = compute_features(policy, transitions, FeatureConfig(dimensions=20, landmarks=200)).features
    singular = np.linalg.svd(loop(policy, transitions), compute_uv=False)
    np.testing.assert_allclose(np.linalg.norm(features.coordinates, axis=0), singular[:20], rtol=1e-8)
    assert features.energy == pytest.approx(np.square(singular[:20]).sum() / np.square(singular).sum(), rel=1e-8)


@pytest.mark.parametrize("config", [SOME, PROJECTION], ids=["gram", "projection"])
@pytest.mark.parametrize("m", [3, 50], ids=["few", "many"])
def test_lift_is_the_explicit_sum(policy: nn.Module, transitions: Transitions, config: FeatureConfig, m: int) -> None:
    made = compute_features(policy, transitions, config)
    steps = np.random.default_rng(0).normal(size=(m, made.features.coordinates.shape[1]))
    if isinstance(made.basis, GramBasis):
        expected = steps @ made.basis.combination.T @ loop(policy, made.basis)
    else:
        expected = steps @ projection_matrix(flatten_parameters(policy), made.basis).numpy().T
    np.testing.assert_allclose(lift(policy, made.basis, steps).numpy(), expected, rtol=1e-9, atol=1e-10)


def test_a_lifted_step_is_as_long_as_announced(plain_policy: GaussianPolicy, transitions: Transitions) -> None:
    for config, error in ((SOME, 1e-8), (PROJECTION, 0.2)):  # the projection's only in the mean
        made = compute_features(plain_policy, transitions, config)
        z = np.random.default_rng(0).normal(size=(30, made.features.coordinates.shape[1]))
        lengths = lift(plain_policy, made.basis, z).norm(dim=1).numpy()
        assert np.abs(lengths / (made.features.step_length * np.linalg.norm(z, axis=1)) - 1.0).max() < error


def test_single_precision_agrees_with_double(plain_policy: GaussianPolicy, transitions: Transitions) -> None:
    double = compute_features(plain_policy, transitions, SOME).features.coordinates
    single = compute_features(plain_policy.float(), transitions, SOME).features.coordinates
    # An eigenvector's sign is arbitrary, so compare what the coordinates say about each other.
    np.testing.assert_allclose(
        single @ single.T, double @ double.T, rtol=0, atol=1e-4 * np.abs(double @ double.T).max()
    )


def test_more_transitions_than_one_chunk(
    plain_policy: GaussianPolicy, make_transitions: Callable[..., Transitions]
) -> None:
    transitions = make_transitions(2 * CHUNK + 3)
    made = compute_features(plain_policy, transitions, SOME)
    axes = lift(plain_policy, made.basis, np.eye(made.features.coordinates.shape[1])).numpy()
    np.testing.assert_allclose(made.features.coordinates, loop(plain_policy, transitions) @ axes.T, atol=1e-8)


def test_labels_weights_and_labelling_pass_through(plain_policy: GaussianPolicy, transitions: Transitions) -> None:
    features = compute_features(plain_policy, transitions, SOME).features
    np.testing.assert_array_equal(features.labels * features.weights, transitions.advantages)
    assert features.labels[0] == 1.0 and transitions.advantages[0] == 0.0
    assert features.names == transitions.names
    np.testing.assert_array_equal(features.objectives, transitions.objectives)
    np.testing.assert_array_equal(features.episodes, transitions.episodes)
    assert features.parameter_norm == pytest.approx(float(flatten_parameters(plain_policy).norm()))


def test_landmarks_come_from_every_objective_in_equal_shares(
    plain_policy: GaussianPolicy, make_transitions: Callable[..., Transitions]
) -> None:
    objectives = np.array([0] * 200 + [1] * 90 + [2] * 10)
    transitions = make_transitions(300, objectives)
    transitions.observations[:, 0] = objectives
    basis = compute_features(plain_policy, transitions, SOME).basis
    assert isinstance(basis, GramBasis)
    np.testing.assert_array_equal(np.unique(basis.observations[:, 0], return_counts=True)[1], [25, 25, 10])


def test_the_seed_decides(plain_policy: GaussianPolicy, transitions: Transitions) -> None:
    for config in (SOME, PROJECTION):
        first, again = (compute_features(plain_policy, transitions, config).features for _ in range(2))
        np.testing.assert_array_equal(first.coordinates, again.coordinates)
        other = FeatureConfig(config.mode, config.dimensions, config.landmarks, seed=1)
        second = compute_features(plain_policy, transitions, other).features
        assert not np.allclose(first.coordinates[:, :3], second.coordinates[:, :3])


def test_records_survive_the_disk(plain_policy: GaussianPolicy, transitions: Transitions, tmp_path: Path) -> None:
    for config, kind in ((SOME, GramBasis), (PROJECTION, ProjectionBasis)):
        made = compute_features(plain_policy, transitions, config)
        save_record(tmp_path / "features.npz", made.features)
        save_record(tmp_path / "basis.npz", made.basis)
        assert load_record(Features, tmp_path / "features.npz").step_length == made.features.step_length
        steps = np.eye(made.features.coordinates.shape[1])[:2]
        loaded = lift(plain_policy, load_record(kind, tmp_path / "basis.npz"), steps)
        assert torch.equal(loaded, lift(plain_policy, made.basis, steps))


def test_bad_settings_and_bad_gradients_are_named(plain_policy: GaussianPolicy, transitions: Transitions) -> None:
    with pytest.raises(ConfigError, match="dimensions >= 1, got 0"):
        FeatureConfig(dimensions=0)
    with pytest.raises(ConfigError, match="raise landmarks"):
        FeatureConfig(dimensions=200, landmarks=100)
    transitions.actions[5] = np.nan
    for config in (SOME, ALL, PROJECTION):
        with pytest.raises(ConfigError, match="finite gradients"):
            compute_features(plain_policy, transitions, config)
