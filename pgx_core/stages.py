"""The stages of a run. Each reads the results of earlier ones from the folder and writes its own."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from pgx_core.affinity.subsets import sample_subsets
from pgx_core.clustering.auto import ClusteringTable, cluster
from pgx_core.contract import ObjectiveContract, ObservationTerm
from pgx_core.errors import RunError
from pgx_core.export.bundle import BundleContents, GroupPolicy, write_bundle
from pgx_core.files import write_file
from pgx_core.gradients.basis import Basis, GramBasis, ProjectionBasis, lift
from pgx_core.gradients.features import compute_features
from pgx_core.gradients.taylor import taylor_residuals
from pgx_core.grouping import affinity_of
from pgx_core.learning.layout import Member
from pgx_core.learning.network import clone_policy
from pgx_core.records import to_plain
from pgx_core.report.data import Curve, MethodScores, ReportData, StageCost
from pgx_core.report.page import write_report
from pgx_core.run import Run
from pgx_core.simulation.robot_model import compile_robot, standalone_mjcf
from pgx_core.surrogate.scores import score_subsets
from pgx_core.surrogate.solve import solve_subsets
from pgx_core.surrogate.split import split_episodes
from pgx_core.training.adapted import score_by_rollout
from pgx_core.training.evaluation import evaluate
from pgx_core.training.methods import Method, actor_parameters, is_conditioned, labels_of, own_objectives
from pgx_core.training.session import load_checkpoint, members_of, train_population
from pgx_core.training.transitions import collect_transitions
from pgx_core.types import (
    Affinity,
    Features,
    Partition,
    SubsetScores,
    SurrogateSolution,
    TaylorResiduals,
    Transitions,
    load_record,
    save_record,
)

TAYLOR_LENGTHS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)  # relative; the paper reports 0.1 to 1%
TAYLOR_TRANSITIONS = 1000
GOLDEN_OBSERVATIONS = 64
S = TypeVar("S")


def _seeded(config: S, run: Run) -> S:
    """A stage's settings with the run's seed added to its own."""
    return replace(config, seed=config.seed + run.config.seed)  # type: ignore[type-var, attr-defined]


def meta(run: Run) -> None:
    """One policy on all objectives."""
    config = run.config
    everything = tuple(range(len(run.suite.objectives)))
    member = Member(everything, config.meta_conditioned, config.training.worlds)
    train_population(
        run.suite, (member,), config.training, run.meta_steps, config.seed, run.path("meta"), "meta policy"
    )


def rollouts(run: Run) -> None:
    """What the meta policy does on every objective, and how good each action was."""
    config = run.config
    transitions = collect_transitions(
        run.population("meta"),
        run.suite,
        config.rollouts,
        config.training.ppo,
        config.seed + 10_000,
        config.training.simulation,
    )
    save_record(run.path("transitions.npz"), transitions)


def features(run: Run) -> None:
    """Gradient features of every transition."""
    transitions = load_record(Transitions, run.path("transitions.npz"))
    result = compute_features(run.population("meta").policy(0), transitions, _seeded(run.config.grouping.features, run))
    save_record(run.path("basis.npz"), result.basis)
    save_record(run.path("features.npz"), result.features)


def surrogate(run: Run) -> None:
    """How the meta policy would adapt to many subsets, and how far the estimate can be trusted."""
    grouping = run.config.grouping
    found = load_record(Features, run.path("features.npz"))
    basis = _basis(run)
    subsets = sample_subsets(len(found.names), _seeded(grouping.subsets, run))
    settings = _seeded(grouping.surrogate, run)
    fitted = split_episodes(found, settings.held_out, settings.seed)
    solution = solve_subsets(found, subsets, fitted, settings)
    meta_population = run.population("meta")
    if run.config.subset_scores == "rollout":
        steps = lift(meta_population.policy(0), basis, solution.steps)
        scores = score_by_rollout(
            meta_population, steps, subsets, run.suite, run.config.evaluation, run.config.training.simulation
        )
    else:
        scores = score_subsets(found, subsets, solution, ~fitted, settings.blocks)
    compared = _sample(load_record(Transitions, run.path("transitions.npz")), TAYLOR_TRANSITIONS, run.config.seed)
    residuals = taylor_residuals(meta_population.policy(0), basis, solution, compared, TAYLOR_LENGTHS)
    save_record(run.path("taylor.npz"), residuals)
    save_record(run.path("solution.npz"), solution)
    save_record(run.path("scores.npz"), scores)


def _sample(transitions: Transitions, count: int, seed: int) -> Transitions:
    chosen = np.random.default_rng(seed).permutation(len(transitions.objectives))[:count]
    arrays = {name: value[chosen] for name, value in vars(transitions).items() if name != "names"}
    return replace(transitions, **arrays)


def affinity(run: Run) -> None:
    """How much each pair of objectives helps each other."""
    scores = load_record(SubsetScores, run.path("scores.npz"))
    found = load_record(Features, run.path("features.npz"))
    save_record(run.path("affinity.npz"), affinity_of(found, scores, _seeded(run.config.grouping.affinity, run)))


def clustering(run: Run) -> None:
    """The partition."""
    matrix = load_record(Affinity, run.path("affinity.npz"))
    result = cluster(matrix, _seeded(run.config.grouping.clustering, run))
    save_record(run.path("clustering.npz"), result.table)
    save_record(run.path("partition.npz"), result.partition)


def groups(run: Run) -> None:
    """One policy per group, from the meta policy: the ones that are served."""
    _train_method(run, run.served)


def baselines(run: Run) -> None:
    """What the groups are compared with, at equal total steps."""
    for method in run.methods[1:]:
        _train_method(run, method)


def _train_method(run: Run, method: Method) -> None:
    """Train a method's policies as one population, on what its budget has left (`Run.training_steps`)."""
    labels = method_labels(run, method)
    conditioned = is_conditioned(method)
    members = members_of(labels, conditioned, run.config.training.worlds)
    start = (
        None
        if method == "joint_id"
        else clone_policy(run.population("meta"), 0, tuple(m.conditioned for m in members))
    )
    steps = run.training_steps(method)
    train_population(
        run.suite, members, run.config.training, steps, run.config.seed + 1, run.path(run.trained(method)), method, start
    )


def method_labels(run: Run, method: Method) -> np.ndarray:
    """Which policy of a method serves each objective."""
    return labels_of(
        method,
        load_record(Partition, run.path("partition.npz")),
        load_record(Affinity, run.path("affinity.npz")),
        load_record(Features, run.path("features.npz")),
        run.config.seed,
    )


def evaluation(run: Run) -> None:
    """Every method on the objectives it serves; the served policies on every objective."""
    config = run.config
    for method in run.methods:
        population = run.population(run.trained(method))
        labels = method_labels(run, method)
        asked = None if method == run.served else own_objectives(labels)
        measured = evaluate(population, run.suite, config.evaluation, config.training.simulation, asked)
        if method == run.served:
            save_record(run.path("evaluation/every_policy.npz"), measured)
        each = np.arange(len(labels))
        scores = MethodScores(
            method=method,
            labels=labels,
            scores=measured.scores[labels, each],
            errors=measured.errors[labels, each],
            steps=run.steps,
            parameters=actor_parameters(population),
        )
        save_record(run.path(f"evaluation/{method}.npz"), scores)


def evaluation_steps(run: Run) -> int:
    """Environment steps the evaluation spends: the served policies meet every objective, the others their own."""
    served = load_record(Partition, run.path("partition.npz")).k
    episodes = (served + len(run.methods) - 1) * len(run.suite.objectives) * run.config.evaluation.episodes
    return episodes * run.suite.episode_steps


def export(run: Run) -> None:
    """The bundle."""
    write_bundle(run.path("bundle"), bundle_contents(run))


def bundle_contents(run: Run) -> BundleContents:
    """Everything the robot needs, gathered from the run."""
    partition = load_record(Partition, run.path("partition.npz"))
    scores = load_record(MethodScores, run.path(f"evaluation/{run.served}.npz"))
    transitions = load_record(Transitions, run.path("transitions.npz"))
    population = run.population(run.trained(run.served))
    contract = compile_robot(run.suite.robot).contract
    n = len(run.suite.objectives)
    if run.config.groups_conditioned:
        contract = replace(contract, observation=(*contract.observation, ObservationTerm("objective", n)))
    names = [f"group_{group}" for group in range(partition.k)]
    return BundleContents(
        name=run.suite.name,
        contract=contract,
        objectives=tuple(
            ObjectiveContract(objective.name, dict(objective.command), names[label], float(score))
            for objective, label, score in zip(run.suite.objectives, partition.labels, scores.scores, strict=True)
        ),
        groups=tuple(
            GroupPolicy(name, population.policy(group), _golden(run, transitions, partition, group))
            for group, name in enumerate(names)
        ),
        metrics={"steps": float(run.steps), "mean_score": float(scores.scores.mean())},
        config=to_plain(run.config),
        seed=run.config.seed,
        rationale=_rationale(partition),
        robot_xml=standalone_mjcf(run.suite.robot),
    )


def _golden(run: Run, transitions: Transitions, partition: Partition, group: int) -> np.ndarray:
    """Real observations of the group's own objectives, with the id a conditioned policy sees."""
    own = np.flatnonzero(partition.labels[transitions.objectives] == group)
    chosen = np.random.default_rng(run.config.seed).choice(own, GOLDEN_OBSERVATIONS, replace=False)
    observations = transitions.observations[chosen].copy()
    n = len(transitions.names)
    observations[:, -n:] = np.eye(n)[transitions.objectives[chosen]] if run.config.groups_conditioned else 0.0
    return observations


def _rationale(partition: Partition) -> str:
    measured = "" if np.isnan(partition.stability) else f", stability {partition.stability:.2f}"
    return (
        f"The objectives were grouped by how much adapting the meta policy to one is estimated to help the others "
        f"(method {partition.method}, {partition.k} groups, clustering value {partition.value:.2f}{measured})."
    )


def report(run: Run) -> None:
    """The page and the pictures."""
    write_report(run.path("report"), report_data(run))


def report_data(run: Run) -> ReportData:
    """Everything on the page, gathered from the run."""
    taylor = load_record(TaylorResiduals, run.path("taylor.npz"))
    costs = run.costs()
    return ReportData(
        suite=run.suite.name,
        robot=run.suite.robot.name,
        seed=run.config.seed,
        names=run.suite.names,
        affinity=load_record(Affinity, run.path("affinity.npz")),
        partition=load_record(Partition, run.path("partition.npz")),
        methods=tuple(load_record(MethodScores, run.path(f"evaluation/{method}.npz")) for method in run.methods),
        curves=tuple(_curve(run, method) for method in run.methods),
        costs=tuple(StageCost(name, cost["seconds"], cost["steps"]) for name, cost in costs.items()),
        taylor_lengths=taylor.lengths,
        taylor_residuals=taylor.residuals[:, : len(taylor.lengths)],
        step_lengths=load_record(SurrogateSolution, run.path("solution.npz")).relative_lengths,
        command=shlex.join(["pgx", "train", run.reference, "--seed", str(run.config.seed)]),
    )


def _curve(run: Run, method: Method) -> Curve:
    rows = load_checkpoint(run.path(f"{run.trained(method)}/checkpoint.pt"))["rows"]
    spent = run.steps - run.training_steps(method)
    return Curve(
        method,
        np.array([row["steps"] + spent for row in rows], dtype=np.int64),
        np.array([row["score"] for row in rows]),
    )


def _basis(run: Run) -> Basis:
    kind = GramBasis if run.config.grouping.features.mode == "gram" else ProjectionBasis
    return load_record(kind, run.path("basis.npz"))  # type: ignore[return-value, type-var]


def summary(run: Run) -> str:
    """The outcome in a few lines."""
    partition = load_record(Partition, run.path("partition.npz"))
    lines = [f"partition ({partition.k} group{'s' if partition.k > 1 else ''}): {partition}"]
    for method in run.methods:
        scores = load_record(MethodScores, run.path(f"evaluation/{method}.npz"))
        lines.append(f"score {method:<12} {scores.scores.mean():6.3f}   {_each(run.suite.names, scores.scores)}")
    return "\n".join([*lines, f"report {run.path('report/report.html')}", f"bundle {run.path('bundle')}"])


def _each(names: tuple[str, ...], scores: np.ndarray) -> str:
    return "  ".join(f"{name} {score:.2f}" for name, score in zip(names, scores, strict=True))
