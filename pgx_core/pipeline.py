"""The order of the stages, and how a run resumes. The only file that knows the order."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from pgx_core import stages
from pgx_core.errors import RunError
from pgx_core.run import Run, forget


@dataclass(frozen=True)
class Stage:
    """One step of a run: what it does, what it writes, what it spends."""

    name: str
    work: Callable[[Run], None]
    results: tuple[str, ...]  # files or folders under the run's folder, removed when the stage is to run again
    steps: Callable[[Run], int] = lambda run: 0  # environment steps it spends


def _baseline_steps(run: Run) -> int:
    return sum(run.training_steps(method) for method in run.methods[1:])


STAGES = (
    Stage("meta", stages.meta, ("meta",), lambda run: run.meta_steps),
    Stage("rollouts", stages.rollouts, ("transitions.npz",), lambda run: run.rollout_steps),
    Stage("features", stages.features, ("features.npz", "basis.npz")),
    Stage("surrogate", stages.surrogate, ("solution.npz", "scores.npz", "taylor.npz")),
    Stage("affinity", stages.affinity, ("affinity.npz",)),
    Stage("clustering", stages.clustering, ("partition.npz", "clustering.npz")),
    Stage("groups", stages.groups, ("groups",), lambda run: run.training_steps(run.served)),
    Stage("baselines", stages.baselines, ("baselines",), _baseline_steps),
    Stage("evaluation", stages.evaluation, ("evaluation",), stages.evaluation_steps),
    Stage("export", stages.export, ("bundle",)),
    Stage("report", stages.report, ("report",)),
)
NAMES = tuple(stage.name for stage in STAGES)


def train(run: Run, start: str | None = None, stop: str | None = None, say: Callable[[str], None] = print) -> None:
    """Run every stage that is not yet finished, in order.

    Args:
        run: settings and folder.
        start: run this stage and all after it again, even if finished.
        stop: the last stage to run.
        say: where one line per stage goes.

    Raises:
        RunError: a stage name is unknown.
    """
    for name in (start, stop):
        if name is not None and name not in NAMES:
            raise RunError(f"no stage '{name}'; stages in order: {', '.join(NAMES)}")
    costs = run.costs()
    if start:
        costs = _rewind(run, costs, NAMES.index(start))
    for stage in STAGES:
        if stage.name not in costs:
            began = time.monotonic()
            stage.work(run)
            seconds = time.monotonic() - began
            costs[stage.name] = {"seconds": seconds, "steps": stage.steps(run)}
            run.save_costs(costs)
            say(f"{stage.name}: {seconds:.1f} s")
        if stage.name == stop:
            break


def _rewind(run: Run, costs: dict[str, dict[str, float]], first: int) -> dict[str, dict[str, float]]:
    kept = {name: cost for name, cost in costs.items() if NAMES.index(name) < first}
    run.save_costs(kept)  # first of all: whoever is killed here has stages to repeat, not half results
    for stage in STAGES[first:]:
        forget(run, stage.results)
    return kept
