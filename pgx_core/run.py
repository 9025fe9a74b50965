"""A run folder: the settings, what each stage cost, and where its results lie."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from pgx_core.errors import ConfigError, RunError
from pgx_core.files import write_file
from pgx_core.grouping import GroupingConfig
from pgx_core.learning.network import NetworkSize, Population
from pgx_core.objectives.loading import fingerprint, load_suite
from pgx_core.objectives.objective import Suite
from pgx_core.records import from_plain, parse_json, to_json, to_plain
from pgx_core.training.evaluation import EvaluationConfig
from pgx_core.training.methods import Method
from pgx_core.training.session import TrainingConfig, load_checkpoint
from pgx_core.training.transitions import RolloutConfig


@dataclass(frozen=True)
class RunConfig:
    """Every setting of a run. Two runs with equal settings and equal suites have equal results."""

    seed: int = 0  # of everything
    steps: int | None = None  # environment steps every method gets in all; None: the suite's own
    meta_share: float = 0.3  # share of them spent on the meta policy, 0 to 1
    meta_conditioned: bool = False  # does the meta policy's actor see the objective?
    groups_conditioned: bool = True  # do the served policies' actors?
    compare: tuple[Method, ...] = ("joint", "joint_id", "groups")  # what the groups are compared with
    subset_scores: Literal["surrogate", "rollout"] = "surrogate"  # how an adapted policy is judged
    training: TrainingConfig = field(default_factory=TrainingConfig)
    rollouts: RolloutConfig = field(default_factory=RolloutConfig)
    grouping: GroupingConfig = field(default_factory=GroupingConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)

    def __post_init__(self) -> None:
        if not 0.0 < self.meta_share < 1.0:
            raise ConfigError(f"meta_share: expected a share between 0 and 1, got {self.meta_share}")
        if self.steps is not None and self.steps < 1:
            raise ConfigError(f"steps: expected at least 1, got {self.steps}")


@dataclass(frozen=True)
class Run:
    """One run on disk."""

    folder: Path
    reference: str  # how the suite was named on the command line
    suite: Suite
    config: RunConfig

    @property
    def steps(self) -> int:
        """Environment steps every method gets in all."""
        return self.config.steps or self.suite.steps

    @property
    def meta_steps(self) -> int:
        """Steps of the meta policy's training."""
        return round(self.steps * self.config.meta_share)

    @property
    def rollout_steps(self) -> int:
        """Steps of the meta policy's rollouts: whole episodes."""
        episode = self.suite.episode_steps
        return -(-self.config.rollouts.samples // episode) * episode * len(self.suite.objectives)

    def training_steps(self, method: Method) -> int:
        """What is left of the budget for a method's own training, so that all spend the same in all.

        Methods that rest on the rollouts pay for them. One policy that sees the objective starts afresh with
        ALL steps, the strongest use of the budget we know for it; the others start from the meta policy.
        """
        if method == "joint_id":
            return self.steps
        estimated = method.removesuffix("_id") in ("groups", "cosine")
        return self.steps - self.meta_steps - (self.rollout_steps if estimated else 0)

    @property
    def served(self) -> Method:
        """The method whose policies are exported."""
        return "groups_id" if self.config.groups_conditioned else "groups"

    @property
    def methods(self) -> tuple[Method, ...]:
        """The served one first, then those it is compared with."""
        return (self.served, *(method for method in self.config.compare if method != self.served))

    def trained(self, method: Method) -> str:
        """Folder of a method's training."""
        return "groups" if method == self.served else f"baselines/{method}"

    def path(self, name: str) -> Path:
        """A result in the folder."""
        return self.folder / name

    def population(self, name: str) -> Population:
        """The policies some training left in `name`."""
        state = load_checkpoint(self.folder / name / "checkpoint.pt")["trainer"]["population"]
        return population_from_state(state, self)

    def costs(self) -> dict[str, dict[str, Any]]:
        """Seconds and environment steps of each finished stage."""
        path = self.folder / "stages.json"
        if not path.exists():
            return {}
        costs: dict[str, dict[str, Any]] = parse_json(path.read_text(), str(path))
        return costs

    def save_costs(self, costs: dict[str, dict[str, Any]]) -> None:
        """Record which stages are finished."""
        write_file(self.folder / "stages.json", json.dumps(costs, indent=2) + "\n")


def population_from_state(state: dict[str, torch.Tensor], run: Run) -> Population:
    """A population with the saved parameters."""
    n_policies, n_inputs, _ = state["actor.weights.0"].shape
    n = len(run.suite.objectives)
    size = NetworkSize(n_inputs - n, n, state["log_std"].shape[-1], run.config.training.hidden)
    population = Population(size, (False,) * n_policies, (0,) * n_policies)
    population.load_state_dict(state)
    return population


def open_run(folder: Path, reference: str, config: RunConfig) -> Run:
    """Start a run in `folder`, or continue the one that is there.

    Raises:
        RunError: the folder holds a run with other settings or another suite, or cannot be written.
    """
    suite = load_suite(reference)
    path = folder / "run.json"
    settings = {
        "suite": reference,
        "fingerprint": fingerprint(reference, suite),
        "config": to_plain(config),
    }
    if path.exists():
        _check_same(folder, parse_json(path.read_text(), str(path)), json.loads(json.dumps(settings)))
    else:
        write_file(path, to_json(settings))
    return Run(folder, reference, suite, config)


def read_run(folder: Path) -> Run:
    """The run in `folder`, with the settings it was started with.

    Raises:
        RunError: there is none.
    """
    path = folder / "run.json"
    if not path.is_file():
        raise RunError(f"no run in '{folder}': expected the folder that 'pgx train' wrote")
    settings = parse_json(path.read_text(), str(path))
    config = from_plain(RunConfig, settings["config"], str(path))
    return Run(folder, settings["suite"], load_suite(settings["suite"]), config)


def forget(run: Run, names: tuple[str, ...]) -> None:
    """Remove results, so that their stages run again."""
    for name in names:
        path = run.path(name)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _check_same(folder: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    if old == new:
        return
    if old.get("suite") == new["suite"] and old.get("config") == new["config"]:
        raise RunError(f"'{folder}': the suite's file has changed since this run began; choose another --out")
    where, was, now = next(_differences(old, new, ""))
    raise RunError(
        f"'{folder}' holds a run with other settings ({where} was {was}, is now {now}); choose another --out, or "
        "remove the folder"
    )


def _differences(old: Any, new: Any, where: str) -> Any:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from _differences(old.get(key), new.get(key), f"{where}.{key}".lstrip("."))
    elif old != new:
        yield where.removeprefix("config."), old, new
