"""The estimate again, in both feature modes, with its cost: the surrogate's f(S) on the subsets trained for real."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Literal

from torch.utils.flop_counter import FlopCounterMode

from pgx_core.affinity.matrix import estimate_affinity
from pgx_core.clustering.auto import cluster
from pgx_core.gradients.features import compute_features
from pgx_core.surrogate.scores import score_subsets
from pgx_core.surrogate.solve import solve_subsets
from pgx_core.surrogate.split import split_episodes
from pgx_core.types import Features, Partition, SubsetScores, Transitions, load_record
from pgx_core.validation.validation import Validation

Mode = Literal["gram", "projection"]


@dataclass(frozen=True)
class Effort:
    """What features, regressions and scores took. The rollouts come on top."""

    seconds: float
    flops: int  # of matrix products


def estimate(validation: Validation, mode: Mode) -> tuple[SubsetScores, Effort]:
    """The run's own estimate of every subset, computed and timed here, in one feature mode.

    In the run's mode and on the run's subsets the scores are those of the run, unless it rolled policies out for them.
    """
    run, settings = validation.run, validation.run.grouping
    transitions = load_record(Transitions, run.path("transitions.npz"))
    policy, began = run.population("meta").policy(0).to(run.device), time.monotonic()
    same = mode == settings.features.mode
    config = settings.features if same else replace(settings.features, mode=mode, dimensions=None)
    with FlopCounterMode(display=False) as counter:
        scores = score_with(compute_features(policy, transitions, config).features, validation)
    return scores, Effort(time.monotonic() - began, int(counter.get_total_flops()))


def score_with(features: Features, validation: Validation) -> SubsetScores:
    """The surrogate's f(S) of every subset from these features."""
    settings = validation.run.grouping.surrogate
    subsets, device = validation.subsets, validation.run.device
    fitted = split_episodes(features, settings.held_out, settings.seed)
    solution = solve_subsets(features, subsets, fitted, settings, device)
    return score_subsets(features, subsets, solution, ~fitted, settings.blocks, device)


def groups_of(scores: SubsetScores, validation: Validation, k: int | Literal["auto"]) -> Partition:
    """The partition into k groups that the product's own affinity and clustering make of some scores."""
    settings = validation.run.grouping
    return cluster(estimate_affinity(scores, settings.affinity), replace(settings.clustering, k=k)).partition
