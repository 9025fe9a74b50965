"""Adapt the policy to every subset at once: regularised logistic regressions held inside a trust radius.

Each subset's problem is min_z L_S(z) + ridge0/2 |z|^2 subject to |z| <= R. With the multiplier of the
constraint inside `ridge` >= ridge0, the solution satisfies grad L_S(z) + ridge z = 0 and
(ridge - ridge0)(|z| - R) = 0.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.linalg
from jaxtyping import Bool, Float

from pgx_core.errors import ConfigError
from pgx_core.surrogate.acceleration import Anderson
from pgx_core.surrogate.logistic import PooledLogistic, pooled_logistic
from pgx_core.types import Features, SurrogateSolution

SHARED_ITERATIONS = 25  # after which a subset gets a model of its own
AXES = 150  # directions whose curvature a model knows one by one


@dataclass(frozen=True)
class SurrogateConfig:
    """How far and how exactly the surrogate adapts."""

    trust_radius: float = 0.01  # largest |dtheta|/|theta*|, > 0; the first order holds to 2% up to 0.01 (paper)
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
    features: Features, subsets: Bool[np.ndarray, "m n"], fitted: Bool[np.ndarray, "N"], config: SurrogateConfig
) -> SurrogateSolution:
    """The predicted adaptation to each subset, every objective in it weighing the same.

    Args:
        features: of every transition.
        subsets: which objectives each subset holds.
        fitted: the transitions to fit; the others are held out.
        config: radius, ridge and tolerance.

    Raises:
        ConfigError: the tolerance was not reached, or a subset has nothing to fit.
    """
    problem = pooled_logistic(features, subsets, fitted)
    radius = config.trust_radius * features.parameter_norm / features.step_length
    steps, ridge, finished = _minimise_in_ball(
        problem, _shared_model(problem), radius, config, min(SHARED_ITERATIONS, config.max_iterations)
    )
    if not finished.all():
        rest = replace(problem, shares=problem.shares[~finished])
        steps[~finished], ridge[~finished], converged = _minimise_in_ball(
            rest, _own_models(rest), radius, config, config.max_iterations
        )
        if not converged.all():
            raise ConfigError(
                f"surrogate: expected convergence in {config.max_iterations} iterations, got {(~converged).sum()} of "
                f"{len(ridge)} subsets short of it; raise ridge, tolerance or max_iterations"
            )
    return SurrogateSolution(
        steps=steps,
        ridge=ridge,
        losses=problem.losses(steps),
        relative_lengths=np.linalg.norm(steps, axis=1) * features.step_length / features.parameter_norm,
    )


@dataclass(frozen=True)
class _Model:
    """A curvature for every subset's loss: diagonal in some orthonormal axes, and the same in all other directions."""

    axes: Float[np.ndarray, "#m r k"]  # in columns
    curvature: Float[np.ndarray, "m k"]
    rest: Float[np.ndarray, "m"]

    def minimise(
        self, point: Float[np.ndarray, "m r"], slope: Float[np.ndarray, "m r"], radius: float, smallest: float
    ) -> tuple[Float[np.ndarray, "m r"], Float[np.ndarray, "m"]]:
        """(z, ridge): where the loss would be least in the ball, from its slope at a point and this curvature."""
        inside, rest = _rotate(point, self.axes), self.rest[:, None]
        slope_inside = _rotate(slope, self.axes)
        outside = rest * point - slope - self._back(rest * inside - slope_inside)
        # The pull outside the axes meets one curvature, so its length is one more coordinate.
        pull = np.column_stack([self.curvature * inside - slope_inside, np.linalg.norm(outside, axis=1)])
        steps, ridge = _minimise_model(np.column_stack([self.curvature, self.rest]), pull, radius, smallest)
        return self._back(steps[:, :-1]) + outside / (self.rest + ridge)[:, None], ridge

    def _back(self, coordinates: Float[np.ndarray, "m k"]) -> Float[np.ndarray, "m r"]:
        return _rotate(coordinates, self.axes.swapaxes(1, 2))


def _shared_model(problem: PooledLogistic) -> _Model:
    """The leading axes of the mean bound over all objectives, and each subset's bound along them.

    No upper bound, since a subset's own bound is not diagonal there, but free of factorisations per subset, and
    near enough for acceleration to finish within ten iterations on policy gradients.
    """
    n = problem.shares.shape[1]
    _, axes = _leading_axes(problem.curvature_bound(np.full(n, 1.0 / n)))
    curvature = problem.shares @ problem.curvatures(axes)
    return _Model(axes[None], curvature, curvature[:, 0])


def _own_models(problem: PooledLogistic) -> _Model:
    """Each subset's own bound in its own axes: with it every step lowers the loss, however odd the features."""
    found = [_leading_axes(problem.curvature_bound(share)) for share in problem.shares]
    curvature = np.stack([values for values, _ in found])
    # No direction outside the leading axes has more curvature than the least of theirs.
    return _Model(np.stack([axes for _, axes in found]), curvature, curvature[:, 0])


def _leading_axes(bound: Float[np.ndarray, "r r"]) -> tuple[Float[np.ndarray, "k"], Float[np.ndarray, "r k"]]:
    """The largest eigenvalues, ascending, and their eigenvectors in columns."""
    last = len(bound) - 1
    values, axes = scipy.linalg.eigh(bound, subset_by_index=(max(0, last + 1 - AXES), last))
    return np.maximum(values, 0.0), axes


def _minimise_in_ball(
    problem: PooledLogistic, model: _Model, radius: float, config: SurrogateConfig, max_iterations: int
) -> tuple[Float[np.ndarray, "m r"], Float[np.ndarray, "m"], Bool[np.ndarray, "m"]]:
    """(steps, ridge, which have converged) by minimising the model at each point, with Anderson acceleration.

    A subset that has converged is left alone, so its last step is the one that met the tolerance.
    """
    start = problem.slopes()
    goal = config.tolerance * np.linalg.norm(start, axis=1)
    point, ridge = model.minimise(np.zeros_like(start), start, radius, config.ridge)
    target, last = point, np.full(len(start), np.inf)
    unfinished, anderson = np.ones(len(start), dtype=bool), Anderson(start.shape)
    for _ in range(max_iterations):
        slope = problem.gradients(point, unfinished)
        new_target, new_ridge = model.minimise(point, slope, radius, config.ridge)
        ridge = np.where(unfinished, new_ridge, ridge)
        target = np.where(unfinished[:, None], new_target, target)
        residual = np.linalg.norm(slope + ridge[:, None] * point, axis=1)
        unfinished &= residual > goal
        if not unfinished.any():
            break
        point, last = anderson.extrapolate(point, target, misled=residual > 2.0 * last), residual
    return target, ridge, ~unfinished


def _rotate(vectors: Float[np.ndarray, "m a"], axes: Float[np.ndarray, "#m a b"]) -> Float[np.ndarray, "m b"]:
    rotated: np.ndarray = vectors @ axes[0] if len(axes) == 1 else (vectors[:, None] @ axes)[:, 0]
    return rotated


def _minimise_model(
    curvature: Float[np.ndarray, "m r"], pull: Float[np.ndarray, "m r"], radius: float, smallest: float
) -> tuple[Float[np.ndarray, "m r"], Float[np.ndarray, "m"]]:
    """(z, ridge): the minimiser of z.(curvature z)/2 - pull.z + smallest/2 |z|^2 in the ball.

    z = pull / (curvature + ridge). Newton's method on 1/|z| = 1/R rises monotonically to the ridge that puts z
    on the sphere (More & Sorensen 1983).
    """
    ridge = np.full(len(pull), smallest)
    for _ in range(100):
        steps = pull / (curvature + ridge[:, None])
        lengths = np.linalg.norm(steps, axis=1)
        outside = lengths > radius * (1.0 + 1e-13)
        if not outside.any():
            break
        excess, squares = lengths[outside] / radius - 1.0, np.square(steps[outside])
        ridge[outside] += excess * squares.sum(1) / (squares / (curvature[outside] + ridge[outside, None])).sum(1)
    return steps, ridge
