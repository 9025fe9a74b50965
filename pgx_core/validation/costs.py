"""What the estimate costs, and what real training of the same subsets does.

Both start from the same meta policy, whose training is left out.
"""

from __future__ import annotations

from dataclasses import dataclass

from pgx_core.validation.estimates import Effort
from pgx_core.validation.finetuning import Spent
from pgx_core.validation.flops import evaluation_flops, experience_flops, training_flops
from pgx_core.validation.validation import Validation


@dataclass(frozen=True)
class Costs:
    """Environment steps, wall seconds (physics included) and operations of matrix products (physics excluded)."""

    estimate_steps: int
    estimate_seconds: float
    estimate_flops: int
    real_steps: int
    real_seconds: float
    real_flops: int

    @property
    def flops_ratio(self) -> float:
        """Real over estimated."""
        return self.real_flops / self.estimate_flops

    @property
    def wall_ratio(self) -> float:
        """Real over estimated."""
        return self.real_seconds / self.estimate_seconds

    @property
    def steps_ratio(self) -> float:
        """Real over estimated."""
        return self.real_steps / self.estimate_steps


def costs(validation: Validation, made: Effort, spent: Spent) -> Costs:
    """Rollouts, features, regressions and scores against training and evaluation, for the same subsets."""
    run = validation.run
    meta, rollouts = run.population("meta"), run.costs()["rollouts"]
    return Costs(
        estimate_steps=rollouts.steps,
        estimate_seconds=rollouts.seconds + made.seconds,
        estimate_flops=experience_flops(meta, rollouts.steps) + made.flops,
        real_steps=spent.train_steps + spent.evaluation_steps,
        real_seconds=spent.train_seconds + spent.evaluation_seconds,
        real_flops=training_flops(meta, spent.train_steps, run.config.training.ppo)
        + evaluation_flops(meta, spent.evaluation_steps),
    )
