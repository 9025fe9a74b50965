"""Gradient-cosine affinities against their definition, with errors that match the real spread."""

import dataclasses

import numpy as np
import pytest

from pgx_core.clustering.cosine import cosine_affinity
from pgx_core.clustering.strategies import cosine_groups
from pgx_core.errors import ConfigError
from pgx_core.types import Features

DIRECTIONS = np.array([[1.0, 0.2, 0.0], [1.0, -0.2, 0.0], [-0.9, 0.1, 0.3], [-1.0, 0.0, -0.3]])


def make_features(seed: int, episodes: int = 20, noise: float = 1.0) -> Features:
    """Four objectives, `episodes` of 5 to 15 transitions each; noise is shared inside an episode."""
    generator = np.random.default_rng(seed)
    objective = np.repeat(np.arange(4), episodes)
    lengths = generator.integers(5, 16, len(objective))
    means = DIRECTIONS[objective] + noise * generator.normal(size=(len(objective), 3))
    labels = np.where(generator.random(lengths.sum()) < 0.5, -1.0, 1.0)
    weights = generator.uniform(0.5, 2.0, lengths.sum())
    gradients = np.repeat(means, lengths, axis=0) + 0.1 * generator.normal(size=(lengths.sum(), 3))
    return Features(
        coordinates=gradients * (labels / weights)[:, None],
        labels=labels,
        weights=weights,
        objectives=np.repeat(objective, lengths),
        episodes=np.repeat(np.tile(np.arange(episodes), 4), lengths),  # the same numbers in every objective
        names=("a", "b", "c", "d"),
        parameter_norm=1.0,
        energy=1.0,
    )


def test_matches_the_definition() -> None:
    features = make_features(0)
    affinity = cosine_affinity(features)
    signed = (features.weights * features.labels)[:, None] * features.coordinates
    means = [signed[features.objectives == i].mean(0) for i in range(4)]
    for i in range(4):
        for j in range(4):
            cosine = means[i] @ means[j] / np.sqrt((means[i] @ means[i]) * (means[j] @ means[j]))
            assert affinity.matrix[i, j] == pytest.approx(cosine if i != j else 0.0)
    np.testing.assert_allclose(affinity.replicates, affinity.replicates.transpose(0, 2, 1), atol=1e-12)
    assert (np.abs(affinity.replicates) <= 1 + 1e-9).all() and affinity.names == features.names


def test_errors_are_as_large_as_the_real_spread() -> None:
    trials = [cosine_affinity(make_features(seed), bootstrap=60) for seed in range(60)]
    pairs = np.triu_indices(4, 1)
    real = np.std([trial.matrix for trial in trials], axis=0)[pairs].mean()
    estimated = np.mean([trial.errors for trial in trials], axis=0)[pairs].mean()
    assert 0.75 < estimated / real < 1.25


def test_length_of_the_gradients_does_not_matter() -> None:
    features = make_features(0)
    factor = np.array([1e-3, 1.0, 50.0, 7.0])[features.objectives]
    scaled = dataclasses.replace(features, weights=features.weights * factor)
    np.testing.assert_allclose(cosine_affinity(scaled).replicates, cosine_affinity(features).replicates, atol=1e-9)


def test_opposite_gradients_are_told_apart() -> None:
    partition = cosine_groups(cosine_affinity(make_features(0)), 2, 0)
    assert partition.groups == (("a", "b"), ("c", "d")) and partition.method == "cosine"


def test_refuses_objectives_without_a_gradient() -> None:
    features = make_features(0)
    still = dataclasses.replace(features, weights=np.where(features.objectives == 2, 0.0, features.weights))
    absent = dataclasses.replace(features, objectives=np.where(features.objectives == 2, 1, features.objectives))
    for bad in (still, absent):
        with pytest.raises(ConfigError, match="policy gradient of 'c' is zero or missing"):
            cosine_affinity(bad)
    with pytest.raises(ConfigError, match="at least 2 bootstrap"):
        cosine_affinity(features, bootstrap=1)
