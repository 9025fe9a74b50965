"""Adapt to 200 subsets of 10 objectives: one batched problem against a loop of scikit-learn regressions.

Both solve the same regularised problems on the same features, on one thread, to the same accuracy: in every subset
the norm of the gradient at the solution is at most our default tolerance, 1e-5, of that at no step. Both clocks
include gathering the rows.
scikit-learn does the easier half: it is told the multipliers that hold each step to the trust radius, which the
batched solver has to find. The fastest of its suitable solvers and precisions counts.

    python benchmarks/surrogate.py [--features RUN/features.npz] [--json FILE]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from common import write_json
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from pgx_core.surrogate.solve import SurrogateConfig, solve_subsets
from pgx_core.types import Features, load_record

R = TypeVar("R")
N_OBJECTIVES, N_SUBSETS, SAMPLES, DIMENSIONS = 10, 200, 2048, 150
PEERS = {
    "sklearn_lbfgs": ("lbfgs", np.float64),  # in float32 it stops at a relative gradient of 1e-3
    "sklearn_newton": ("newton-cholesky", np.float64),
    "sklearn_newton_float32": ("newton-cholesky", np.float32),
}
TOLERANCES = (1e-4, 1e-5, 1e-6, 1e-7, 1e-8)  # scikit-learn gets the loosest that meets our tolerance in every subset


def main() -> None:
    """Measure, print, and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=Path, help="features.npz of a run; made up where absent")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=5, help="the median is reported")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    arguments = parser.parse_args()
    features = load_record(Features, arguments.features) if arguments.features else made_up_features(arguments.seed)
    with threadpool_limits(limits=1):
        figures = measure(features, sample(len(features.names), arguments.seed), arguments.repeats)
    for name, figure in figures.items():
        print(f"{name:32} {figure:.4g}")
    write_json(arguments.json, figures)


def measure(features: Features, subsets: np.ndarray, repeats: int) -> dict[str, float]:
    """Times, accuracies and their ratios."""
    fitted, config = np.ones(len(features.labels), dtype=bool), SurrogateConfig()
    seconds, solution = timed(lambda: solve_subsets(features, subsets, fitted, config), repeats)
    double = replace(features, coordinates=features.coordinates.astype(np.float64))
    figures = {
        "subsets": float(len(subsets)),
        "rows_per_subset": float((subsets @ np.bincount(features.objectives)).mean()),
        "dimensions": float(features.coordinates.shape[1]),
        "share_at_trust_radius": float((solution.ridge > config.ridge).mean()),
        "seconds": seconds,
        "relative_gradient": worst_gradient(double, subsets, solution.steps, solution.ridge),
    }
    times, steps = {}, {}
    for peer, (solver, dtype) in PEERS.items():
        data = replace(double, coordinates=double.coordinates.astype(dtype), labels=double.labels.astype(dtype))
        for tol in TOLERANCES:
            times[peer], steps[peer] = timed(partial(loop, data, subsets, solution.ridge, solver, tol), 1)
            accuracy = worst_gradient(double, subsets, steps[peer], solution.ridge)
            if accuracy <= config.tolerance:
                break
        figures[f"{peer}_tol"], figures[f"{peer}_seconds"] = tol, times[peer]
        figures[f"{peer}_relative_gradient"], figures[f"{peer}_speedup"] = accuracy, times[peer] / seconds
    best = min(times, key=lambda solver: times[solver])
    differences = np.linalg.norm(solution.steps - steps[best], axis=1) / np.linalg.norm(steps[best], axis=1)
    return figures | {
        "max_solution_difference": float(differences.max()),
        "speedup_vs_sklearn": times[best] / seconds,
    }


def loop(features: Features, subsets: np.ndarray, ridge: np.ndarray, solver: str, tol: float) -> np.ndarray:
    """scikit-learn, one subset after the other: [m, r] steps."""
    steps = []
    weights = normalised_weights(features)
    for subset, multiplier in zip(subsets, ridge, strict=True):
        own = subset[features.objectives]
        model = LogisticRegression(C=1.0 / multiplier, fit_intercept=False, solver=solver, tol=tol, max_iter=10_000)
        model.fit(features.coordinates[own], features.labels[own], sample_weight=weights[own] / subset.sum())
        steps.append(model.coef_[0])
    return np.array(steps)


def worst_gradient(features: Features, subsets: np.ndarray, steps: np.ndarray, ridge: np.ndarray) -> float:
    """Over the subsets, the largest |gradient of the regularised loss| relative to that at no step."""
    weights, worst = normalised_weights(features), 0.0
    for subset, step, multiplier in zip(subsets, steps, ridge, strict=True):
        own = subset[features.objectives]
        signed = features.labels[own, None] * features.coordinates[own]
        at_step = -(weights[own] / (1.0 + np.exp(signed @ step)) / subset.sum()) @ signed + multiplier * step
        at_zero = -(weights[own] / 2.0 / subset.sum()) @ signed
        worst = max(worst, float(np.linalg.norm(at_step) / np.linalg.norm(at_zero)))
    return worst


def normalised_weights(features: Features) -> np.ndarray:
    """The weights of every objective sum to 1."""
    return features.weights / np.bincount(features.objectives, features.weights)[features.objectives]


def timed(work: Callable[[], R], repeats: int) -> tuple[float, R]:
    """(median seconds of processor time, the last result). On one thread that is the time on an idle machine."""
    seconds = []
    for _ in range(repeats):
        began = time.process_time()
        result = work()
        seconds.append(time.process_time() - began)
    return statistics.median(seconds), result


def sample(n_objectives: int, seed: int) -> np.ndarray:
    """[m, n] random subsets of 3 to 5 objectives (2 or more where there are few)."""
    rng = np.random.default_rng(seed)
    subsets = np.zeros((N_SUBSETS, n_objectives), dtype=bool)
    for subset in subsets:
        size = min(int(rng.integers(3, 6)), n_objectives)
        subset[rng.choice(n_objectives, size, replace=False)] = True
    return subsets


def made_up_features(seed: int) -> Features:
    """Features with the spectrum of a real run's (variance 37, falling e-fold in 32 directions), noisy advantages."""
    rng = np.random.default_rng(seed)
    objectives = np.repeat(np.arange(N_OBJECTIVES), SAMPLES)
    spectrum = np.sqrt(37.0 * np.exp(-np.arange(DIMENSIONS) / 32.0))
    coordinates = rng.normal(size=(len(objectives), DIMENSIONS)) * spectrum
    # Objectives visit different states: every one has its own mixture of directions.
    for objective in range(N_OBJECTIVES):
        turn = np.linalg.qr(np.eye(DIMENSIONS) + 0.3 * rng.normal(size=(DIMENSIONS, DIMENSIONS)) / DIMENSIONS**0.5)[0]
        coordinates[objectives == objective] @= turn
    wishes = rng.normal(size=(N_OBJECTIVES, DIMENSIONS))
    signal = np.einsum("nr,nr->n", coordinates, wishes[objectives])
    advantages = signal / signal.std() + 2.0 * rng.normal(size=len(signal))
    return Features(
        coordinates=coordinates.astype(np.float32),
        labels=np.where(advantages >= 0, 1.0, -1.0),
        weights=np.abs(advantages),
        objectives=objectives,
        episodes=np.arange(len(objectives)) // 64,
        names=tuple(f"objective_{i}" for i in range(N_OBJECTIVES)),
        parameter_norm=24.0,
        energy=1.0,
    )


if __name__ == "__main__":
    main()
