"""Gradient features: every transition's grad_theta log pi(a|s), in r coordinates.

`gram` (default): the exact Gram matrix of the gradients of M landmark transitions is decomposed, and the
coordinates are inner products with its r leading directions, orthonormal in parameter space (Nystrom).
`projection`: inner products with a random Gaussian matrix (arXiv 2511.12779, step 2), kept as the baseline.

Shapes: N transitions, M landmarks, r coordinates, p parameters, m steps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.linalg
import torch
from torch import nn

from pgx_core.errors import ConfigError
from pgx_core.gradients.basis import Basis, GramBasis, ProjectionBasis, gradient_chunks, gradients_at, projector
from pgx_core.gradients.parameters import flatten_parameters
from pgx_core.types import Features, Transitions

NULL = 1e-6  # directions with less than this share of the leading eigenvalue are rounding noise in float32


@dataclass(frozen=True)
class FeatureConfig:
    """How gradients become features."""

    mode: Literal["gram", "projection"] = "gram"
    dimensions: int = 150  # coordinates r, >= 1; at most this many in `gram`; the paper's projection has 400
    landmarks: int = 1500  # transitions that span the directions in `gram`, >= dimensions
    seed: int = 0  # of the landmarks or of the projection

    def __post_init__(self) -> None:
        if self.dimensions < 1:
            raise ConfigError(f"features: expected dimensions >= 1, got {self.dimensions}; 150 is usual")
        if self.mode == "gram" and self.landmarks < self.dimensions:
            raise ConfigError(
                f"features: expected landmarks >= dimensions ({self.dimensions}), got {self.landmarks}; raise landmarks"
            )


@dataclass(frozen=True)
class FeatureSet:
    """Features, and the directions in parameter space that their coordinates belong to."""

    features: Features
    basis: Basis


def compute_features(policy: nn.Module, transitions: Transitions, config: FeatureConfig) -> FeatureSet:
    """Features of every transition at the policy's parameters theta*.

    Args:
        policy: any module with `log_prob(observations [N, inputs], actions [N, actions]) -> [N]`.
        transitions: what that policy did.
        config: mode and sizes.

    Raises:
        ConfigError: a log-density gradient is not finite.
    """
    if config.mode == "gram":
        basis: Basis = _gram_basis(policy, transitions, config)
    else:
        basis = ProjectionBasis(config.dimensions, config.seed)
    coordinates, total = _coordinates(policy, basis, transitions)
    theta = flatten_parameters(policy)
    # |P z| = sqrt(p/d) |z| in the mean, with a relative error of at most about sqrt(d/p).
    step_length = 1.0 if config.mode == "gram" else math.sqrt(len(theta) / config.dimensions)
    features = Features(
        coordinates=coordinates,
        labels=np.where(transitions.advantages >= 0, 1.0, -1.0),
        weights=np.abs(transitions.advantages),
        objectives=transitions.objectives,
        episodes=transitions.episodes,
        names=transitions.names,
        parameter_norm=float(theta.double().norm()),
        energy=float(np.square(coordinates, dtype=np.float64).sum() / (total * step_length**2)),
        step_length=step_length,
    )
    return FeatureSet(features, basis)


def _gram_basis(policy: nn.Module, transitions: Transitions, config: FeatureConfig) -> GramBasis:
    """K_MM = V Lambda V^T; u_j = sum_i V_ij lambda_j^(-1/2) g_i for the r leading eigenvalues."""
    chosen = _landmarks(transitions.objectives, config)
    observations, actions = transitions.observations[chosen], transitions.actions[chosen]
    gram = gradients_at(policy, observations, actions).self_gram().numpy()
    _require_finite(gram)
    first = max(0, len(gram) - config.dimensions)
    values, vectors = scipy.linalg.eigh(gram, subset_by_index=(first, len(gram) - 1))
    values, vectors = values[::-1], vectors[:, ::-1]
    real = values > NULL * values[0]
    return GramBasis(observations, actions, vectors[:, real] / np.sqrt(values[real]))


def _landmarks(objectives: np.ndarray, config: FeatureConfig) -> np.ndarray:
    """Indices of the landmarks, an equal share of every objective as far as its transitions last."""
    if len(objectives) <= config.landmarks:
        return np.arange(len(objectives))
    order = np.random.default_rng(config.seed).permutation(len(objectives))
    rank = np.empty(len(objectives), dtype=np.int64)
    for objective in np.unique(objectives):
        own = order[objectives[order] == objective]
        rank[own] = np.arange(len(own))
    # Deal the objectives' shuffled transitions round by round.
    return np.sort(order[np.argsort(rank[order], kind="stable")][: config.landmarks])


def _coordinates(policy: nn.Module, basis: Basis, transitions: Transitions) -> tuple[np.ndarray, float]:
    """(coordinates [N, r], sum of the squared gradient lengths)."""
    project = projector(policy, basis)
    blocks, total = [], 0.0
    for gradients in gradient_chunks(policy, transitions.observations, transitions.actions):
        blocks.append(project(gradients).numpy())
        total += float(gradients.squared_norms().sum(dtype=torch.float64))
    coordinates = np.concatenate(blocks)
    _require_finite(coordinates)
    return coordinates, total


def _require_finite(values: np.ndarray) -> None:
    if not np.isfinite(values).all():
        raise ConfigError("features: expected finite gradients of log pi(a|s), got NaN or infinity; check the policy")
