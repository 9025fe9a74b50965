"""The loss of all subsets together: weighted logistic regressions that share their data objective by objective.

Shapes: n objectives, N_i fitted transitions of objective i, m subsets, r coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from pgx_core.errors import ConfigError
from pgx_core.types import Features


@dataclass(frozen=True)
class PooledLogistic:
    """L_S(z) = mean over i in S of sum_t w_t log(1 + exp(-y_t x_t.z)), the weights of each objective summing to 1.

    The data keep the precision of the coordinates; steps and results are float64.
    """

    signed: tuple[Float[Tensor, "_ r"], ...]  # y_t x_t, per objective
    weights: tuple[Float[Tensor, "_"], ...]  # w_t, per objective
    shares: Float[Tensor, "m n"]  # 1/|S| where i is in S, else 0

    def losses(self, steps: Float[Tensor, "m r"]) -> Float[Tensor, "m"]:
        """L_S at each subset's own step."""
        losses = steps.new_zeros(len(steps))
        for signed, weights, share in zip(self.signed, self.weights, self.shares.T, strict=True):
            members = share.nonzero()[:, 0]
            margins = signed @ steps[members].T.to(signed)
            losses[members] += share[members] * (weights @ softplus(-margins))
        return losses

    def gradients(self, steps: Float[Tensor, "m r"], wanted: Bool[Tensor, "m"]) -> Float[Tensor, "m r"]:
        """Gradient of L_S at each wanted subset's own step, else 0: two matrix products per objective."""
        gradients, backwards = torch.zeros_like(steps), -steps.to(self.signed[0])
        for signed, weights, share in zip(self.signed, self.weights, self.shares.T, strict=True):
            members = (share * wanted).nonzero()[:, 0]
            pulls = (backwards[members] @ signed.T).sigmoid_().mul_(weights)
            gradients[members] -= share[members, None] * (pulls @ signed)
        return gradients

    def slopes(self) -> Float[Tensor, "m r"]:
        """Gradient of L_S at no step."""
        pulls = torch.stack(
            [-0.5 * weights @ signed for signed, weights in zip(self.signed, self.weights, strict=True)]
        )
        return self.shares @ pulls.to(self.shares)

    def curvature_bounds(self) -> Float[Tensor, "n r r"]:
        """X_i^T W_i X_i / 4: at least the Hessian of each objective's loss everywhere (Boehning & Lindsay 1988)."""
        data = zip(self.signed, self.weights, strict=True)
        scaled = [signed * torch.sqrt(0.25 * weights)[:, None] for signed, weights in data]
        return torch.stack([rows.T @ rows for rows in scaled]).to(self.shares)


def softplus(values: Tensor) -> Tensor:
    """log(1 + exp(value)), exact to the last digit also where it is all but the value."""
    return functional.softplus(values, threshold=40.0)


def pooled_logistic(
    features: Features,
    subsets: Bool[np.ndarray, "m n"],
    chosen: Bool[np.ndarray, "N"],
    device: torch.device | str = "cpu",
) -> PooledLogistic:
    """The regressions of all subsets on the chosen transitions, on a device of torch's.

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
        signed=tuple(torch.from_numpy(signed).to(device) for signed, _ in blocks),
        weights=tuple(torch.from_numpy(weights).to(device) for _, weights in blocks),
        shares=torch.from_numpy(subsets / subsets.sum(1, keepdims=True)).to(device),
    )


def _objective_data(features: Features, objective: int, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(signed coordinates, weights that sum to 1, or are 0) of one objective's chosen transitions."""
    own = chosen & (features.objectives == objective)
    weights = features.weights[own].astype(np.float64)
    coordinates = features.coordinates[own]
    weights /= max(weights.sum(), np.finfo(np.float64).tiny)
    return coordinates * features.labels[own, None].astype(coordinates.dtype), weights.astype(coordinates.dtype)
