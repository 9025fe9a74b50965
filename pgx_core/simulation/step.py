"""What every simulation returns, whatever it simulates."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pgx_core.errors import RunError

NAN_ACTIONS = "expected numbers as actions, got NaN: the policy diverged; lower its learning rate"


@dataclass(frozen=True)
class Step:
    """What one control step returned, for W worlds. Worlds that ended have already been reset."""

    observations: Float[Tensor, "W observations"]  # what the policy sees, then what the critic alone sees
    final_observations: Float[Tensor, "W observations"]  # before the reset; equal to the above elsewhere
    rewards: Float[Tensor, "W"]
    scores: Float[Tensor, "W"]  # the objective's score term
    terminated: Bool[Tensor, "W"]  # the episode ended for good: no value beyond
    truncated: Bool[Tensor, "W"]  # the time was up: the value beyond must be bootstrapped
    diverged: Bool[Tensor, "W"]  # the physics broke; also counted as terminated, with reward 0
    succeeded: Bool[Tensor, "W"]  # as the environment says; always False where the suite reports no success


def require_numbers(actions: Float[Tensor, "W actions"]) -> None:
    """Refuse NaN as an action.

    Raises:
        RunError: one is NaN.
    """
    if torch.isnan(actions).any():
        raise RunError(NAN_ACTIONS)
