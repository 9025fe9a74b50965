"""Adapt the policy to every subset at once: regularised logistic regressions held inside a trust radius.

Each subset's problem is min_z L_S(z) + ridge0/2 |z|^2 subject to |z| <= R. With the multiplier of the
constraint inside `ridge` >= ridge0, the solution satisfies grad L_S(z) + ridge z = 0 and
(ridge - ridge0)(|z| - R) = 0.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pgx_core.errors import ConfigError
from pgx_core.surrogate.acceleration import Anderson
from pgx_core.surrogate.logistic import PooledLogistic, pooled_logistic
from pgx_core.types import Features, SurrogateSolution

SHARED_ITERATIONS = 25  # after which a subset gets a model of its own
AXES = 150  # directions whose curvature a model knows one by one


@dataclass(frozen=True)
class SurrogateConfig:
    """How far and how exactly the surrogate adapts."""

    trust_radius: float = 0.01  # largest |dtheta|/|theta*|, > 0; the report shows how far the first order holds there
    ridge: float = 1e-3  # smallest curvature added in every direction, loss per squared step length, > 0
    held_out: float = 0.5  # share of every objective's episodes kept for the scores, 0 to 1
    blocks: int = 8  # disjoint blocks of held-out episodes for the standard errors, >= 2
    tolerance: float = 1e-5  # of the gradient's norm, relative to that at no step, > 0; float32 reaches about 1e-6
    max_iterations: int = 500  # >= 1
    seed: int = 0  # of the split

    def __post_init__(self) -> None:
        _require(self.trust_radius > 0, "trust_radius > 0", self.trust_radius)
        _require(self.ridge > 0, "ridge > 0", self.ridge)
        _require(0 < self.held_out < 1, "held_out between 0 and 1", self.held_out)
        _require(self.blocks >= 2, "blocks >= 2", self.blocks)
        _require(self.tolerance > 0, "tolerance > 0", self.tolerance)
        _require(self.max_iterations >= 1, "max_iterations >= 1", self.max_iterations)


def _require(condition: bool, expected: str, came: object) -> None:
    if not condition:
        raise ConfigError(f"surrogate: expected {expected}, got {came}; the defaults suit most runs")


def solve_subsets(
    features: Features,
    subsets: Bool[np.ndarray, "m n"],
    fitted: Bool[np.ndarray, "N"],
    config: SurrogateConfig,
    device: torch.device | str = "cpu",
) -> SurrogateSolution:
    """The predicted adaptation to each subset, every objective in it weighing the same.

    Args:
        features: of every transition.
        subsets: which objectives each subset holds.
        fitted: the transitions to fit; the others are held out.
        config: radius, ridge and tolerance.
        device: of torch's, where to compute.

    Raises:
        ConfigError: the tolerance was not reached, or a subset has nothing to fit.
    """
    problem = pooled_logistic(features, subsets, fitted, device)
    bounds = problem.curvature_bounds()
    radius = config.trust_radius * features.parameter_norm / features.step_length
    steps, ridge, finished = _minimise_in_ball(
        problem, _shared_model(bounds, problem.shares), radius, config, min(SHARED_ITERATIONS, config.max_iterations)
    )
    if not finished.all():
        rest = replace(problem, shares=problem.shares[~finished])
        steps[~finished], ridge[~finished], converged = _minimise_in_ball(
            rest, _own_models(bounds, rest.shares), radius, config, config.max_iterations
        )
        short = int((~converged).sum())
        if short:
            raise ConfigError(
                f"surrogate: expected convergence in {config.max_iterations} iterations, got {short} of {len(ridge)} "
                f"subsets short of it; raise ridge, tolerance or max_iterations"
            )
    return SurrogateSolution(
        steps=steps.numpy(force=True),
        ridge=ridge.numpy(force=True),
        losses=problem.losses(steps).numpy(force=True),
        relative_lengths=steps.norm(dim=1).numpy(force=True) * features.step_length / features.parameter_norm,
    )


@dataclass(frozen=True)
class _Model:
    """A curvature for every subset's loss: diagonal in some orthonormal axes, and the same in all other directions."""

    axes: Float[Tensor, "#m r k"]  # in columns
    curvature: Float[Tensor, "m k"]
    rest: Float[Tensor, "m"]

    def minimise(
        self, point: Float[Tensor, "m r"], slope: Float[Tensor, "m r"], radius: float, smallest: float
    ) -> tuple[Float[Tensor, "m r"], Float[Tensor, "m"]]:
        """(z, ridge): where the loss would be least in the ball, from its slope at a point and this curvature."""
        inside, rest = _rotate(point, self.axes), self.rest[:, None]
        slope_inside = _rotate(slope, self.axes)
        outside = rest * point - slope - self._back(rest * inside - slope_inside)
        # The pull outside the axes meets one curvature, so its length is one more coordinate.
        pull = torch.column_stack([self.curvature * inside - slope_inside, outside.norm(dim=1)])
        steps, ridge = _minimise_model(torch.column_stack([self.curvature, self.rest]), pull, radius, smallest)
        return self._back(steps[:, :-1]) + outside / (self.rest + ridge)[:, None], ridge

    def _back(self, coordinates: Float[Tensor, "m k"]) -> Float[Tensor, "m r"]:
        return _rotate(coordinates, self.axes.mT)


def _shared_model(bounds: Float[Tensor, "n r r"], shares: Float[Tensor, "m n"]) -> _Model:
    """The leading axes of the mean bound over all objectives, and each subset's bound along them.

    No upper bound, since a subset's own bound is not diagonal there, but free of factorisations per subset, and
    near enough for acceleration to finish within ten iterations on policy gradients.
    """
    _, axes = _leading_axes(bounds.mean(0))
    curvature = shares @ (axes * (bounds @ axes)).sum(1)
    return _Model(axes[None], curvature, curvature[:, 0])


def _own_models(bounds: Float[Tensor, "n r r"], shares: Float[Tensor, "m n"]) -> _Model:
    """Each subset's own bound in its own axes: with it every step lowers the loss, however odd the features."""
    curvature, axes = _leading_axes(torch.tensordot(shares, bounds, 1))
    # No direction outside the leading axes has more curvature than the least of theirs.
    return _Model(axes, curvature, curvature[:, 0])


def _leading_axes(bounds: Float[Tensor, "*m r r"]) -> tuple[Float[Tensor, "*m k"], Float[Tensor, "*m r k"]]:
    """The largest eigenvalues, ascending, and their eigenvectors in columns."""
    values, axes = torch.linalg.eigh(bounds)
    return values[..., -AXES:].clamp_min(0.0), axes[..., -AXES:]


def _minimise_in_ball(
    problem: PooledLogistic, model: _Model, radius: float, config: SurrogateConfig, max_iterations: int
) -> tuple[Float[Tensor, "m r"], Float[Tensor, "m"], Bool[Tensor, "m"]]:
    """(steps, ridge, which have converged) by minimising the model at each point, with Anderson acceleration.

    A step z that is no longer changed by it has a gradient of the loss that the ridge balances: that is the tolerance's
    residual. A subset of which the point meets it is left alone; its answer is the minimiser there, one step further.
    """
    start = problem.slopes()
    goal = config.tolerance * start.norm(dim=1)
    point, ridge = model.minimise(torch.zeros_like(start), start, radius, config.ridge)
    target, last = point, torch.full_like(goal, torch.inf)
    unfinished, anderson = torch.ones_like(goal, dtype=torch.bool), Anderson(start)
    for _ in range(max_iterations):
        slope = problem.gradients(point, unfinished)
        new_target, new_ridge = model.minimise(point, slope, radius, config.ridge)
        ridge = torch.where(unfinished, new_ridge, ridge)
        target = torch.where(unfinished[:, None], new_target, target)
        residual = (slope + ridge[:, None] * point).norm(dim=1)
        unfinished &= residual > goal
        if not unfinished.any():
            break
        point, last = anderson.extrapolate(point, target, misled=residual > 2.0 * last), residual
    return target, ridge, ~unfinished


def _rotate(vectors: Float[Tensor, "m a"], axes: Float[Tensor, "#m a b"]) -> Float[Tensor, "m b"]:
    return vectors @ axes[0] if len(axes) == 1 else (vectors[:, None] @ axes)[:, 0]


def _minimise_model(
    curvature: Float[Tensor, "m r"], pull: Float[Tensor, "m r"], radius: float, smallest: float
) -> tuple[Float[Tensor, "m r"], Float[Tensor, "m"]]:
    """(z, ridge): the minimiser of z.(curvature z)/2 - pull.z + smallest/2 |z|^2 in the ball.

    z = pull / (curvature + ridge). Newton's method on 1/|z| = 1/R rises monotonically to the ridge that puts z
    on the sphere (More & Sorensen 1983).
    """
    ridge = pull.new_full((len(pull),), smallest)
    for _ in range(100):
        steps = pull / (curvature + ridge[:, None])
        lengths = steps.norm(dim=1)
        outside = lengths > radius * (1.0 + 1e-13)
        if not outside.any():
            break
        excess, squares = lengths[outside] / radius - 1.0, torch.square(steps[outside])
        ridge[outside] += excess * squares.sum(1) / (squares / (curvature[outside] + ridge[outside, None])).sum(1)
    return steps, ridge
