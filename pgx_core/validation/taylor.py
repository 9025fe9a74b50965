"""How far the first-order log-ratio is from the real one, along the surrogate's own steps and along random ones.

Shapes: s directions, l lengths, p parameters.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from pgx_core.gradients.parameters import flatten_parameters
from pgx_core.gradients.taylor import log_ratios, relative_scales
from pgx_core.types import Transitions

LENGTHS = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1)  # |dtheta|/|theta*|
RANDOM_DIRECTIONS = 16


@dataclass(frozen=True)
class TaylorErrors:
    """Errors of log pi_theta* + g.dtheta against log pi_theta, by two yardsticks, at each relative step length.

    `*_residuals` (ours): root mean square of the error over that of the log-ratio log pi_theta/pi_theta*, which is all
    the surrogate uses. `*_errors`: mean |error| over mean |log pi_theta|, relative to the function's value; most
    likely what arXiv 2511.12779 reports. Densities may be any number, so that one depends on the units of the actions.
    """

    lengths: Float[np.ndarray, "l"]
    adapted_residuals: Float[np.ndarray, "s l"]
    adapted_errors: Float[np.ndarray, "s l"]
    random_residuals: Float[np.ndarray, "q l"]
    random_errors: Float[np.ndarray, "q l"]


def taylor_errors(
    policy: nn.Module, adapted: Float[Tensor, "s p"], transitions: Transitions, seed: int
) -> TaylorErrors:
    """Both errors at every length of `LENGTHS`.

    Args:
        policy: at theta*.
        adapted: the parameter steps that the surrogate takes; their own lengths are ignored, none may be 0.
        transitions: where to compare; a thousand are plenty.
        seed: of the random directions, isotropic in parameter space.
    """
    precise = copy.deepcopy(policy).double()
    generator = torch.Generator().manual_seed(seed)
    shape = (RANDOM_DIRECTIONS, len(flatten_parameters(precise)))
    random = torch.randn(shape, generator=generator, dtype=torch.float64)
    along_adapted = np.array([_errors(precise, step, transitions) for step in adapted.double()])
    along_random = np.array([_errors(precise, step, transitions) for step in random])
    return TaylorErrors(
        np.array(LENGTHS), along_adapted[:, 0], along_adapted[:, 1], along_random[:, 0], along_random[:, 1]
    )


def _errors(policy: nn.Module, step: Float[Tensor, "p"], transitions: Transitions) -> Float[np.ndarray, "2 l"]:
    observations = torch.as_tensor(transitions.observations, dtype=torch.float64)
    actions = torch.as_tensor(transitions.actions, dtype=torch.float64)
    columns = []
    for ratios in log_ratios(policy, step, relative_scales(policy, step, LENGTHS), observations, actions):
        error = ratios.predicted - ratios.real
        columns.append(
            (float(error.norm() / ratios.real.norm()), float(error.abs().mean() / ratios.values.abs().mean()))
        )
    errors: np.ndarray = np.array(columns).T
    return errors
