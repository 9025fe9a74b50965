from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import nn

from pgx_core.errors import ConfigError
from pgx_core.gradients import features as features_module
from pgx_core.gradients.basis import CHUNK, GramBasis, ProjectionBasis, lift, principal_basis, projection_matrix
from pgx_core.gradients.features import FeatureConfig, compute_features
from pgx_core.gradients.parameters import flatten_parameters
from pgx_core.gradients.per_sample import per_sample_gradients
from pgx_core.learning.network import GaussianPolicy
from pgx_core.types import Features, Transitions, load_record, save_record

SOME = FeatureConfig(dimensions=20)
ALL = FeatureConfig()
PROJECTION = FeatureConfig(mode="projection", dimensions=40)


def loop(policy: nn.Module, data: Transitions) -> np.ndarray:
    return per_sample_gradients(policy, torch.tensor(data.observations), torch.tensor(data.actions)).numpy()


def blocks(policy: nn.Module, flat: np.ndarray) -> list[np.ndarray]:
    """[N, p] as one [N, o, i] per parameter."""
    ends = np.cumsum([parameter.numel() for parameter in policy.parameters()])
    parts = np.split(flat, ends[:-1], axis=1)
    return [part.reshape(len(flat), len(q), -1) for part, q in zip(parts, policy.parameters(), strict=True)]


@pytest.mark.parametrize("config", [SOME, ALL, PROJECTION], ids=["some", "all", "projection"])
def test_coordinates_are_inner_products_with_the_lifted_axes(
    policy: nn.Module, transitions: Transitions, config: FeatureConfig
) -> None:
    made = compute_features(policy, transitions, config)
    axes = lift(policy, made.basis, np.eye(made.features.coordinates.shape[1])).numpy()
    expected = loop(policy, transitions) @ axes.T
    np.testing.assert_allclose(made.features.coordinates, expected, rtol=0, atol=1e-10 * np.abs(expected).max())


@pytest.mark.parametrize("config", [SOME, ALL], ids=["some", "all"])
def test_gram_directions_are_orthonormal(policy: nn.Module, transitions: Transitions, config: FeatureConfig) -> None:
    basis = compute_features(policy, transitions, config).basis
    assert isinstance(basis, GramBasis)
    axes = lift(policy, basis, np.eye(len(basis.kept)))
    torch.testing.assert_close(axes @ axes.T, torch.eye(len(axes), dtype=axes.dtype), rtol=0, atol=1e-8)


def test_with_every_coordinate_nothing_is_lost(policy: nn.Module, transitions: Transitions) -> None:
    features = compute_features(policy, transitions, ALL).features
    gradients = loop(policy, transitions)
    assert features.coordinates.shape == gradients.shape
    assert features.energy == pytest.approx(1.0, abs=1e-12)
    inner = gradients @ gradients.T
    np.testing.assert_allclose(features.coordinates @ features.coordinates.T, inner, rtol=0, atol=1e-11 * inner.max())


@pytest.mark.parametrize("r", [1, 20, 60])
def test_the_kept_entries_are_the_strongest_in_the_principal_axes(
    policy: nn.Module, transitions: Transitions, r: int
) -> None:
    """The slow way: singular vectors of each parameter's gradients, unfolded by rows and by columns."""
    features = compute_features(policy, transitions, FeatureConfig(dimensions=r)).features
    gradients = loop(policy, transitions)
    energies = []
    for block in blocks(policy, gradients):
        n, o, i = block.shape
        left = np.linalg.svd(block.transpose(1, 0, 2).reshape(o, n * i))[0]
        right = np.linalg.svd(block.reshape(n * o, i).T)[0]
        energies.append(np.square(left.T @ block @ right).sum(0).ravel())
    strongest = np.sort(np.concatenate(energies))[::-1][:r]
    np.testing.assert_allclose(np.sort(np.square(features.coordinates).sum(0))[::-1], strongest, rtol=1e-7)
    assert features.energy == pytest.approx(strongest.sum() / np.square(gradients).sum(), rel=1e-9)


def test_a_plain_policy_has_the_same_features_whichever_way_its_gradients_come(
    plain_policy: GaussianPolicy, transitions: Transitions
) -> None:
    class Disguised(GaussianPolicy):
        """Not the very class that is factored, so its gradients are held in full."""

    other = Disguised(7, 3, (9, 8)).double()
    other.load_state_dict(plain_policy.state_dict())
    factored, dense = (compute_features(p, transitions, SOME).features for p in (plain_policy, other))
    # An axis's sign is arbitrary, so compare what the coordinates say about each other.
    inner = factored.coordinates @ factored.coordinates.T
    np.testing.assert_allclose(dense.coordinates @ dense.coordinates.T, inner, rtol=0, atol=1e-9 * inner.max())
    assert dense.energy == pytest.approx(factored.energy)


def explicit_directions(policy: nn.Module, basis: GramBasis) -> np.ndarray:
    """[r, p]: the kept columns of the orthogonal matrix of all p directions, by Kronecker products."""
    turns, at = [], 0
    for parameter in policy.parameters():
        o, i = len(parameter), parameter[0].numel()
        left, right = basis.axes[at : at + o * o].reshape(o, o), basis.axes[at + o * o :][: i * i].reshape(i, i)
        turns.append(np.kron(left, right))
        at += o * o + i * i
    return scipy.linalg.block_diag(*turns).T[basis.kept]


@pytest.mark.parametrize("config", [SOME, PROJECTION], ids=["gram", "projection"])
@pytest.mark.parametrize("m", [3, 50], ids=["few", "many"])
def test_lift_is_the_explicit_sum(policy: nn.Module, transitions: Transitions, config: FeatureConfig, m: int) -> None:
    made = compute_features(policy, transitions, config)
    steps = np.random.default_rng(0).normal(size=(m, made.features.coordinates.shape[1]))
    if isinstance(made.basis, GramBasis):
        directions = explicit_directions(policy, made.basis)
    else:
        directions = projection_matrix(flatten_parameters(policy), made.basis).numpy().T
    expected = steps @ directions
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
    # An axis's sign is arbitrary, so compare what the coordinates say about each other.
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


def test_the_axes_come_from_every_objective_in_equal_shares(
    plain_policy: GaussianPolicy, make_transitions: Callable[..., Transitions], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features_module, "SAMPLE", 60)
    objectives = np.array([0] * 200 + [1] * 90 + [2] * 10)
    seen: list[np.ndarray] = []

    def spy(policy: nn.Module, observations: np.ndarray, actions: np.ndarray, r: int) -> GramBasis:
        seen.append(observations[:, 0])
        return principal_basis(policy, observations, actions, r)

    monkeypatch.setattr(features_module, "principal_basis", spy)
    transitions = make_transitions(300, objectives)
    transitions.observations[:, 0] = objectives
    compute_features(plain_policy, transitions, SOME)
    np.testing.assert_array_equal(np.unique(seen[0], return_counts=True)[1], [25, 25, 10])


@pytest.mark.parametrize("config", [SOME, PROJECTION], ids=["gram", "projection"])
def test_the_seed_decides(
    plain_policy: GaussianPolicy, transitions: Transitions, config: FeatureConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features_module, "SAMPLE", 60)
    first, again = (compute_features(plain_policy, transitions, config).features for _ in range(2))
    np.testing.assert_array_equal(first.coordinates, again.coordinates)
    second = compute_features(plain_policy, transitions, replace(config, seed=1)).features
    assert not np.allclose(first.coordinates[:, :3], second.coordinates[:, :3])


@pytest.mark.parametrize("seed", range(5))
def test_advantages_have_no_say_in_the_directions(
    plain_policy: GaussianPolicy, transitions: Transitions, seed: int
) -> None:
    """Held-out scores stay unbiased: nothing that is scored can reach the coordinates through the basis."""
    config = FeatureConfig(dimensions=20, seed=seed)
    other = replace(transitions, advantages=np.random.default_rng(seed).normal(size=120))
    first, second = (compute_features(plain_policy, t, config).features for t in (transitions, other))
    np.testing.assert_array_equal(first.coordinates, second.coordinates)


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
    transitions.actions[5] = np.nan
    for config in (SOME, ALL, PROJECTION):
        with pytest.raises(ConfigError, match="finite gradients"):
            compute_features(plain_policy, transitions, config)
