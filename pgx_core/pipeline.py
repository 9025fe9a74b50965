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
from pgx_core.scale import Workers
from pgx_core.training.methods import Method

TRAINING_BOUNDS = "--training.worlds or --training.ppo.horizon"
ROLLOUT_BOUNDS = "--rollouts.samples"


@dataclass(frozen=True)
class Stage:
    """One step of a run: what it does, what it writes, what it trains and spends."""

    name: str
    work: Callable[[Run], None]
    results: Callable[[Run], tuple[str, ...]] = (
        lambda run: ()
    )  # files under the run's folder; without one it runs again
    steps: Callable[[Run], int] = lambda run: 0  # environment steps it spends
    trainings: Callable[[Run], tuple[str, ...]] = lambda run: ()  # folders of those that resume
    bounds: str = TRAINING_BOUNDS  # the settings that its memory grows with
    methods: Callable[[Run], tuple[Method, ...]] = lambda run: ()  # that it trains, none of which waits for another


def _training_stage(name: str, work: Callable[[Run], None], methods: Callable[[Run], tuple[Method, ...]]) -> Stage:
    return Stage(
        name,
        work,
        steps=lambda run: sum(map(run.training_steps, methods(run))),
        trainings=lambda run: tuple(map(run.trained, methods(run))),
        methods=methods,
    )


def _evaluations(run: Run) -> tuple[str, ...]:
    kinds = ("", "_values") if run.suite.trade_off else ("",)
    return ("evaluation/every_policy.npz", *(f"evaluation/{m}{kind}.npz" for m in run.methods for kind in kinds))


def _files(*names: str) -> Callable[[Run], tuple[str, ...]]:
    return lambda run: names


STAGES = (
    Stage("meta", stages.meta, steps=lambda run: run.meta_steps, trainings=_files("meta")),
    Stage("rollouts", stages.rollouts, _files("transitions.npz"), lambda run: run.rollout_steps, bounds=ROLLOUT_BOUNDS),
    Stage("features", stages.features, _files("features.npz", "basis.npz"), bounds=ROLLOUT_BOUNDS),
    Stage(
        "surrogate",
        stages.surrogate,
        _files("solution.npz", "scores.npz", "taylor.npz"),
        lambda run: run.scoring_steps,
        bounds=ROLLOUT_BOUNDS,
    ),
    Stage("affinity", stages.affinity, _files("affinity.npz")),
    Stage("clustering", stages.clustering, _files("partition.npz", "clustering.npz")),
    _training_stage("groups", stages.groups, lambda run: run.methods[:1]),
    _training_stage("baselines", stages.baselines, lambda run: run.methods[1:]),
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
    workers: Workers = 1,
) -> None:
    """Run every stage that is not yet finished, in order.

    Args:
        run: settings and folder.
        start: run this stage and all after it again, even if finished.
        stop: the last stage to run.
        say: where one line per stage goes.
        workers: that train side by side what waits for nothing but the partition, as of `scale.spread`.

    Raises:
        ConfigError: a stage name is unknown, `start` comes after `stop`, or there are no such workers.
        RunError: a result of an earlier stage is damaged, or the folder cannot be written.
    """
    check_stages(start, stop)
    remove_drafts(run.folder)
    if start:
        _rewind(run, NAMES.index(start))
    for stage in STAGES:
        if not _finished(run, stage):
            cost = _perform(run, stage, _methods_from(run, stage, stop), workers)
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


def _methods_from(run: Run, stage: Stage, stop: str | None) -> tuple[Method, ...]:
    """What a stage trains, and what the stages after it train that will be run too."""
    if not stage.methods(run):
        return ()
    to_come = STAGES[NAMES.index(stage.name) : NAMES.index(stop or NAMES[-1]) + 1]
    return tuple(method for each in to_come for method in each.methods(run))


def _perform(run: Run, stage: Stage, methods: tuple[Method, ...], workers: Workers) -> Cost:
    """Do a stage's work; its cost holds what other and earlier processes spent on trainings of its own."""
    with out_of_memory(f"stage '{stage.name}'", f"{stage.bounds}, and choose another --out"):
        if methods and workers != 1:
            stages.train_side_by_side(run, methods, workers)
        begun = [folder for folder in stage.trainings(run) if run.path(f"{folder}/checkpoint.pt").exists()]
        earlier = sum(float(run.checkpoint(folder)["seconds"]) for folder in begun)
        started = time.monotonic()
        stage.work(run)
    return Cost(earlier + time.monotonic() - started, stage.steps(run))


def _rewind(run: Run, first: int) -> None:
    # First of all: whoever is killed here has stages to repeat, not half results.
    run.save_costs({name: cost for name, cost in run.costs().items() if name in NAMES[:first]})
    # From the last on: no training that is left may rest on one that is gone, or it would count as that of the new one.
    for stage in reversed(STAGES[first:]):
        forget(run, (*stage.results(run), *stage.trainings(run)))
