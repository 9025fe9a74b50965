"""Our PPO against two public ones on one objective, and a population against the same policies one after another.

Same robot, reward, observation, number of worlds, steps per iteration, environment steps and threads (torch 1,
physics 2); networks of 64-64 units; normalised observations. Stable-Baselines3 gets our hyperparameters, at a constant
learning rate. rsl_rl keeps its published ones (1e-3, adapted to the divergence) but for the discount, trace, passes
and entropy weight, where ours served it better. Training is interleaved in short turns, so that a busy machine slows
all alike. Both ratios are against the better peer by that very figure.

    pip install -r benchmarks/requirements.txt
    python benchmarks/ppo.py --seeds 30 --json benchmarks/results/ppo.json --picture benchmarks/results/ppo.png
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import median

import matplotlib
import numpy as np
import torch
import tyro
from common import write_json
from ppo_peers import HORIZON, OURS, Learner, Ours, RslRl, StableBaselines3
from ppo_population import measure_population

from pgx_core.comparison.statistics import estimate, mean
from pgx_core.objectives.suites import SIGNS
from pgx_core.simulation.simulation import Simulation

TASK = replace(SIGNS, randomization=None)  # a plain Markov process: what every peer was made for
TURN = 6  # iterations
EPISODES, EVALUATION_SEED = 16, 20_000
SHARED = {"gamma": OURS.discount, "max_grad_norm": 1.0}
CONTESTANTS: dict[str, Callable[..., Learner]] = {
    "ours": Ours,
    "rsl_rl": partial(
        RslRl, algorithm={**SHARED, "lam": OURS.trace, "entropy_coef": 0.0, "num_learning_epochs": OURS.epochs}
    ),
    "sb3": partial(
        StableBaselines3,
        algorithm={
            **SHARED,
            "gae_lambda": OURS.trace,
            "learning_rate": OURS.learning_rate,
            "n_epochs": OURS.epochs,
            "minibatches": OURS.minibatches,
        },
    ),
}


@dataclass
class Record:
    """What one contestant did, over all seeds."""

    wall: list[float] = field(default_factory=list)  # s per turn
    processor: list[float] = field(default_factory=list)
    curves: list[list[float]] = field(default_factory=list)  # score of the mean action after each turn, by seed

    @property
    def final(self) -> float:
        """Mean score of the trained policies."""
        return float(np.mean([curve[-1] for curve in self.curves]))


def main(
    objective: str = "forward_2",
    seeds: int = 3,
    iterations: int = 60,
    worlds: int = 96,
    json: Path | None = None,
    picture: Path | None = None,
) -> None:
    """Measure, print, and save.

    Args:
        objective: of the suite `signs`.
        seeds: trainings of each learner.
        iterations: of 24 steps in each world.
        worlds: parallel ones.
        json: where to write the figures.
        picture: where to draw the learning curves.
    """
    torch.set_num_threads(1)
    records = compare(TASK.names.index(objective), seeds, iterations, worlds)
    steps = [HORIZON * worlds * TURN * (turn + 1) for turn in range(iterations // TURN)]
    figures = comparison(records, TURN * HORIZON * worlds)
    show(records, steps, figures, objective)
    if picture:
        draw(records, steps, objective, picture)
    write_json(json, figures | measure_population())


def compare(objective: int, seeds: int, iterations: int, worlds: int) -> dict[str, Record]:
    """Train every contestant in turns, and measure it after each."""
    records = {name: Record() for name in CONTESTANTS}
    for seed in range(seeds):
        learners = {name: new(TASK, objective, worlds, iterations, seed) for name, new in CONTESTANTS.items()}
        for record in records.values():
            record.curves.append([])
        for _ in range(iterations // TURN):
            for name, learner in learners.items():
                wall, processor = time.perf_counter(), time.process_time()
                learner.advance(TURN)
                records[name].wall.append(time.perf_counter() - wall)
                records[name].processor.append(time.process_time() - processor)
                records[name].curves[-1].append(score(learner, objective))
    return records


@torch.no_grad()
def score(learner: Learner, objective: int) -> float:
    """Mean score per step of the mean action over full episodes, from the same starts for all."""
    simulation = Simulation(TASK, np.full(EPISODES, objective), EVALUATION_SEED, stagger=False)
    observations, total = simulation.reset(), 0.0
    for _ in range(TASK.episode_steps):
        step = simulation.step(learner.act(observations))
        observations, total = step.observations, total + float(step.scores.mean())
    return total / TASK.episode_steps


def comparison(records: dict[str, Record], turn_steps: int) -> dict[str, object]:
    """Ours over the better peer, separately for return and speed."""
    figures: dict[str, object] = {}
    for name, record in records.items():
        figures[f"score_{name}"] = record.final
        figures[f"scores_{name}"] = [curve[-1] for curve in record.curves]
        figures[f"mean_curve_{name}"] = float(np.mean(record.curves))
        figures[f"steps_per_second_{name}"] = turn_steps / median(record.wall)
        figures[f"steps_per_processor_second_{name}"] = turn_steps / median(record.processor)
    ours, *peers = records.values()
    returns = [np.array([[curve[-1]] for curve in record.curves]) for record in (ours, *peers)]
    ratio = estimate(lambda one, other: mean(one) / mean(other), returns[0], max(returns[1:], key=np.mean))
    return figures | {
        "return_ratio": ratio.value,
        "return_ratio_interval": [ratio.low, ratio.high],  # 95%, by bootstrap over the seeds
        "speed_ratio": min(median(peer.wall) for peer in peers) / median(ours.wall),
        "processor_ratio": min(median(peer.processor) for peer in peers) / median(ours.processor),
    }


def show(records: dict[str, Record], steps: list[int], figures: dict[str, object], objective: str) -> None:
    """Print the curves and the figures."""
    print(f"\n{objective}: score of the mean action, mean of {len(records['ours'].curves)} seeds")
    print("| steps | " + " | ".join(records) + " |\n|" + "---|" * (len(records) + 1))
    for turn, count in enumerate(steps):
        cells = (f"{np.mean([curve[turn] for curve in record.curves]):.3f}" for record in records.values())
        print(f"| {count:,} | " + " | ".join(cells) + " |")
    for name, figure in figures.items():
        print(f"{name:34} {np.array2string(np.asarray(figure), precision=3)}")


def draw(records: dict[str, Record], steps: list[int], objective: str, path: Path) -> None:
    """Learning curves: every seed thin, their mean thick."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 4), layout="constrained")
    for name, record in records.items():
        (line,) = axes.plot(steps, np.mean(record.curves, 0), label=name, linewidth=2.5)
        for curve in record.curves:
            axes.plot(steps, curve, color=line.get_color(), linewidth=0.6, alpha=0.6)
    axes.set(xlabel="environment steps", ylabel=f"score on {objective} (mean action)", ylim=(-0.1, 1.0))
    axes.legend()
    axes.grid(alpha=0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    tyro.cli(main)
