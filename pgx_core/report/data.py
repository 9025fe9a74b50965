"""What a report shows: plain arrays, gathered by the pipeline."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pgx_core.types import Affinity, Partition


@dataclass(frozen=True)
class MethodScores:
    """One way to spend the same total environment steps, and how every objective fares under it."""

    method: str  # a key of labels.METHOD_LOOKS; "_id" means that the policies see the objective
    labels: np.ndarray  # [n] which policy serves each objective
    scores: np.ndarray  # [n] mean score of an episode
    errors: np.ndarray  # [n] standard error over evaluation episodes
    successes: np.ndarray  # [n] share of episodes that succeeded; NaN where the suite reports no success
    steps: int  # environment steps spent in all, meta-training included
    parameters: int  # actor parameters in all policies together

    @property
    def policies(self) -> int:
        """How many policies serve the objectives."""
        return len(np.unique(self.labels))


@dataclass(frozen=True)
class TradeOff:
    """What one method's policies reach of each value that the objectives weigh against each other."""

    method: str
    terms: tuple[str, ...]
    values: np.ndarray  # [n, m] mean of an episode, under the policy that serves each objective


@dataclass(frozen=True)
class Curve:
    """Training progress of one method."""

    method: str
    steps: np.ndarray  # [t] environment steps, all policies together
    scores: np.ndarray  # [t] mean episode score over the objectives
    diverged: int = 0  # times that the physics of a world broke, and it was put back


@dataclass(frozen=True)
class StageCost:
    """What one stage took."""

    stage: str
    seconds: float
    steps: int  # environment steps


@dataclass(frozen=True)
class ReportData:
    """Everything on the page."""

    suite: str
    robot: str
    seed: int
    names: tuple[str, ...]
    affinity: Affinity
    partition: Partition
    methods: tuple[MethodScores, ...]
    curves: tuple[Curve, ...]
    costs: tuple[StageCost, ...]
    taylor_lengths: np.ndarray  # [l] relative step lengths |dtheta|/|theta*|
    taylor_residuals: np.ndarray  # [m, l] relative error of the first-order log-ratio
    step_lengths: np.ndarray  # [m] relative lengths of the fitted steps
    step_residuals: np.ndarray  # [m] as `taylor_residuals`, at the fitted steps themselves
    command: str  # the command line that made the run
    served: str = "groups_id"  # the method whose policies are exported
    trade_offs: tuple[TradeOff, ...] = ()  # by method, where the suite trades values against each other
