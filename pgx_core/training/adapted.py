"""The other way to score a subset: take the estimated step, and roll the adapted policy out."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pgx_core.gradients.parameters import unflatten_parameters
from pgx_core.learning.network import Population, clone_policy
from pgx_core.objectives.environment_suite import AnySuite
from pgx_core.simulation.simulation import SimulationConfig
from pgx_core.training.evaluation import EvaluationConfig, evaluate
from pgx_core.types import SubsetScores


@torch.no_grad()
def step_policies(meta: Population, steps: Float[Tensor, "m p"]) -> Population:
    """m copies of the meta policy, each moved by its own parameter step (order of its `policy`)."""
    template = meta.policy(0)
    conditioned = bool(meta.conditioned[0] > 0)
    adapted = clone_policy(meta, 0, (conditioned,) * len(steps)).to(steps.device)
    for index, step in enumerate(steps):
        moved = unflatten_parameters(template, step)
        for name, value in adapted.views(index).items():
            value += moved[name]
    return adapted


def score_by_rollout(
    meta: Population,
    steps: Float[Tensor, "m p"],
    subsets: Bool[np.ndarray, "m n"],
    suite: AnySuite,
    config: EvaluationConfig,
    simulation_config: SimulationConfig | None = None,
) -> SubsetScores:
    """f(S) by policy evaluation: real episodes of the m adapted policies, run as one population."""
    evaluation = evaluate(step_policies(meta, steps), suite, config, simulation_config, asked=subsets)
    return SubsetScores(subsets, evaluation.scores, evaluation.episodes, suite.names, "rollout")
