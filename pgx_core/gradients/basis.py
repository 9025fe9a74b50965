"""Directions in parameter space: from gradients to coordinates, and from coordinates back to parameters.

Shapes: N transitions, r coordinates, p parameters, m steps, o x i the matrix of one parameter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from pgx_core.errors import ConfigError
from pgx_core.gradients.parameters import flatten_parameters
from pgx_core.gradients.per_sample import Gradients, Sides, gradients_of, matrix_shapes

CHUNK = 512  # transitions whose gradients are in memory at a time
NOT_FINITE = "features: expected finite gradients of log pi(a|s), got NaN or infinity; check the policy"


@dataclass(frozen=True)
class GramBasis:
    """The r directions a_j b_k^T, orthonormal in parameter space: products of principal axes of a parameter's sides.

    With the axes a of the left and b of the right side in columns, a parameter's gradient G becomes a^T G b: an
    isometry of all p numbers, of which the r that carry most are kept.
    """

    axes: Float[np.ndarray, "_"]  # of every parameter in turn: left [o, o], right [i, i]
    kept: Int[np.ndarray, "r"]  # ascending, among the p entries of the parameters' a^T G b, one after the other


@dataclass(frozen=True)
class ProjectionBasis:
    """The columns of P [p, d]: independent Gaussians of variance 1/d, drawn again from the seed when needed."""

    dimensions: int  # d
    seed: int


Basis = GramBasis | ProjectionBasis


def principal_basis(
    policy: nn.Module, observations: Float[np.ndarray, "N inputs"], actions: Float[np.ndarray, "N actions"], r: int
) -> GramBasis:
    """The principal axes of these transitions' gradients, and the r entries that carry most of their squared length."""
    moments = _moments(policy, observations, actions)
    axes = tuple(Sides(_principal_axes(moment.left), _principal_axes(moment.right)) for moment in moments)
    flat = torch.cat([side.flatten() for a in axes for side in (a.left, a.right)])
    dtype = next(policy.parameters()).dtype
    basis = GramBasis(flat.to(dtype).cpu().numpy(), kept=np.arange(0))
    energies = torch.zeros(sum(o * i for o, i in matrix_shapes(policy)), dtype=torch.float64, device=_device(policy))
    for gradients in gradient_chunks(policy, observations, actions):
        energies += gradients.energies(_axes(policy, basis))
    return replace(basis, kept=energies.topk(min(r, len(energies))).indices.sort().values.cpu().numpy())


def lift(policy: nn.Module, basis: Basis, steps: Float[np.ndarray, "m r"]) -> Float[Tensor, "m p"]:
    """The parameter steps dtheta = sum_j steps[:, j] u_j, flat in the order of `named_parameters()`.

    Args:
        policy: at the parameters theta* that the basis was made at.
        basis: of the features that the steps were fitted in.
        steps: in feature coordinates.
    """
    theta = flatten_parameters(policy)
    z = torch.as_tensor(steps, dtype=theta.dtype, device=theta.device)
    if isinstance(basis, ProjectionBasis):
        return z @ projection_matrix(theta, basis).T
    turned = theta.new_zeros(len(z), len(theta))
    turned[:, torch.as_tensor(basis.kept, device=theta.device)] = z
    shapes = matrix_shapes(policy)
    blocks = turned.split([o * i for o, i in shapes], dim=1)
    factors = zip(blocks, shapes, _axes(policy, basis), strict=True)
    return torch.cat([(a.left @ block.unflatten(1, s) @ a.right.T).flatten(1) for block, s, a in factors], 1)


def projector(policy: nn.Module, basis: Basis) -> Callable[[Gradients], Float[Tensor, "N r"]]:
    """The function from gradients to coordinates <g_i, u_j>."""
    if isinstance(basis, ProjectionBasis):
        matrix = projection_matrix(flatten_parameters(policy), basis)
        return lambda gradients: gradients.dense() @ matrix
    axes, kept = _axes(policy, basis), _kept_by_parameter(policy, basis)
    return lambda gradients: gradients.entries(axes, kept)


def gradient_chunks(policy: nn.Module, observations: np.ndarray, actions: np.ndarray) -> Iterator[Gradients]:
    """The gradients of many transitions, `CHUNK` at a time, in the policy's precision and on its device."""
    parameter = next(policy.parameters())
    for start in range(0, len(observations), CHUNK):
        chunk = slice(start, start + CHUNK)
        yield gradients_of(policy, *(torch.as_tensor(part[chunk]).to(parameter) for part in (observations, actions)))


def projection_matrix(theta: Float[Tensor, "p"], basis: ProjectionBasis) -> Float[Tensor, "p d"]:
    """P, with E[P P^T] = identity, so that inner products survive in the mean."""
    generator = torch.Generator().manual_seed(basis.seed)
    shape = (len(theta), basis.dimensions)
    return torch.randn(shape, generator=generator, dtype=theta.dtype).to(theta.device).div_(basis.dimensions**0.5)


def _moments(policy: nn.Module, observations: np.ndarray, actions: np.ndarray) -> tuple[Sides, ...]:
    """The second moments of every parameter's gradients, summed in float64."""
    none = torch.zeros((), dtype=torch.float64, device=_device(policy))
    totals = tuple(Sides(none.new_zeros(o, o), none.new_zeros(i, i)) for o, i in matrix_shapes(policy))
    for gradients in gradient_chunks(policy, observations, actions):
        for total, part in zip(totals, gradients.moments(), strict=True):
            total.left.add_(part.left)
            total.right.add_(part.right)
    return totals


def _device(policy: nn.Module) -> torch.device:
    return next(policy.parameters()).device


def _principal_axes(moment: Float[Tensor, "d d"]) -> Float[Tensor, "d d"]:
    """Eigenvectors in columns, the largest eigenvalue's first."""
    if not moment.isfinite().all():
        raise ConfigError(NOT_FINITE)
    axes: Tensor = torch.linalg.eigh(moment).eigenvectors
    return axes.flip(1)


def _axes(policy: nn.Module, basis: GramBasis) -> tuple[Sides, ...]:
    """The flat axes as matrices, in the policy's precision."""
    shapes = matrix_shapes(policy)
    flat = torch.as_tensor(basis.axes).to(next(policy.parameters()))
    blocks = iter(flat.split([side**2 for shape in shapes for side in shape]))
    return tuple(Sides(next(blocks).view(o, o), next(blocks).view(i, i)) for o, i in shapes)


def _kept_by_parameter(policy: nn.Module, basis: GramBasis) -> tuple[Int[Tensor, "_"], ...]:
    """The kept entries of each parameter, counted from its first."""
    ends = np.cumsum([o * i for o, i in matrix_shapes(policy)])
    parts = np.split(basis.kept, np.searchsorted(basis.kept, ends[:-1]))
    return tuple(
        torch.as_tensor(part - end, device=_device(policy)) for part, end in zip(parts, [0, *ends], strict=False)
    )
