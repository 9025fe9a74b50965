"""The order of the stages, and how a run resumes. The only file that knows the order."""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable
from dataclasses import dataclass

from pgx_core import stages
from pgx_core.errors import ConfigError, RunError
from pgx_core.files import remove_drafts
from pgx_core.memory import out_of_memory
from pgx_core.run import Cost, Run, forget

TRAINING_BOUNDS = "--training.worlds or --training.ppo.horizon"
ROLLOUT_BOUNDS = "--rollouts.samples"


@dataclass(frozen=True)
class Stage:
    """One step of a run: what it does, what it writes, what it trains and spends."""

    name: str
    work: Callable[[Run], None]
    results: Callable[[Run], tuple[str, ...]]  # files under the run's folder; a stage that lacks one runs again
    steps: Callable[[Run], int] = lambda run: 0  # environment steps it spends
    trainings: Callable[[Run], tuple[str, ...]] = lambda run: ()  # folders of those that resume
    bounds: str = TRAINING_BOUNDS  # the settings that its memory grows with
    spread: Callable[[Run, str], None] | None = None  # does most of the work on a cluster; `work` finds it done


def _baselines(run: Run) -> tuple[str, ...]:
    return tuple(run.trained(method) for method in run.methods[1:])


def _baseline_steps(run: Run) -> int:
    return sum(run.training_steps(method) for method in run.methods[1:])


def _evaluations(run: Run) -> tuple[str, ...]:
    kinds = ("", "_values") if run.suite.trade_off else ("",)
    return ("evaluation/every_policy.npz", *(f"evaluation/{m}{kind}.npz" for m in run.methods for kind in kinds))


def _files(*names: str) -> Callable[[Run], tuple[str, ...]]:
    return lambda run: names


STAGES = (
    Stage("meta", stages.meta, _files(), lambda run: run.meta_steps, _files("meta")),
    Stage("rollouts", stages.rollouts, _files("transitions.npz"), lambda run: run.rollout_steps, bounds=ROLLOUT_BOUNDS),
    Stage("features", stages.features, _files("features.npz", "basis.npz"), bounds=ROLLOUT_BOUNDS),
    Stage("surrogate", stages.surrogate, _files("solution.npz", "scores.npz", "taylor.npz"), bounds=ROLLOUT_BOUNDS),
    Stage("affinity", stages.affinity, _files("affinity.npz")),
    Stage("clustering", stages.clustering, _files("partition.npz", "clustering.npz")),
    Stage("groups", stages.groups, _files(), lambda run: run.training_steps(run.served), _files("groups")),
    Stage("baselines", stages.baselines, _files(), _baseline_steps, _baselines, spread=stages.spread_baselines),
    Stage("evaluation", stages.evaluation, _evaluations, stages.evaluation_steps, bounds="--evaluation.episodes"),
    Stage("export", stages.export, lambda run: (stages.exported(run),)),
    Stage("report", stages.report, _files("report/report.html")),
)
NAMES = tuple(stage.name for stage in STAGES)


def train(
    run: Run,
    start: str | None = None,
    stop: str | None = None,
    say: Callable[[str], None] = print,
    cluster: str | None = None,
) -> None:
    """Run every stage that is not yet finished, in order.

    Args:
        run: settings and folder.
        start: run this stage and all after it again, even if finished.
        stop: the last stage to run.
        say: where one line per stage goes.
        cluster: address of a Ray cluster that shares the work, as of `scale.spread`.

    Raises:
        ConfigError: a stage name is unknown, `start` comes after `stop`, or there is no such cluster.
        RunError: a result of an earlier stage is damaged, or the folder cannot be written.
    """
    check_stages(start, stop)
    remove_drafts(run.folder)
    if start:
        _rewind(run, NAMES.index(start))
    for stage in STAGES:
        if not _finished(run, stage):
            cost = _perform(run, stage, cluster)
            run.save_costs(run.costs() | {stage.name: cost})
            say(f"{stage.name}: {cost.seconds:.1f} s")
        if stage.name == stop:
            break


def check_stages(start: str | None, stop: str | None) -> None:
    """Refuse names that are no stages, and an empty stretch.

    Raises:
        ConfigError: with the nearest name.
    """
    for name in (start, stop):
        if name is not None and name not in NAMES:
            near = difflib.get_close_matches(name, NAMES, n=1)
            hint = f"did you mean '{near[0]}'? " if near else ""
            raise ConfigError(f"no stage '{name}'; {hint}stages in order: {', '.join(NAMES)}")
    if start and stop and NAMES.index(start) > NAMES.index(stop):
        raise ConfigError(f"expected --from a stage up to '{stop}', the last to run, got '{start}', which comes later")


def require_finished(run: Run, last: str) -> None:
    """Refuse a run that lacks a result of the stages up to `last`.

    Raises:
        RunError: with the command that continues the run.
    """
    for stage in STAGES[: NAMES.index(last) + 1]:
        if not _finished(run, stage):
            raise RunError(
                f"the run in '{run.folder}' has not finished its stage '{stage.name}': continue it with "
                f"{run.command} --out {run.folder}"
            )


def _finished(run: Run, stage: Stage) -> bool:
    names = (*stage.results(run), *(f"{folder}/checkpoint.pt" for folder in stage.trainings(run)))
    return stage.name in run.costs() and all(run.path(name).exists() for name in names)


def _perform(run: Run, stage: Stage, cluster: str | None) -> Cost:
    """Do a stage's work; its cost holds what earlier processes spent on trainings that it resumes."""
    begun = [folder for folder in stage.trainings(run) if run.path(f"{folder}/checkpoint.pt").exists()]
    earlier = sum(float(run.checkpoint(folder)["seconds"]) for folder in begun)
    started = time.monotonic()
    with out_of_memory(f"stage '{stage.name}'", f"{stage.bounds}, and choose another --out"):
        if cluster and stage.spread:
            stage.spread(run, cluster)
        stage.work(run)
    return Cost(earlier + time.monotonic() - started, stage.steps(run))


def _rewind(run: Run, first: int) -> None:
    # First of all: whoever is killed here has stages to repeat, not half results.
    run.save_costs({name: cost for name, cost in run.costs().items() if name in NAMES[:first]})
    for stage in STAGES[first:]:
        forget(run, (*stage.results(run), *stage.trainings(run)))
