"""Reward terms ready to use. Each is a pure function of the state and the objective's command.

A user's own term has the same signature: `(state, command) -> tensor of shape [B]`, bounded.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from pgx_core.objectives.objective import Command
from pgx_core.objectives.state import State


def track(achieved: Float[Tensor, "B"], target: float) -> Float[Tensor, "B"]:
    """1 on target, 0 at standstill, falling linearly with the error to -1 and no further.

    1 - |achieved - target| / |target|: two opposite targets cancel exactly around standstill, which is
    what makes a policy that cannot tell them apart collapse.

    Raises:
        ValueError: the target is 0.
    """
    if target == 0.0:
        raise ValueError("track needs a target other than 0; `still` rewards standing still")
    return progress((achieved - target).abs(), abs(target))


def closeness(error: Float[Tensor, "B"], tolerance: float) -> Float[Tensor, "B"]:
    """1 without error, 1/e at `tolerance`, falling to 0: exp(-(error / tolerance)^2)."""
    return (-(error / tolerance).square()).exp()


def progress(error: Float[Tensor, "B"], scale: float) -> Float[Tensor, "B"]:
    """1 without error, 0 at an error of `scale`, linear down to -1: `track` for an error already taken."""
    return (1.0 - error / scale).clip(min=-1.0)


def length(vectors: Float[Tensor, "B size"]) -> Float[Tensor, "B"]:
    """Euclidean length of each vector."""
    return vectors.square().sum(1).sqrt()


def still(achieved: Float[Tensor, "B"], tolerance: float) -> Float[Tensor, "B"]:
    """1 at rest, 0 where |achieved| is `tolerance` or more, linear between."""
    return (1.0 - achieved.abs() / tolerance).clip(min=0.0)


def action_rate(state: State, command: Command) -> Float[Tensor, "B"]:
    """Mean squared change of the action, negative: 0 is smooth, -4 the worst."""
    return -(state.action - state.previous_action).square().mean(-1)


def action_size(state: State, command: Command) -> Float[Tensor, "B"]:
    """Mean squared action, negative, between -1 and 0."""
    return -state.action.square().mean(-1)


def level(orientation: Float[Tensor, "B 4"]) -> Float[Tensor, "B"]:
    """Cosine of the tilt from upright minus 1: 0 upright, -2 upside down. Quaternion (w, x, y, z)."""
    return -2.0 * orientation[:, 1:3].square().sum(-1)


def upright(state: State, command: Command) -> Float[Tensor, "B"]:
    """Keep the base as level as the sensor `orientation` says it is: see `level`."""
    return level(state.sensor("orientation"))
