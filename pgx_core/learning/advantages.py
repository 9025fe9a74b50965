"""Advantages: generalised advantage estimation, and their normalisation per objective."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def generalised_advantages(
    rewards: Float[Tensor, "T *B"],
    values: Float[Tensor, "T *B"],
    next_values: Float[Tensor, "T *B"],
    terminated: Bool[Tensor, "T *B"],
    ended: Bool[Tensor, "T *B"],
    discount: float,
    trace: float,
) -> Float[Tensor, "T *B"]:
    """GAE(lambda) (Schulman et al. 2016, eq. 16) with correct time limits.

    Args:
        rewards: reward of each step.
        values: V of the state before the step.
        next_values: V of the state after it, BEFORE any reset: at a time limit the value beyond counts
            (Pardo et al. 2018); after a termination it does not.
        terminated: the episode ended for good.
        ended: the episode ended for either reason, so nothing flows back across the step.
        discount: gamma.
        trace: lambda.
    """
    deltas = rewards + discount * next_values * ~terminated - values
    advantages = torch.zeros_like(deltas)
    carry = torch.zeros_like(deltas[0])
    for t in range(len(deltas) - 1, -1, -1):
        carry = deltas[t] + discount * trace * carry * ~ended[t]
        advantages[t] = carry
    return advantages


def normalise_per_objective(
    advantages: Float[Tensor, "T P B"], membership: Float[Tensor, "P B n"]
) -> Float[Tensor, "T P B"]:
    """Centre and scale the advantages of each (policy, objective) pair by itself.

    Without it an objective with large rewards drowns the others, and where opposite objectives share a
    blind actor their signals cancel in the common mean. Empty slots get 0.

    Args:
        advantages: of each step and slot.
        membership: one-hot objective of each slot; all zero in empty slots.
    """
    counts = membership.sum(1, keepdim=True) * len(advantages)  # [P, 1, n]
    counts = counts.clip(min=1.0)

    def spread(totals: Tensor) -> Tensor:
        """[P, n] back to each slot."""
        return (membership * (totals.unsqueeze(1) / counts)).sum(-1)

    mean = spread(torch.einsum("tpb,pbn->pn", advantages, membership))
    centred = advantages - mean
    variance = spread(torch.einsum("tpb,pbn->pn", centred.square(), membership))
    return centred / (variance.sqrt() + 1e-8) * membership.sum(-1)
