"""Gradient features: every transition's grad_theta log pi(a|s), in r coordinates.

`gram` (default): inner products of features are those of the gradients, up to the stated loss of energy. Every
parameter's gradient is turned into the principal axes of its two sides, and the r entries that carry most are kept.
`projection`: inner products with a random Gaussian matrix (arXiv 2511.12779, step 2), kept as the baseline.

Shapes: N transitions, r coordinates, p parameters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import nn

from pgx_core.errors import ConfigError
from pgx_core.gradients.basis import NOT_FINITE, Basis, ProjectionBasis, gradient_chunks, principal_basis, projector
from pgx_core.gradients.parameters import flatten_parameters
from pgx_core.types import Features, Transitions

# Not 1500, whose margins are truer (benchmarks/features.py): with 200 the partitions of 20 runs of four suites are the
# same, and the regressions take half the time or less.
DIMENSIONS = {"gram": 200, "projection": 400}
SAMPLE = 2048  # transitions that the principal axes are those of


@dataclass(frozen=True)
class FeatureConfig:
    """How gradients become features."""

    mode: Literal["gram", "projection"] = "gram"
    dimensions: int | None = None  # coordinates r, >= 1 (`gram`: at most p); None: 200, or the paper's 400
    seed: int = 0  # of the transitions that the axes come from, or of the projection

    def __post_init__(self) -> None:
        if self.dimensions is not None and self.dimensions < 1:
            raise ConfigError(f"features: expected dimensions >= 1, got {self.dimensions}; leave it to the mode")


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
    dimensions = config.dimensions or DIMENSIONS[config.mode]
    if config.mode == "gram":
        chosen = _sample(transitions.objectives, config.seed)
        observations, actions = transitions.observations[chosen], transitions.actions[chosen]
        basis: Basis = principal_basis(policy, observations, actions, dimensions)
    else:
        basis = ProjectionBasis(dimensions, config.seed)
    coordinates, share = _coordinates(policy, basis, transitions)
    theta = flatten_parameters(policy)
    # |P z| = sqrt(p/d) |z| in the mean, with a relative error of at most about sqrt(d/p).
    step_length = 1.0 if config.mode == "gram" else math.sqrt(len(theta) / dimensions)
    features = Features(
        coordinates=coordinates,
        labels=np.where(transitions.advantages >= 0, 1.0, -1.0),
        weights=np.abs(transitions.advantages),
        objectives=transitions.objectives,
        episodes=transitions.episodes,
        names=transitions.names,
        parameter_norm=float(theta.double().norm()),
        energy=share / step_length**2,
        step_length=step_length,
    )
    return FeatureSet(features, basis)


def _sample(objectives: np.ndarray, seed: int) -> np.ndarray:
    """Indices of `SAMPLE` transitions, an equal share of every objective as far as its transitions last."""
    order = np.random.default_rng(seed).permutation(len(objectives))
    rank = np.empty(len(objectives), dtype=np.int64)
    for objective in np.unique(objectives):
        own = order[objectives[order] == objective]
        rank[own] = np.arange(len(own))
    # Deal the objectives' shuffled transitions round by round.
    return np.sort(order[np.argsort(rank[order], kind="stable")][:SAMPLE])


def _coordinates(policy: nn.Module, basis: Basis, transitions: Transitions) -> tuple[np.ndarray, float]:
    """(coordinates [N, r], share of the squared gradient lengths that they have)."""
    project, start = projector(policy, basis), 0
    coordinates, sums = np.empty((0, 0)), torch.zeros(2, dtype=torch.float64)
    for gradients in gradient_chunks(policy, transitions.observations, transitions.actions):
        block = project(gradients)
        lengths = torch.stack(
            [block.square().sum(dtype=torch.float64), gradients.squared_norms().sum(dtype=torch.float64)]
        )
        sums = sums.to(lengths.device) + lengths
        block = block.cpu()
        if start == 0:
            coordinates = np.empty((len(transitions.objectives), block.shape[1]), dtype=block.numpy().dtype)
        coordinates[start : start + len(block)] = block.numpy()
        start += len(block)
    kept, total = sums.tolist()
    if not math.isfinite(total):
        raise ConfigError(NOT_FINITE)
    return coordinates, kept / total
