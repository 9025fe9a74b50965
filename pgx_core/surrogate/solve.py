"""Adapt the policy to every subset at once: regularised logistic regressions held inside a trust radius.

Each subset's problem is min_z L_S(z) + ridge0/2 |z|^2 subject to |z| <= R. With the multiplier of the
constraint inside `ridge` >= ridge0, the solution satisfies grad L_S(z) + ridge z = 0 and
(ridge - ridge0)(|z| - R) = 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from pgx_core.errors import ConfigError
from pgx_core.surrogate.acceleration import Anderson
from pgx_core.surrogate.logistic import PooledLogistic, pooled_logistic
from pgx_core.types import Features, SurrogateSolution

TINY = np.finfo(np.float64).tiny
KRYLOV = 10  # dimensions that place the first ridge to about a per cent
FLOOR = 1e-6  # share of a bound's trace that its inverse in float32 needs as ridge
STALE = (1 / 4, 1.6)  # a ridge outside these multiples of the one its inverse was made with asks for a new inverse


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
    steps, ridge = _minimise_in_ball(problem, radius, config)
    lengths = np.linalg.norm(steps, axis=1)
    return SurrogateSolution(
        steps=steps,
        ridge=ridge,
        losses=problem.losses(steps),
        relative_lengths=lengths * features.step_length / features.parameter_norm,
    )


def _minimise_in_ball(
    problem: PooledLogistic, radius: float, config: SurrogateConfig
) -> tuple[Float[np.ndarray, "m r"], Float[np.ndarray, "m"]]:
    """(steps, ridge) by repeated minimisation of a quadratic upper bound in the ball, with acceleration.

    Every bound is inverted once, and again only where the ridge has moved far. A subset that has converged is
    left alone, so its last step is the one that met the tolerance.
    """
    bounds, start = problem.curvature_bounds(), problem.slopes()
    goal = config.tolerance * np.linalg.norm(start, axis=1)
    ridge = _first_ridge(bounds, start, radius, config.ridge)
    floor = FLOOR * np.trace(bounds, axis1=1, axis2=2)
    anchor = np.maximum(ridge, floor)
    inverse = _inverse(bounds, anchor)
    target = point = _into_ball(-_apply(inverse, start), radius)
    unfinished = np.ones(len(start), dtype=bool)
    anderson = Anderson(start.shape)
    for _ in range(config.max_iterations):
        slope = problem.gradients(point, unfinished)
        new_target, new_ridge = _bounded_step(point, slope, inverse, radius, config.ridge)
        ridge = np.where(unfinished, new_ridge, ridge)
        target = np.where(unfinished[:, None], new_target, target)
        residual = np.linalg.norm(slope + ridge[:, None] * point, axis=1)
        unfinished &= residual > goal
        if not unfinished.any():
            return target, ridge
        wanted = np.maximum(ridge, floor)
        stale = unfinished & ((wanted < STALE[0] * anchor) | (wanted > STALE[1] * anchor))
        if stale.any():
            anchor[stale] = wanted[stale]
            inverse[stale] = _inverse(bounds[stale], anchor[stale])
            anderson.forget(stale)
        point = anderson.extrapolate(point, target, residual)
    raise ConfigError(
        f"surrogate: expected convergence in {config.max_iterations} iterations, got {unfinished.sum()} of "
        f"{len(ridge)} subsets short of it; raise ridge or max_iterations"
    )


def _inverse(bounds: np.ndarray, ridge: np.ndarray) -> np.ndarray:
    """Inverses of bound + ridge, in float32: they steer the iteration, the gradients decide where it ends."""
    regularised = bounds + ridge[:, None, None] * np.eye(bounds.shape[1])
    inverse: np.ndarray = np.linalg.inv(regularised.astype(np.float32)).astype(np.float64)
    return inverse


def _first_ridge(bounds: np.ndarray, slope: np.ndarray, radius: float, smallest: float) -> np.ndarray:
    """The ridge at which the quadratic model at no step reaches the radius.

    By bisection in the Krylov space of the slope, where the model is small and diagonal (Gould et al. 1999).
    """
    powers = [slope]
    for _ in range(KRYLOV - 1):
        powers.append(_apply(bounds, powers[-1]))
        powers[-1] /= np.maximum(np.linalg.norm(powers[-1], axis=1, keepdims=True), TINY)
    q = np.linalg.qr(np.stack(powers, axis=2))[0]
    curvature, vectors = np.linalg.eigh(q.transpose(0, 2, 1) @ (bounds @ q))
    pull = _apply((q @ vectors).transpose(0, 2, 1), slope)
    low = np.full(len(slope), smallest)
    high = np.maximum(low, np.linalg.norm(slope, axis=1) / radius)  # there even zero curvature stays inside
    for _ in range(40):
        middle = np.sqrt(low * high)
        outside = np.linalg.norm(pull / (curvature + middle[:, None]), axis=1) > radius
        low, high = np.where(outside, middle, low), np.where(outside, high, middle)
    ridge: np.ndarray = high
    return ridge


def _bounded_step(
    point: np.ndarray, slope: np.ndarray, inverse: np.ndarray, radius: float, smallest: float
) -> tuple[np.ndarray, np.ndarray]:
    """(point - inverse (slope + ridge point), ridge), the ridge such that the result is in the ball.

    |a - ridge b|^2 = R^2 is a quadratic equation; its smaller root is where the path from a enters the ball.
    """
    a, b = point - _apply(inverse, slope), _apply(inverse, point)
    free = np.linalg.norm(a - smallest * b, axis=1) <= radius
    bb = np.maximum((b * b).sum(1), TINY)
    ab = (a * b).sum(1)
    root = np.sqrt(np.maximum(ab * ab - bb * ((a * a).sum(1) - radius * radius), 0.0))
    ridge = np.where(free, smallest, np.maximum((ab - root) / bb, smallest))
    return _into_ball(a - ridge[:, None] * b, radius), ridge


def _apply(matrices: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    products: np.ndarray = (matrices @ vectors[:, :, None])[:, :, 0]
    return products


def _into_ball(steps: np.ndarray, radius: float) -> np.ndarray:
    lengths = np.linalg.norm(steps, axis=1, keepdims=True)
    inside: np.ndarray = steps * np.minimum(1.0, radius / np.maximum(lengths, TINY))
    return inside
