"""What a run hands out, gathered from its folder: the contents of the bundle and the data of the report."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pgx_core.contract import ObjectiveContract, ObservationTerm
from pgx_core.errors import SuiteError
from pgx_core.export.bundle import BundleContents, GroupPolicy
from pgx_core.export.networks import Networks
from pgx_core.objectives.environment_suite import EnvironmentSuite
from pgx_core.records import to_plain
from pgx_core.report.data import Curve, MethodScores, ReportData, StageCost, TradeOff
from pgx_core.run import Run
from pgx_core.simulation.robot_model import compile_robot, scene_of, standalone_mjcf
from pgx_core.training.methods import Method
from pgx_core.types import Affinity, Partition, SurrogateSolution, TaylorResiduals, Transitions, load_record

GOLDEN_OBSERVATIONS = 64


def bundle_contents(run: Run) -> BundleContents:
    """Everything the robot needs, gathered from the run.

    Raises:
        SuiteError: the suite has no robot.
    """
    # Matplotlib takes a second to import, and few of the processes that know a run's results draw.
    from pgx_core.report.evidence import AFFINITY_PICTURE, evidence
    from pgx_core.report.pictures import png
    from pgx_core.report.plots import affinity_figure

    suite = run.suite
    if isinstance(suite, EnvironmentSuite):
        where = run.path("networks")
        raise SuiteError(f"suite '{suite.name}' has no robot, and so no bundle; its policies are in '{where}'")
    partition = load_record(Partition, run.path("partition.npz"))
    scores = load_record(MethodScores, run.path(f"evaluation/{run.served}.npz"))
    transitions = load_record(Transitions, run.path("transitions.npz"))
    population = run.population(run.trained(run.served))
    robot = compile_robot(suite.robot)
    contract = robot.contract
    n = len(run.suite.objectives)
    if run.config.groups_conditioned:
        contract = replace(contract, observation=(*contract.observation, ObservationTerm("objective", n)))
    names = [f"group_{group}" for group in range(partition.k)]
    data = report_data(run)
    mjcf, meshes = standalone_mjcf(suite.robot)
    return BundleContents(
        name=run.suite.name,
        contract=contract,
        objectives=tuple(
            ObjectiveContract(o.name, dict(o.command), names[label], float(score), scene_of(robot, o.reset))
            for o, label, score in zip(suite.objectives, partition.labels, scores.scores, strict=True)
        ),
        groups=tuple(
            GroupPolicy(name, population.policy(group), _golden(run, transitions, partition, group))
            for group, name in enumerate(names)
        ),
        metrics={"steps": float(run.steps), "mean_score": float(scores.scores.mean())},
        config=to_plain(run.config),
        seed=run.config.seed,
        rationale=f"{_rationale(partition)} {evidence(data)}",
        robot_xml=mjcf,
        assets={AFFINITY_PICTURE: png(affinity_figure(data)), **meshes},
        randomization=suite.randomization,
    )


def networks(run: Run) -> Networks:
    """The served policies of a suite without a robot."""
    population = run.population(run.trained(run.served))
    scores = load_record(MethodScores, run.path(f"evaluation/{run.served}.npz"))
    policies = tuple(population.policy(group) for group in range(population.n_policies))
    conditioned = run.config.groups_conditioned
    return Networks(run.suite.name, policies, conditioned, scores.labels, run.suite.names, scores.scores)


def _golden(run: Run, transitions: Transitions, partition: Partition, group: int) -> np.ndarray:
    """Real observations of the group's own objectives, with the id a conditioned policy sees."""
    own = np.flatnonzero(partition.labels[transitions.objectives] == group)
    count = min(GOLDEN_OBSERVATIONS, len(own))
    chosen = np.random.default_rng(run.config.seed).choice(own, count, replace=False)
    observations: np.ndarray = transitions.observations[chosen].copy()
    n = len(transitions.names)
    observations[:, -n:] = np.eye(n)[transitions.objectives[chosen]] if run.config.groups_conditioned else 0.0
    return observations


def _rationale(partition: Partition) -> str:
    groups = "1 group" if partition.k == 1 else f"{partition.k} groups"
    measured = "" if np.isnan(partition.stability) else f", stability {partition.stability:.2f}"
    return (
        f"The objectives were grouped by how much adapting the meta policy to one is estimated to help the others "
        f"(method {partition.method}, {groups}{measured})."
    )


def report_data(run: Run) -> ReportData:
    """Everything on the page, gathered from the run."""
    taylor = load_record(TaylorResiduals, run.path("taylor.npz"))
    lengths = load_record(SurrogateSolution, run.path("solution.npz")).relative_lengths
    return ReportData(
        suite=run.suite.name,
        robot=run.suite.subject,
        seed=run.config.seed,
        names=run.suite.names,
        affinity=load_record(Affinity, run.path("affinity.npz")),
        partition=load_record(Partition, run.path("partition.npz")),
        methods=tuple(load_record(MethodScores, run.path(f"evaluation/{method}.npz")) for method in run.methods),
        curves=tuple(training_curve(run, method) for method in run.methods),
        served=run.served,
        costs=tuple(StageCost(name, cost.seconds, cost.steps) for name, cost in run.costs().items()),
        taylor_lengths=taylor.lengths,
        taylor_residuals=taylor.residuals[:, : len(taylor.lengths)],
        step_lengths=lengths,
        step_residuals=taylor.residuals[:, -1],
        command=run.command,
        trade_offs=tuple(
            load_record(TradeOff, run.path(f"evaluation/{method}_values.npz"))
            for method in run.methods
            if run.suite.trade_off
        ),
    )


def training_curve(run: Run, method: Method) -> Curve:
    """A method's mean score while it trained, against all steps spent until then.

    Raises:
        RunError: its checkpoint is missing or damaged.
    """
    rows = run.checkpoint(run.trained(method))["rows"]
    spent = run.steps - run.training_steps(method)
    return Curve(
        method,
        np.array([row["steps"] + spent for row in rows], dtype=np.int64),
        np.array([row["score"] for row in rows]),
        rows[-1]["diverged"] if rows else 0,
    )
