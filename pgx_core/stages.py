"""The stages of a run. Each reads the results of earlier ones from the folder and writes its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from pgx_core.affinity.subsets import sample_subsets
from pgx_core.clustering.auto import cluster
from pgx_core.export.bundle import write_bundle
from pgx_core.export.networks import NETWORKS_FILE, write_networks
from pgx_core.gradients.basis import Basis, GramBasis, ProjectionBasis, lift
from pgx_core.gradients.features import compute_features
from pgx_core.gradients.taylor import taylor_residuals
from pgx_core.grouping import affinity_of
from pgx_core.learning.layout import Member
from pgx_core.learning.network import clone_policy
from pgx_core.objectives.environment_suite import EnvironmentSuite
from pgx_core.objectives.objective import term_name
from pgx_core.report.data import MethodScores, TradeOff
from pgx_core.report.verdict import divergences, verdict
from pgx_core.results import bundle_contents, networks, report_data
from pgx_core.run import Run, read_run
from pgx_core.scale import Part, Workers, spread_trainings
from pgx_core.surrogate.scores import score_subsets
from pgx_core.surrogate.solve import solve_subsets
from pgx_core.surrogate.split import split_episodes
from pgx_core.training.adapted import score_by_rollout
from pgx_core.training.evaluation import evaluate, evaluate_trade_off
from pgx_core.training.methods import (
    Method,
    actor_parameters,
    is_conditioned,
    labels_of,
    network_of,
    own_objectives,
    starts_afresh,
    wide_hidden,
)
from pgx_core.training.progress import Progress
from pgx_core.training.session import members_of, train_population
from pgx_core.training.transitions import collect_transitions
from pgx_core.types import (
    Affinity,
    Features,
    Partition,
    SubsetScores,
    Transitions,
    load_record,
    save_record,
)

TAYLOR_LENGTHS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)  # relative; the paper reports 0.1 to 1%
TAYLOR_TRANSITIONS = 1000
# Both are added to the run's seed.
TRAINING_SEED = 70_000  # of all trainings after the meta policy's: other worlds than another run's meta policy saw
SCORING_SEED = 60_000  # of the episodes that score subsets: other starts than those that measure the policies


def meta(run: Run) -> None:
    """One policy on all objectives."""
    config = run.config
    everything = tuple(range(len(run.suite.objectives)))
    member = Member(everything, config.meta_conditioned, config.training.worlds)
    train_population(run.suite, (member,), config.training, run.meta_steps, config.seed, run.path("meta"), "meta")


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
    policy = run.population("meta").policy(0).to(run.device)
    result = compute_features(policy, transitions, run.grouping.features)
    save_record(run.path("basis.npz"), result.basis)
    save_record(run.path("features.npz"), result.features)


def surrogate(run: Run) -> None:
    """How the meta policy would adapt to many subsets, and how far the estimate can be trusted."""
    settings = run.grouping.surrogate
    found = load_record(Features, run.path("features.npz"))
    basis = basis_of(run)
    subsets = sample_subsets(len(found.names), run.grouping.subsets)
    fitted = split_episodes(found, settings.held_out, settings.seed)
    solution = solve_subsets(found, subsets, fitted, settings, run.device)
    meta_population = run.population("meta")
    policy = meta_population.policy(0).to(run.device)
    if run.config.subset_scores == "rollout":
        steps = lift(policy, basis, solution.steps)
        episodes = replace(run.config.evaluation, seed=SCORING_SEED + run.config.seed)
        scores = score_by_rollout(meta_population, steps, subsets, run.suite, episodes, run.config.training.simulation)
    else:
        scores = score_subsets(found, subsets, solution, ~fitted, settings.blocks, run.device)
    residuals = taylor_residuals(policy, basis, solution, taylor_sample(run), TAYLOR_LENGTHS)
    save_record(run.path("taylor.npz"), residuals)
    save_record(run.path("solution.npz"), solution)
    save_record(run.path("scores.npz"), scores)


def taylor_sample(run: Run) -> Transitions:
    """The transitions on which the first-order formula is compared with the policy itself."""
    transitions = load_record(Transitions, run.path("transitions.npz"))
    return transitions.rows(
        np.random.default_rng(run.config.seed).permutation(len(transitions.objectives))[:TAYLOR_TRANSITIONS]
    )


def affinity(run: Run) -> None:
    """How much each pair of objectives helps each other."""
    scores = load_record(SubsetScores, run.path("scores.npz"))
    found = load_record(Features, run.path("features.npz"))
    save_record(run.path("affinity.npz"), affinity_of(found, scores, run.grouping.affinity))


def clustering(run: Run) -> None:
    """The partition."""
    matrix = load_record(Affinity, run.path("affinity.npz"))
    result = cluster(matrix, run.grouping.clustering)
    save_record(run.path("clustering.npz"), result.table)
    save_record(run.path("partition.npz"), result.partition)


def groups(run: Run) -> None:
    """One policy per group, from the meta policy: the ones that are served."""
    _train_methods(run, (run.served,), "groups")


def baselines(run: Run) -> None:
    """What the groups are compared with, at equal total steps."""
    _train_methods(run, run.methods[1:], "baselines")


def train_side_by_side(run: Run, methods: tuple[Method, ...], workers: Workers) -> None:
    """Train methods as jobs, as of `scale.spread`; the stages `groups` and `baselines` then find them done."""
    parts = _parts(run, methods)
    unfinished = [method for method, part in zip(methods, parts, strict=True) if part.done < part.steps]
    alone = len(unfinished) == 1 and isinstance(workers, int)  # which this process does as well
    if alone or not unfinished:
        return
    longest_first = sorted(unfinished, key=run.training_steps, reverse=True)
    jobs = [(run.folder.resolve(), method) for method in longest_first]
    spread_trainings("trainings", parts, train_job, jobs, workers)


def train_job(folder: Path, method: Method) -> None:
    """One method of `train_side_by_side`, in a process of its own."""
    torch.set_num_threads(1)
    with Progress(method, 0, quiet=True) as progress:
        _train_method(read_run(folder), method, progress)


def _parts(run: Run, methods: tuple[Method, ...]) -> list[Part]:
    return [Part(run, run.trained(method), run.training_steps(method)) for method in methods]


def _train_methods(run: Run, methods: tuple[Method, ...], stage: str) -> None:
    """Train each method's policies as one population, on what its budget has left (`Run.training_steps`)."""
    parts = _parts(run, methods)
    nothing_left = all(part.done == part.steps for part in parts)
    with Progress(stage, sum(part.steps for part in parts), quiet=nothing_left) as progress:
        for method in methods:
            _train_method(run, method, progress)


def _train_method(run: Run, method: Method, progress: Progress) -> None:
    config, meta = run.config.training, run.population("meta")
    config = replace(config, network=network_of(method, config.network))
    members = members_of(method_labels(run, method), is_conditioned(method), config.worlds)
    if method == "joint_wide_id":
        config = replace(config, hidden=wide_hidden(meta.size, load_record(Partition, run.path("partition.npz")).k))
    train_population(
        run.suite,
        members,
        config,
        run.training_steps(method),
        run.config.seed + TRAINING_SEED,
        run.path(run.trained(method)),
        method,
        None if starts_afresh(method) else clone_policy(meta, 0, tuple(member.conditioned for member in members)),
        progress,
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
    """Every method on the objectives it serves, from the same starts; the served policies on every objective."""
    config, physics = run.evaluation, run.config.training.simulation
    for method in run.methods:
        population = run.population(run.trained(method))
        labels = method_labels(run, method)
        own = own_objectives(labels)
        measured = evaluate(population, run.suite, config, physics, own)
        if method == run.served:
            rest = measured if own.all() else evaluate(population, run.suite, config, physics, ~own)
            save_record(run.path("evaluation/every_policy.npz"), measured.joined(rest))
        each = np.arange(len(labels))
        scores = MethodScores(
            method=method,
            labels=labels,
            scores=measured.scores[labels, each],
            errors=measured.errors[labels, each],
            successes=measured.successes[labels, each],
            steps=run.spent_steps(method),
            parameters=actor_parameters(population),
        )
        save_record(run.path(f"evaluation/{method}.npz"), scores)
        if not isinstance(run.suite, EnvironmentSuite) and run.suite.trade_off:
            values = evaluate_trade_off(population, run.suite, config, physics, own)
            terms = tuple(map(term_name, run.suite.trade_off))
            save_record(run.path(f"evaluation/{method}_values.npz"), TradeOff(method, terms, values[labels, each]))


def evaluation_steps(run: Run) -> int:
    """Environment steps the evaluation spends: the served policies meet every objective, the others their own."""
    served = load_record(Partition, run.path("partition.npz")).k
    rounds = served - 1 + len(run.methods) * (1 + len(run.suite.trade_off))
    episodes = rounds * len(run.suite.objectives) * run.config.evaluation.episodes
    return episodes * run.suite.episode_steps


def export(run: Run) -> None:
    """The bundle, or for a suite without a robot the plain networks."""
    if isinstance(run.suite, EnvironmentSuite):
        write_networks(run.path("networks"), networks(run))
    else:
        write_bundle(run.path("bundle"), bundle_contents(run))


def exported(run: Run) -> str:
    """The file that the export writes last."""
    return f"networks/{NETWORKS_FILE}" if isinstance(run.suite, EnvironmentSuite) else "bundle/bundle.json"


def report(run: Run) -> None:
    """The page and the pictures."""
    from pgx_core.report.page import write_report  # it brings Matplotlib, which few processes need

    write_report(run.path("report"), report_data(run))


def basis_of(run: Run) -> Basis:
    """The coordinates of the run's features."""
    kind = GramBasis if run.config.grouping.features.mode == "gram" else ProjectionBasis
    return load_record(kind, run.path("basis.npz"))  # type: ignore[return-value]


def summary(run: Run) -> str:
    """The outcome in a few lines."""
    partition = load_record(Partition, run.path("partition.npz"))
    lines = [f"partition ({partition.k} group{'s' if partition.k > 1 else ''}): {partition}"]
    for method in run.methods:
        scores = load_record(MethodScores, run.path(f"evaluation/{method}.npz"))
        lines.append(f"score {method:<12} {scores.scores.mean():6.3f}   {_each(run.suite.names, scores.scores)}")
        if run.suite.reports_success:
            lines.append(f"  success {scores.successes.mean():12.3f}   {_each(run.suite.names, scores.successes)}")
    made = run.path(exported(run)).parent
    data = report_data(run)
    lines += [verdict(data), *divergences(data)]
    return "\n".join([*lines, f"report {run.path('report/report.html')}", f"{made.name} {made}"])


def _each(names: tuple[str, ...], scores: np.ndarray) -> str:
    return "  ".join(f"{name} {score:.2f}" for name, score in zip(names, scores, strict=True))
