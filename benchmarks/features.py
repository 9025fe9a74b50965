"""Gradient features: exact Gram matrices against a loop of backward passes and a dense random projection.

Speed: transitions per second of processor time on one thread, whole stage (principal axes included)
against one autograd call per transition and its product with the p x 400 matrix, in batches.
Fidelity: the margins g.dtheta that a fitted step predicts on held-out transitions, against those of the exact
solution in all p parameters (kernel logistic regression by Newton's method on the full gradients), as a relative
root mean square error. All fits share the ridge that holds the step to the trust radius. The Gram features come in
1500 coordinates, for speed too, and in as many as the default keeps.

The policy and the transitions are real: a short meta-training of a built-in suite and its rollouts.

    python benchmarks/features.py [--suite skills] [--json FILE]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from common import write_json
from threadpoolctl import threadpool_limits

from pgx_core.gradients.basis import ProjectionBasis, projection_matrix
from pgx_core.gradients.features import FeatureConfig, compute_features
from pgx_core.gradients.parameters import flatten_parameters
from pgx_core.gradients.per_sample import per_sample_gradients
from pgx_core.learning.layout import Member
from pgx_core.learning.network import GaussianPolicy
from pgx_core.objectives.loading import load_suite
from pgx_core.surrogate.solve import SurrogateConfig, solve_subsets
from pgx_core.training.session import TrainingConfig, train_population
from pgx_core.training.transitions import RolloutConfig, collect_transitions
from pgx_core.types import Features, Transitions

R = TypeVar("R")
HIDDEN = (256, 256)
META_STEPS, SAMPLES = 60_000, 2048
LOOP_SAMPLES = 512  # enough to time the loop
FITTED, HELD_OUT, SUBSET_SIZE, SUBSETS = 2000, 1000, 4, 3
PROJECTION = FeatureConfig("projection", 400)


def main() -> None:
    """Measure, print, and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", default="skills")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dimensions", type=int, default=1500, help="coordinates of the Gram features")
    parser.add_argument("--repeats", type=int, default=5, help="the median is reported")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    arguments = parser.parse_args()
    config = FeatureConfig("gram", arguments.dimensions, arguments.seed)
    torch.set_num_threads(1)
    with threadpool_limits(limits=1):
        policy, transitions = real_transitions(arguments.suite, arguments.seed)
        figures = speed(policy, transitions, config, arguments.repeats)
        figures |= fidelity(policy, transitions, config, arguments.seed)
    for name, figure in figures.items():
        print(f"{name:32} {figure:.5g}")
    write_json(arguments.json, figures)


def real_transitions(suite_name: str, seed: int) -> tuple[GaussianPolicy, Transitions]:
    """A briefly trained meta policy of about 80,000 parameters, and what it does on every objective."""
    suite, config = load_suite(suite_name), TrainingConfig(hidden=HIDDEN)
    member = Member(tuple(range(len(suite.objectives))), False, config.worlds)
    with tempfile.TemporaryDirectory() as folder:
        trained = train_population(suite, (member,), config, META_STEPS, seed, Path(folder), "meta policy")
    transitions = collect_transitions(trained.population, suite, RolloutConfig(SAMPLES), config.ppo, seed + 1)
    return trained.population.policy(0), transitions


def speed(policy: GaussianPolicy, transitions: Transitions, config: FeatureConfig, repeats: int) -> dict[str, float]:
    """Transitions per second, and the ratio."""
    gram = timed(lambda: compute_features(policy, transitions, config), repeats)
    chosen = transitions.rows(np.random.default_rng(0).permutation(len(transitions.objectives))[:LOOP_SAMPLES])
    matrix = projection_matrix(flatten_parameters(policy), ProjectionBasis(PROJECTION.dimensions, 0))
    loop = timed(lambda: gradients(policy, chosen) @ matrix, repeats)
    gram_rate, loop_rate = len(transitions.objectives) / gram, LOOP_SAMPLES / loop
    return {
        "parameters": float(len(matrix)),
        "transitions": float(len(transitions.objectives)),
        "gram_per_second": gram_rate,
        "loop_per_second": loop_rate,
        "speedup_vs_loop": gram_rate / loop_rate,
    }


def fidelity(policy: GaussianPolicy, transitions: Transitions, config: FeatureConfig, seed: int) -> dict[str, float]:
    """The largest relative margin errors over a few subsets."""
    configs = (config, FeatureConfig("gram", seed=seed), replace(PROJECTION, seed=seed))
    gram, default, projection = (compute_features(policy, transitions, each).features for each in configs)
    rng = np.random.default_rng(seed)
    errors = np.max([subset_errors(policy, transitions, (gram, default, projection), rng) for _ in range(SUBSETS)], 0)
    figures = {"projection_margin_error": float(errors[2])}
    for name, features, error in (("gram", gram, errors[0]), ("default", default, errors[1])):
        figures[f"{name}_dimensions"] = float(features.coordinates.shape[1])
        figures[f"{name}_energy"] = features.energy
        figures[f"{name}_margin_error"] = float(error)
    return figures


def subset_errors(
    policy: GaussianPolicy, transitions: Transitions, kinds: tuple[Features, ...], rng: np.random.Generator
) -> list[float]:
    """Margin errors of each kind of features on a random subset's held-out transitions.

    The first kind's ridge is everyone's.
    """
    gram = kinds[0]
    n = len(gram.names)
    subset = np.isin(np.arange(n), rng.choice(n, min(SUBSET_SIZE, n), replace=False))
    rows = rng.permutation(np.flatnonzero(subset[gram.objectives]))[: FITTED + HELD_OUT]
    fitted = np.isin(np.arange(len(gram.objectives)), rows[:FITTED])
    ridge = float(solve_subsets(gram, subset[None], fitted, SurrogateConfig()).ridge[0])
    everything = gradients(policy, transitions.rows(rows)).double().numpy()
    exact = everything[FITTED:] @ exact_step(everything[:FITTED], gram, rows[:FITTED], ridge)
    config = SurrogateConfig(trust_radius=np.inf, ridge=ridge)
    errors = []
    for features in kinds:
        step = solve_subsets(features, subset[None], fitted, config).steps[0]
        margins = features.coordinates[rows[FITTED:]] @ step
        errors.append(float(np.linalg.norm(margins - exact) / np.linalg.norm(exact)))
    return errors


def exact_step(gradients: np.ndarray, features: Features, rows: np.ndarray, ridge: float) -> np.ndarray:
    """The minimiser dtheta [p] of the weighted loss and ridge/2 |dtheta|^2 over all parameters.

    dtheta = sum_i alpha_i g_i (representer theorem), and Newton's method for alpha: (S K + ridge) alpha = S K alpha +
    pull, where S holds the second derivatives of the loss by margin, and pull the negative first ones.
    """
    labels, objectives = features.labels[rows], features.objectives[rows]
    weights = features.weights[rows] / np.bincount(objectives, features.weights[rows])[objectives]
    weights /= len(np.unique(objectives))
    kernel = gradients @ gradients.T
    alpha = np.zeros(len(rows))
    for _ in range(100):
        margins = kernel @ alpha
        probability = 1.0 / (1.0 + np.exp(labels * margins))  # of the wrong sign
        pull, curvature = weights * labels * probability, weights * probability * (1.0 - probability)
        if np.abs(pull - ridge * alpha).max() < 1e-12 * np.abs(pull).max():
            break
        system = curvature[:, None] * kernel + ridge * np.eye(len(rows))
        alpha = np.linalg.solve(system, curvature * margins + pull)
    step: np.ndarray = alpha @ gradients
    return step


def gradients(policy: GaussianPolicy, transitions: Transitions) -> torch.Tensor:
    """[N, p], one autograd call per transition."""
    return per_sample_gradients(policy, torch.tensor(transitions.observations), torch.tensor(transitions.actions))


def timed(work: Callable[[], R], repeats: int) -> float:
    """Median seconds of processor time. On one thread that is the time on an idle machine."""
    seconds = []
    for _ in range(repeats):
        began = time.process_time()
        work()
        seconds.append(time.process_time() - began)
    return statistics.median(seconds)


if __name__ == "__main__":
    main()
