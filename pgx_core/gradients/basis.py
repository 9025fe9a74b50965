"""Directions in parameter space: from gradients to coordinates, and from coordinates back to parameters.

Shapes: M landmarks, r coordinates, p parameters, m steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from pgx_core.gradients.parameters import flatten_parameters
from pgx_core.gradients.per_sample import DenseGradients, FactoredGradients, Gradients, gradients_of

CHUNK = 512  # transitions whose gradients, or their inner products with the landmarks, are in memory at a time


@dataclass(frozen=True)
class GramBasis:
    """Directions u_j = sum_i combination[i, j] g_i over the landmarks: orthonormal in parameter space."""

    observations: Float[np.ndarray, "M inputs"]
    actions: Float[np.ndarray, "M actions"]
    combination: Float[np.ndarray, "M r"]


@dataclass(frozen=True)
class ProjectionBasis:
    """The columns of P [p, d]: independent Gaussians of variance 1/d, drawn again from the seed when needed."""

    dimensions: int  # d
    seed: int


Basis = GramBasis | ProjectionBasis


def lift(policy: nn.Module, basis: Basis, steps: Float[np.ndarray, "m r"]) -> Float[Tensor, "m p"]:
    """The parameter steps dtheta = sum_j steps[:, j] u_j, flat in the order of `named_parameters()`.

    Args:
        policy: at the parameters theta* that the basis was made at.
        basis: of the features that the steps were fitted in.
        steps: in feature coordinates.
    """
    theta = flatten_parameters(policy)
    z = torch.as_tensor(steps, dtype=theta.dtype)
    if isinstance(basis, ProjectionBasis):
        return z @ projection_matrix(theta, basis).T
    landmarks = gradients_at(policy, basis.observations, basis.actions)
    combination = torch.as_tensor(basis.combination, dtype=theta.dtype)
    if len(z) <= combination.shape[1]:
        return landmarks.combine(combination @ z.T)
    return z @ landmarks.combine(combination)  # more steps than directions: cheaper to lift the directions


def projector(policy: nn.Module, basis: Basis) -> Callable[[Gradients], Float[Tensor, "N r"]]:
    """The function from gradients to coordinates <g_i, u_j>."""
    theta = flatten_parameters(policy)
    if isinstance(basis, ProjectionBasis):
        matrix = projection_matrix(theta, basis)
        return lambda gradients: gradients.dense() @ matrix
    landmarks = gradients_at(policy, basis.observations, basis.actions)
    combination = torch.as_tensor(basis.combination, dtype=theta.dtype)
    if isinstance(landmarks, DenseGradients):
        directions = landmarks.combine(combination).T
        return lambda gradients: gradients.dense() @ directions
    return lambda gradients: cast(FactoredGradients, gradients).gram(landmarks) @ combination


def gradient_chunks(policy: nn.Module, observations: np.ndarray, actions: np.ndarray) -> Iterator[Gradients]:
    """The gradients of many transitions, `CHUNK` at a time."""
    for start in range(0, len(observations), CHUNK):
        yield gradients_at(policy, observations[start : start + CHUNK], actions[start : start + CHUNK])


def gradients_at(policy: nn.Module, observations: np.ndarray, actions: np.ndarray) -> Gradients:
    """The gradients of some transitions, in the policy's precision."""
    dtype = next(policy.parameters()).dtype
    return gradients_of(policy, torch.as_tensor(observations, dtype=dtype), torch.as_tensor(actions, dtype=dtype))


def projection_matrix(theta: Float[Tensor, "p"], basis: ProjectionBasis) -> Float[Tensor, "p d"]:
    """P, with E[P P^T] = identity, so that inner products survive in the mean."""
    generator = torch.Generator().manual_seed(basis.seed)
    shape = (len(theta), basis.dimensions)
    return torch.randn(shape, generator=generator, dtype=theta.dtype).div_(basis.dimensions**0.5)
