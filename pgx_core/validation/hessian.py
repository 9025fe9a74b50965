"""How sharply the loss curves at a policy: the trace of its Hessian, and what it says about unseen experience."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from pgx_core.gradients.parameters import flatten_parameters, functional_log_prob, unflatten_parameters
from pgx_core.types import Transitions

PROBES = 64


@dataclass(frozen=True)
class Trace:
    """A Hutchinson estimate."""

    value: float
    error: float  # standard error over the probes


@dataclass(frozen=True)
class Sharpness:
    """The Hessian trace of one or more policies' losses, one entry per policy."""

    policies: tuple[str, ...]
    traces: Float[np.ndarray, "P"]
    errors: Float[np.ndarray, "P"]  # standard error over the probes
    measures: Float[np.ndarray, "P"]  # see `generalisation_measure`; NaN for a policy without a prior


def sharpness(
    names: tuple[str, ...],
    policies: list[nn.Module],
    seen: list[Transitions],
    priors: Sequence[nn.Module | None],
    seed: int,
) -> Sharpness:
    """Of every policy on its own experience.

    Args:
        names: of the policies.
        policies: at the parameters in question.
        seen: what each of them did on its objectives.
        priors: where each began, which this experience had no part in; None where that is not at hand.
        seed: of the probes.
    """
    traces, measures = [], []
    for policy, transitions, prior in zip(policies, seen, priors, strict=True):
        theta = flatten_parameters(policy)
        traces.append(hutchinson(loss_of(policy, transitions), theta, PROBES, seed))
        distance = math.nan if prior is None else float((theta - flatten_parameters(prior)).norm())
        measures.append(generalisation_measure(traces[-1].value, distance, transitions))
    values, errors = (np.array([getattr(trace, name) for trace in traces]) for name in ("value", "error"))
    return Sharpness(names, values, errors, np.array(measures))


def hutchinson(
    loss: Callable[[Float[Tensor, "p"]], Tensor], theta: Float[Tensor, "p"], probes: int, seed: int
) -> Trace:
    """Tr of the loss's Hessian at theta: the mean of v.Hv over random signs v (Hutchinson 1990).

    Args:
        loss: twice differentiable, a number.
        theta: where.
        probes: how many v, >= 2; each costs about two gradients.
        seed: of the signs.
    """
    generator = torch.Generator().manual_seed(seed)
    gradient, samples = torch.func.grad(loss), []
    for _ in range(probes):
        signs = torch.randint(2, theta.shape, generator=generator).to(theta.dtype) * 2 - 1
        product: Tensor = torch.func.jvp(gradient, (theta,), (signs,))[1]
        samples.append(float(signs @ product))
    return Trace(float(np.mean(samples)), float(np.std(samples, ddof=1) / math.sqrt(probes)))


def loss_of(policy: nn.Module, transitions: Transitions) -> Callable[[Float[Tensor, "p"]], Tensor]:
    """The loss that the method adapts a policy by, as a function of its flat parameters.

    L(theta) = mean over objectives of the mean of w_t log(1 + exp(-y_t log pi_theta/pi_here)), y the sign and w the
    size of the advantage (arXiv 2511.12779, step 3, with the real log-ratio in place of its first order). Unlike PPO's
    loss it is bounded below, and its curvature is not the difference of two large terms.
    """
    dtype = next(policy.parameters()).dtype
    observations, actions, advantages = (
        torch.as_tensor(values, dtype=dtype)
        for values in (transitions.observations, transitions.actions, transitions.advantages)
    )
    counts = np.bincount(transitions.objectives)
    weights = advantages.abs() / torch.as_tensor(counts[transitions.objectives] * (counts > 0).sum(), dtype=dtype)
    log_prob = functional_log_prob(policy)
    with torch.no_grad():
        here = log_prob(unflatten_parameters(policy, flatten_parameters(policy)), observations, actions)

    def loss(theta: Float[Tensor, "p"]) -> Tensor:
        ratio = log_prob(unflatten_parameters(policy, theta), observations, actions) - here
        value: Tensor = (weights * nn.functional.softplus(-advantages.sign() * ratio)).sum()
        return value

    return loss


def generalisation_measure(trace: float, distance: float, transitions: Transitions) -> float:
    """sqrt(C Tr(H) r^2 / N): to leading order, how much higher the loss may be on new experience than on this.

    PAC-Bayes with Gaussians of variance s^2 around the prior and around the policy: perturbing the policy costs
    s^2 Tr(H)/2, telling the two apart C r^2 / (2 s^2 N); the best s gives the formula. C bounds the loss of a
    transition (here the largest seen, w log 2), r is the distance to the prior, N the number of transitions; a
    negative trace counts as 0. Source: Zhang, Li and Ju, "Noise stability optimization for finding flat minima",
    arXiv 2306.08553, Theorem 2.1, which takes the largest trace over all data where this takes that of the mean loss:
    hence a measure to compare policies by, not a certificate. Transitions of one episode are not independent either.
    """
    largest = float(np.abs(transitions.advantages).max()) * math.log(2.0)
    return math.sqrt(largest * max(trace, 0.0) * distance**2 / len(transitions.objectives))
