"""Meta-reinforcement learning on a finished run: MAML for all objectives or per group, adapted to the unseen ones."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int

from pgx_core.errors import ConfigError
from pgx_core.memory import out_of_memory
from pgx_core.objectives.environment_suite import EnvironmentSuite
from pgx_core.pipeline import require_finished
from pgx_core.run import Run, keep_settings, read_run
from pgx_core.stages import method_labels
from pgx_core.training.adaptation import AdaptationConfig, adapt, choose_starts, train_starts
from pgx_core.training.methods import Method
from pgx_core.types import load_record, save_record

GROUPINGS: tuple[Method, ...] = ("joint", "groups", "random", "cosine")  # joint: one starting point for all
SEED = 50_000  # added to the run's: other worlds than its own trainings saw


FOUND = ("features.npz", "affinity.npz", "partition.npz")  # what the groups of all methods follow from


@dataclass(frozen=True)
class Settings:
    """The content of `adaptation.json`."""

    groups: str  # sha256 of what they follow from
    config: AdaptationConfig


@dataclass(frozen=True)
class Adapted:
    """Starting points trained by MAML under one grouping, adapted to every unseen objective."""

    method: str
    labels: Int[np.ndarray, "n"]  # starting point that each objective of the suite trained
    chosen: Int[np.ndarray, "m"]  # the one that each unseen objective adapted
    steps: Int[np.ndarray, "s"]  # adaptation steps before each measurement
    scores: Float[np.ndarray, "s m"]
    names: tuple[str, ...]  # of the unseen objectives


def adapt_run(folder: Path, config: AdaptationConfig, say: Callable[[str], None] = print) -> tuple[Adapted, ...]:
    """Train, adapt and measure every grouping at the run's total steps; what is finished is not done again.

    All spend the same environment steps before adaptation: where the groups rest on the meta policy and its rollouts,
    MAML has so many fewer. Adaptation costs each unseen objective the same, but for the choice among several starting
    points: two episodes of each.

    Raises:
        RunError: there is no run that has found its groups, or it was adapted with other settings.
        ConfigError: its suite holds no objectives back.
    """
    torch.set_num_threads(1)
    run = read_run(folder)
    require_finished(run, "clustering")
    if not isinstance(run.suite, EnvironmentSuite) or not run.suite.held_out:
        raise ConfigError(f"expected a suite with held-out objectives, such as cartpole, got '{run.suite.name}'")
    groups = hashlib.sha256(b"".join(run.path(name).read_bytes() for name in FOUND)).hexdigest()
    keep_settings(run.path("adaptation/adaptation.json"), Settings(groups, config), "groups")
    found = []
    for method in GROUPINGS:
        path = run.path(f"adaptation/{method}.npz")
        if not path.exists():
            with out_of_memory(f"adaptation of '{method}'", "--worlds, or --training.worlds in another run"):
                adapted = _adapt_method(run, run.suite.unseen(), method, config)
            save_record(path, adapted)
        found.append(load_record(Adapted, path))
        say(f"{method}: {found[-1].scores[-1].mean():.3f} after {found[-1].steps[-1]} steps of adaptation")
    return tuple(found)


def _adapt_method(run: Run, unseen: EnvironmentSuite, method: Method, config: AdaptationConfig) -> Adapted:
    training, seed = run.config.training, run.config.seed + SEED
    labels = method_labels(run, method)
    paid = run.steps - run.training_steps(method) if method in ("groups", "cosine") else 0
    folder = run.path(f"adaptation/{method}")
    trained = train_starts(run.suite, labels, training, config.maml, run.steps - paid, seed, folder, method)
    chosen = choose_starts(trained.population, unseen)
    scores = adapt(trained.population, chosen, unseen, config, training.ppo, run.config.evaluation, seed + 1)
    return Adapted(method, labels, chosen, np.array(config.steps), scores, unseen.names)


def table(found: tuple[Adapted, ...]) -> str:
    """Mean score over the unseen objectives, a row per grouping, a column per number of adaptation steps."""
    steps = found[0].steps
    lines = [
        f"{len(found[0].names)} unseen objectives; first-order MAML; mean score after so many adaptation steps",
        "",
        f"| starting points | number | {' | '.join(map(str, steps))} |",
        "|---|---|" + "---|" * len(steps),
    ]
    for one in found:
        cells = " | ".join(f"{score:.3f}" for score in one.scores.mean(1))
        lines.append(f"| {one.method} | {one.labels.max() + 1} | {cells} |")
    return "\n".join(lines)


def figures_json(found: tuple[Adapted, ...]) -> str:
    """The figures as a flat JSON object."""
    plain: dict[str, object] = {"adaptation_steps": found[0].steps.tolist(), "unseen": list(found[0].names)}
    for one in found:
        plain |= {f"score_{one.method}": one.scores.mean(1).tolist(), f"k_{one.method}": int(one.labels.max()) + 1}
    return json.dumps(plain, indent=2) + "\n"
