"""The stages of a validation. Each computes records from the run and from earlier ones; the last draws them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pgx_core.affinity.matrix import estimate_affinity
from pgx_core.clustering.partitions import agreement as partition_agreement
from pgx_core.gradients.basis import lift
from pgx_core.learning.network import Population, clone_policy
from pgx_core.memory import out_of_memory
from pgx_core.run import Run
from pgx_core.scale import Workers
from pgx_core.stages import basis_of, taylor_sample
from pgx_core.training.methods import Method, starts_afresh
from pgx_core.training.transitions import RolloutConfig, collect_transitions
from pgx_core.types import (
    Features,
    Partition,
    SubsetScores,
    SurrogateSolution,
    Transitions,
    load_record,
    save_record,
)
from pgx_core.validation import hessian, taylor
from pgx_core.validation.agreement import REGRET_LIMIT, Groups, correlate, regret
from pgx_core.validation.costs import costs
from pgx_core.validation.estimates import Effort, estimate, groups_of
from pgx_core.validation.findings import Findings, load_findings
from pgx_core.validation.finetuning import Spent, fine_tune, spread_fine_tuning
from pgx_core.validation.plots import save_plots
from pgx_core.validation.sensitivity import Reference, sensitivity
from pgx_core.validation.validation import Validation

BOUNDS = (
    "--training.worlds or --rollouts.samples in another run, or use the CPU (pgx train --device cpu, then validate)"
)
SHARPNESS_SAMPLES = 800  # transitions of every objective, rounded up to whole episodes
SHARPNESS_SEED = 40_000  # added to the run's: experience that no training saw


@dataclass(frozen=True)
class Stage:
    """What a stage writes, and the function that returns those records in the same order."""

    name: str
    results: tuple[str, ...]
    work: Callable[[Validation], tuple[Any, ...]]
    spread: Callable[[Validation, Workers], None] | None = None  # lets workers do what they can of the work, before it


def validate(validation: Validation, say: Callable[[str], None] = print, workers: Workers = 1) -> Findings:
    """Run every stage whose results are not yet there, then draw the plots.

    Args:
        validation: which.
        say: where one line per stage goes.
        workers: that share the real training, as of `scale.spread`.

    Raises:
        ConfigError: there are no such workers.
        RunError: a result is damaged, or the folder cannot be written.
    """
    for stage in STAGES:
        paths = [validation.path(f"{name}.npz") for name in stage.results]
        if all(path.exists() for path in paths):
            continue
        began = time.monotonic()
        with out_of_memory(f"stage '{stage.name}'", BOUNDS):
            if stage.spread and workers != 1:
                stage.spread(validation, workers)
            records = stage.work(validation)
        for path, record in zip(paths, records, strict=True):
            save_record(path, record)
        say(f"{stage.name}: {time.monotonic() - began:.1f} s")
    findings = load_findings(validation)
    save_plots(findings, validation.path(""))
    return findings


def _taylor(validation: Validation) -> tuple[Any, ...]:
    """Along the run's own steps."""
    run = validation.run
    policy = run.population("meta").policy(0)
    steps = lift(policy, basis_of(run), load_record(SurrogateSolution, run.path("solution.npz")).steps)
    return (taylor.taylor_errors(policy, steps[steps.any(1)], taylor_sample(run), run.config.seed),)


def _estimates(validation: Validation) -> tuple[Any, ...]:
    return (*estimate(validation, "gram"), *estimate(validation, "projection"))


def _sharpness(validation: Validation) -> tuple[Any, ...]:
    """Of each served group's policy on its objectives, and of one policy on all."""
    run = validation.run
    partition = load_record(Partition, run.path("partition.npz"))
    served = run.population(run.trained(run.served))
    cases = [
        (f"group {g}", served, g, tuple(map(int, np.flatnonzero(partition.labels == g)))) for g in range(partition.k)
    ]
    if joint := _joint(run):
        everything = tuple(range(len(partition.names)))
        cases.append((joint, run.population(run.trained(joint)), 0, everything))
    names = tuple(name for name, *_ in cases)
    policies: list[torch.nn.Module] = [population.policy(index) for _, population, index, _ in cases]
    seen = [_experience(run, population, index, own) for _, population, index, own in cases]
    meta = run.population("meta").policy(0)
    priors = [prior_of(joint if joint and name == joint else run.served, meta) for name in names]
    return (hessian.sharpness(names, policies, seen, priors, run.config.seed),)


def prior_of(method: Method, meta: torch.nn.Module) -> torch.nn.Module | None:
    """Where a method's policies began; a fresh start is as far from the meta policy as two random networks are."""
    return None if starts_afresh(method) else meta


def _joint(run: Run) -> Method | None:
    """One policy that sees as much as the served ones do, or else the other kind, or none."""
    alike: tuple[Method, ...] = ("joint_id", "joint") if run.config.groups_conditioned else ("joint", "joint_id")
    return next((method for method in alike if method in run.methods), None)


def _experience(run: Run, population: Population, index: int, objectives: tuple[int, ...]) -> Transitions:
    alone = clone_policy(population, index, (bool(population.conditioned[index] > 0),))
    seed, config = run.config.seed + SHARPNESS_SEED, run.config.training
    rollouts = RolloutConfig(SHARPNESS_SAMPLES)
    found = collect_transitions(alone, run.suite, rollouts, config.ppo, seed, config.simulation)
    return found.rows(np.isin(found.objectives, objectives))


def _agreement(validation: Validation) -> tuple[Any, ...]:
    gram, projection, real = (_scores(validation, name) for name in ("gram", "projection", "real"))
    seed = validation.run.config.seed
    correlations = [correlate(made.values, real.values, real.subsets, seed) for made in (gram, projection)]
    return (*correlations, _groups(validation, gram, projection, real))


def _groups(validation: Validation, gram: SubsetScores, projection: SubsetScores, real: SubsetScores) -> Groups:
    k = groups_at(validation)
    mine, projected, truth = (groups_of(scores, validation, k) for scores in (gram, projection, real))
    agreed, agreed_projected = partition_agreement(mine, truth), partition_agreement(projected, truth)
    matrix = estimate_affinity(real, validation.run.grouping.affinity).matrix
    return Groups(
        names=real.names,
        k=k,
        real_k=groups_of(real, validation, "auto").k,
        real=truth.labels,
        gram=mine.labels,
        projection=projected.labels,
        nmi=agreed.nmi,
        nmi_projection=agreed_projected.nmi,
        ari=agreed.ari,
        ari_projection=agreed_projected.ari,
        regret=regret(matrix, mine.labels) if len(real.names) <= REGRET_LIMIT else float("nan"),
    )


def groups_at(validation: Validation) -> int:
    """The number of groups to compare at: the run's, but at least 2, since all partitions into one group are equal."""
    return max(2, load_record(Partition, validation.run.path("partition.npz")).k)


def _costs(validation: Validation) -> tuple[Any, ...]:
    """Of the default mode."""
    made = load_record(Effort, validation.path("gram_effort.npz"))
    return (costs(validation, made, load_record(Spent, validation.path("spent.npz"))),)


def _sensitivity(validation: Validation) -> tuple[Any, ...]:
    """Of the run's own mode, whose features are at hand."""
    features = load_record(Features, validation.run.path("features.npz"))
    full = _scores(validation, validation.run.config.grouping.features.mode)
    reference = Reference(full, _scores(validation, "real"), groups_at(validation), validation.run.config.seed)
    return (sensitivity(validation, features, reference),)


def _scores(validation: Validation, name: str) -> SubsetScores:
    return load_record(SubsetScores, validation.path(f"{name}.npz"))


STAGES = (
    Stage("taylor", ("taylor",), _taylor),
    Stage("estimates", ("gram", "gram_effort", "projection", "projection_effort"), _estimates),
    Stage("sharpness", ("sharpness",), _sharpness),
    Stage("real training", ("real", "spent"), fine_tune, spread_fine_tuning),
    Stage("agreement", ("correlations", "correlations_projection", "groups"), _agreement),
    Stage("costs", ("costs",), _costs),
    Stage("sensitivity", ("sensitivity",), _sensitivity),
)
