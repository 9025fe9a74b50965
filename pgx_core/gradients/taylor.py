"""Is the first-order surrogate true? Its log-ratios against those of the real network.

Shapes: N transitions, m subsets, l lengths, p parameters.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from pgx_core.gradients.basis import Basis, lift
from pgx_core.gradients.parameters import LogProb, flatten_parameters, functional_log_prob, unflatten_parameters
from pgx_core.types import SurrogateSolution, TaylorResiduals, Transitions


def taylor_residuals(
    policy: nn.Module,
    basis: Basis,
    solution: SurrogateSolution,
    transitions: Transitions,
    lengths: tuple[float, ...],
) -> TaylorResiduals:
    """rms of (g.dtheta - log pi_{theta*+dtheta}/pi_theta*) over rms of the log-ratio (arXiv 2511.12779, section 3).

    Args:
        policy: at theta*.
        basis: of the features that the steps were fitted in.
        solution: the steps, one row per subset of interest.
        transitions: where to compare; a thousand are plenty.
        lengths: relative lengths |dtheta|/|theta*| to scale every step to, > 0.

    Returns:
        One row per step; the last column is the step at its own length. NaN for a step of length 0.
    """
    # Float64, because a short step's log-ratio is a small difference of large densities.
    precise = copy.deepcopy(policy).double()
    directions = lift(policy, basis, solution.steps).double()
    observations, actions = (
        torch.as_tensor(part).to(directions) for part in (transitions.observations, transitions.actions)
    )
    rows = [_residuals(precise, direction, lengths, observations, actions) for direction in directions]
    return TaylorResiduals(np.array(lengths, dtype=np.float64), np.array(rows).reshape(-1, len(lengths) + 1))


def _residuals(
    policy: nn.Module, step: Float[Tensor, "p"], lengths: tuple[float, ...], observations: Tensor, actions: Tensor
) -> list[float]:
    """The residual at each relative length along one step, then at the step itself."""
    if not step.any():
        return [np.nan] * (len(lengths) + 1)
    scales = [*relative_scales(policy, step, lengths), 1.0]
    ratios = log_ratios(policy, step, scales, observations, actions)
    return [float((r.predicted - r.real).norm() / r.real.norm()) for r in ratios]


def relative_scales(policy: nn.Module, step: Float[Tensor, "p"], lengths: Iterable[float]) -> list[float]:
    """What to multiply a step by, so that its length relative to the parameters' becomes each of `lengths`."""
    ratio = float(flatten_parameters(policy).norm() / step.norm())
    return [length * ratio for length in lengths]


@dataclass(frozen=True)
class LogRatios:
    """The log-ratio log pi_theta/pi_theta* of every transition after one parameter step."""

    predicted: Float[Tensor, "N"]  # to the first order
    real: Float[Tensor, "N"]
    values: Float[Tensor, "N"]  # log pi_theta itself


@torch.no_grad()
def log_ratios(
    policy: nn.Module, step: Float[Tensor, "p"], scales: Iterable[float], observations: Tensor, actions: Tensor
) -> Iterator[LogRatios]:
    """The log-ratios at theta* + scale * step, for every scale. Give everything in float64: see `taylor_residuals`."""
    log_prob = functional_log_prob(policy)
    theta = flatten_parameters(policy)
    here, slope = _value_and_slope(log_prob, policy, step, observations, actions)
    for scale in scales:
        there = log_prob(unflatten_parameters(policy, theta + scale * step), observations, actions)
        yield LogRatios(scale * slope, there - here, there)


def _value_and_slope(
    log_prob: LogProb, policy: nn.Module, step: Tensor, observations: Tensor, actions: Tensor
) -> tuple[Float[Tensor, "N"], Float[Tensor, "N"]]:
    """log pi(a|s), and its derivative g.dtheta along the step."""
    parameters = unflatten_parameters(policy, flatten_parameters(policy))
    tangents = unflatten_parameters(policy, step)
    pair = torch.func.jvp(lambda p: log_prob(p, observations, actions), (parameters,), (tangents,))
    return pair[0], pair[1]
