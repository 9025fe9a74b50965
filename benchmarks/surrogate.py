"""Adapting to 200 subsets of 10 objectives: one batched problem against a loop of scikit-learn regressions.

Both solve the same regularised problems on the same features, on one thread, to the same accuracy: the norm of
the gradient at the solution, relative to the gradient at no step. scikit-learn does the easier half: it is given
the multipliers that hold each step to the trust radius, which the batched solver has to find, and its weighted
rows are gathered before the clock starts. The faster of its two suitable solvers counts.

    python benchmarks/surrogate.py [--features RUN/features.npz] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from pgx_core.surrogate.solve import SurrogateConfig, solve_subsets
from pgx_core.types import Features, load_record

N_OBJECTIVES, N_SUBSETS, SAMPLES, DIMENSIONS = 10, 200, 2048, 150
# The `tol` with which each solver's worst subset ends just inside our default tolerance of 1e-6 (printed).
PEERS = {"lbfgs": 1e-6, "newton-cholesky": 1e-5}


@dataclass(frozen=True)
class Regression:
    """One subset's rows, as scikit-learn takes them."""

    coordinates: np.ndarray  # [N, r]
    labels: np.ndarray  # [N]
    weights: np.ndarray  # [N], summing to 1
    ridge: float

    def relative_gradient(self, step: np.ndarray) -> float:
        """|gradient of the regularised loss| at a step, relative to that at no step."""
        return float(np.linalg.norm(self._gradient(step)) / np.linalg.norm(self._gradient(0.0 * step)))

    def _gradient(self, step: np.ndarray) -> np.ndarray:
        signed = self.labels[:, None] * self.coordinates
        return -(self.weights / (1.0 + np.exp(signed @ step))) @ signed + self.ridge * step


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
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


def measure(features: Features, subsets: np.ndarray, repeats: int) -> dict[str, float]:
    """Times, accuracies and their ratios."""
    fitted, config = np.ones(len(features.labels), dtype=bool), SurrogateConfig()
    seconds, steps = timed(lambda: solve_subsets(features, subsets, fitted, config), repeats)
    regressions = [regression(features, s, ridge) for s, ridge in zip(subsets, steps.ridge, strict=True)]
    figures = {
        "subsets": float(len(subsets)),
        "rows_per_subset": float(np.mean([len(r.labels) for r in regressions])),
        "dimensions": float(features.coordinates.shape[1]),
        "share_at_trust_radius": float((steps.ridge > config.ridge).mean()),
        "seconds": seconds,
        "relative_gradient": worst_gradient(regressions, steps.steps),
    }
    solutions = {}
    for solver, tol in PEERS.items():
        key = f"sklearn_{solver.replace('-', '_')}"
        figures[f"{key}_tol"] = tol
        figures[f"{key}_seconds"], solutions[solver] = timed(lambda s=solver, t=tol: peer(regressions, s, t), 1)
        figures[f"{key}_relative_gradient"] = worst_gradient(regressions, solutions[solver])
    times = {solver: figures[f"sklearn_{solver.replace('-', '_')}_seconds"] for solver in PEERS}
    # The peer whose answers are the more accurate is the yardstick of the difference.
    best = solutions["newton-cholesky"]
    lengths = np.linalg.norm(best, axis=1)
    figures["max_solution_difference"] = float((np.linalg.norm(steps.steps - best, axis=1) / lengths).max())
    figures["speedup_vs_sklearn_lbfgs"] = times["lbfgs"] / seconds
    figures["speedup_vs_sklearn"] = min(times.values()) / seconds
    return figures


def peer(regressions: list[Regression], solver: str, tol: float) -> np.ndarray:
    """scikit-learn, one subset after the other."""
    steps = []
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        for r in regressions:
            model = LogisticRegression(C=1.0 / r.ridge, fit_intercept=False, solver=solver, tol=tol, max_iter=10_000)
            steps.append(model.fit(r.coordinates, r.labels, sample_weight=r.weights).coef_[0])
    return np.array(steps)


def timed(work, repeats: int):
    """(median seconds, the last result), after one call to warm up where there are repeats."""
    if repeats > 1:
        work()
    seconds = []
    for _ in range(repeats):
        began = time.process_time()
        result = work()
        seconds.append(time.process_time() - began)
    return statistics.median(seconds), result


def worst_gradient(regressions: list[Regression], steps: np.ndarray) -> float:
    """The largest relative gradient over the subsets."""
    return max(r.relative_gradient(step) for r, step in zip(regressions, steps, strict=True))


def regression(features: Features, subset: np.ndarray, ridge: float) -> Regression:
    """Gather one subset's rows; every objective in it weighs the same."""
    own = subset[features.objectives]
    totals = np.bincount(features.objectives, features.weights)[features.objectives]
    weights = (features.weights / totals)[own] / subset.sum()
    return Regression(features.coordinates[own].astype(np.float64), features.labels[own], weights, float(ridge))


def sample(n_objectives: int, seed: int) -> np.ndarray:
    """[m, n] random subsets of 3 to 5 objectives (2 or more where there are few)."""
    rng = np.random.default_rng(seed)
    subsets = np.zeros((N_SUBSETS, n_objectives), dtype=bool)
    for subset in subsets:
        size = min(int(rng.integers(3, 6)), n_objectives)
        subset[rng.choice(n_objectives, size, replace=False)] = True
    return subsets


def made_up_features(seed: int) -> Features:
    """Features with the decaying spectrum of policy gradients, advantages mostly noise, each objective its own wish."""
    rng = np.random.default_rng(seed)
    objectives = np.repeat(np.arange(N_OBJECTIVES), SAMPLES)
    spectrum = 20.0 / np.arange(1, DIMENSIONS + 1)
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
        parameter_norm=12.0,
        energy=1.0,
    )


if __name__ == "__main__":
    main()
