"""The loss of all subsets together: weighted logistic regressions that share their data objective by objective.

Shapes: n objectives, N_i fitted transitions of objective i, m subsets, r coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from pgx_core.errors import ConfigError
from pgx_core.types import Features


@dataclass(frozen=True)
class PooledLogistic:
    """L_S(z) = mean over i in S of sum_t w_t log(1 + exp(-y_t x_t.z)), the weights of each objective summing to 1.

    The data keep the precision of the coordinates; steps and results are float64.
    """

    signed: tuple[Float[np.ndarray, "_ r"], ...]  # y_t x_t, per objective
    weights: tuple[Float[np.ndarray, "_"], ...]  # w_t, per objective
    shares: Float[np.ndarray, "m n"]  # 1/|S| where i is in S, else 0

    def losses(self, steps: Float[np.ndarray, "m r"]) -> Float[np.ndarray, "m"]:
        """L_S at each subset's own step."""
        losses = np.zeros(len(steps))
        for signed, weights, share in zip(self.signed, self.weights, self.shares.T, strict=True):
            members = np.flatnonzero(share)
            margins = signed @ steps[members].T.astype(signed.dtype)
            losses[members] += share[members] * (weights @ softplus(-margins))
        return losses

    def gradients(self, steps: Float[np.ndarray, "m r"], wanted: Bool[np.ndarray, "m"]) -> Float[np.ndarray, "m r"]:
        """Gradient of L_S at each wanted subset's own step, else 0: two matrix products per objective."""
        gradients = np.zeros_like(steps)
        for signed, weights, share in zip(self.signed, self.weights, self.shares.T, strict=True):
            members = np.flatnonzero((share > 0.0) & wanted)
            pulls = np.tanh(signed @ (0.5 * steps[members]).T.astype(signed.dtype))
            pulls -= 1.0
            pulls *= 0.5 * weights[:, None]  # -w sigmoid(-margin)
            gradients[members] += share[members, None] * (pulls.T @ signed)
        return gradients

    def slopes(self) -> Float[np.ndarray, "m r"]:
        """Gradient of L_S at no step."""
        pulls = np.stack([-0.5 * weights @ signed for signed, weights in zip(self.signed, self.weights, strict=True)])
        slopes: np.ndarray = self.shares @ pulls
        return slopes

    def curvature_bound(self, share: Float[np.ndarray, "n"]) -> Float[np.ndarray, "r r"]:
        """sum_i share_i X_i^T W_i X_i / 4: at least the Hessian of that mix everywhere (Boehning & Lindsay 1988)."""
        bound = np.zeros(2 * self.signed[0].shape[1:])
        for signed, weights, part in zip(self.signed, self.weights, share, strict=True):
            if part > 0.0:
                scaled = signed * np.sqrt(0.25 * part * weights).astype(signed.dtype)[:, None]
                bound += scaled.T @ scaled
        return bound

    def curvatures(self, axes: Float[np.ndarray, "r k"]) -> Float[np.ndarray, "n k"]:
        """The diagonal of each objective's bound in the given axes."""
        data = zip(self.signed, self.weights, strict=True)
        return np.stack([0.25 * weights @ np.square(signed @ axes.astype(signed.dtype)) for signed, weights in data])


def softplus(values: np.ndarray) -> np.ndarray:
    """log(1 + exp(value)) without overflow; several times faster than `logaddexp`."""
    result: np.ndarray = np.maximum(values, 0.0) + np.log(1.0 + np.exp(-np.abs(values)))
    return result


def pooled_logistic(
    features: Features, subsets: Bool[np.ndarray, "m n"], chosen: Bool[np.ndarray, "N"]
) -> PooledLogistic:
    """The regressions of all subsets on the chosen transitions.

    Raises:
        ConfigError: a subset is empty, or an objective in use has no chosen transition with an advantage.
    """
    if not subsets.any(1).all():
        raise ConfigError("surrogate: expected at least one objective in every subset, got an empty one; drop it")
    blocks = [_objective_data(features, i, chosen) for i in range(len(features.names))]
    for name, (_, weights), used in zip(features.names, blocks, subsets.T, strict=True):
        if used.any() and not weights.sum() > 0.0:
            raise ConfigError(
                f"surrogate: expected advantages other than 0 for objective '{name}', got none; collect more episodes"
            )
    return PooledLogistic(
        signed=tuple(signed for signed, _ in blocks),
        weights=tuple(weights for _, weights in blocks),
        shares=subsets / subsets.sum(1, keepdims=True),
    )


def _objective_data(features: Features, objective: int, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(signed coordinates, weights that sum to 1, or are 0) of one objective's chosen transitions."""
    own = chosen & (features.objectives == objective)
    weights = features.weights[own].astype(np.float64)
    coordinates = features.coordinates[own]
    weights /= max(weights.sum(), np.finfo(np.float64).tiny)
    return coordinates * features.labels[own, None].astype(coordinates.dtype), weights.astype(coordinates.dtype)
