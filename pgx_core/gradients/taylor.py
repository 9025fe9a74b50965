"""Is the first-order surrogate true? Its log-ratios against those of the real network.

Shapes: N transitions, m subsets, l lengths, p parameters.
"""

from __future__ import annotations

import copy

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
    observations = torch.as_tensor(transitions.observations, dtype=torch.float64)
    actions = torch.as_tensor(transitions.actions, dtype=torch.float64)
    rows = [_residuals(precise, direction, lengths, observations, actions) for direction in directions]
    return TaylorResiduals(np.array(lengths, dtype=np.float64), np.array(rows).reshape(-1, len(lengths) + 1))


@torch.no_grad()
def _residuals(
    policy: nn.Module, step: Float[Tensor, "p"], lengths: tuple[float, ...], observations: Tensor, actions: Tensor
) -> list[float]:
    """The residual at each relative length along one step, then at the step itself."""
    if not step.any():
        return [np.nan] * (len(lengths) + 1)
    log_prob = functional_log_prob(policy)
    theta = flatten_parameters(policy)
    here, slope = _value_and_slope(log_prob, policy, step, observations, actions)
    scales = [length * theta.norm() / step.norm() for length in lengths]
    residuals = []
    for scale in [*scales, torch.ones(())]:
        there = log_prob(unflatten_parameters(policy, theta + scale * step), observations, actions)
        error = scale * slope - (there - here)
        residuals.append(float(error.norm() / (there - here).norm()))
    return residuals


def _value_and_slope(
    log_prob: LogProb, policy: nn.Module, step: Tensor, observations: Tensor, actions: Tensor
) -> tuple[Float[Tensor, "N"], Float[Tensor, "N"]]:
    """log pi(a|s), and its derivative g.dtheta along the step."""
    parameters = unflatten_parameters(policy, flatten_parameters(policy))
    tangents = unflatten_parameters(policy, step)
    pair = torch.func.jvp(lambda p: log_prob(p, observations, actions), (parameters,), (tangents,))
    return pair[0], pair[1]
