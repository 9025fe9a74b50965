"""A run folder: the settings, what each stage cost, and where its results lie."""

from __future__ import annotations

import json
import math
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pgx_core.affinity.subsets import sample_subsets
from pgx_core.errors import ConfigError, RunError, require, require_seed
from pgx_core.files import write_file
from pgx_core.grouping import GroupingConfig, check_grouping
from pgx_core.learning.network import NetworkSize, Population
from pgx_core.objectives.environment_suite import AnySuite
from pgx_core.objectives.loading import fingerprint, load_suite
from pgx_core.records import from_plain, parse_json, to_json, to_plain
from pgx_core.training.evaluation import EvaluationConfig
from pgx_core.training.methods import Method, starts_afresh
from pgx_core.training.rehearsal import rehearse
from pgx_core.training.session import CHECKPOINT, TrainingConfig, load_checkpoint
from pgx_core.training.transitions import RolloutConfig

MIN_EPISODES = 3  # of every objective in the rollouts: one to fit, two to hold out


@dataclass(frozen=True)
class RunConfig:
    """Every setting of a run. Two runs with equal settings and equal suites have equal results."""

    seed: int = 0  # of everything, >= 0
    steps: int | None = None  # environment steps every method gets in all, >= 1; None: the suite's own
    meta_share: float = 0.15  # share of them spent on the meta policy, 0 to 1
    meta_conditioned: bool = False  # does the meta policy's actor see the objective?
    groups_conditioned: bool = True  # do the served policies' actors?
    compare: tuple[Method, ...] = ("joint", "joint_id", "groups")  # what the groups are compared with
    subset_scores: Literal["surrogate", "rollout"] = "surrogate"  # how an adapted policy is judged
    training: TrainingConfig = field(default_factory=TrainingConfig)
    rollouts: RolloutConfig = field(default_factory=RolloutConfig)
    grouping: GroupingConfig = field(default_factory=GroupingConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)

    def __post_init__(self) -> None:
        require_seed(self.seed, "seed")
        require(self.steps is None or self.steps >= 1, "steps", "1 or more", self.steps)
        require(0.0 < self.meta_share < 1.0, "meta_share", "a share between 0 and 1", self.meta_share)
        distinct = len(set(self.compare)) == len(self.compare)
        require(distinct, "compare", "every method once", " ".join(self.compare))


@dataclass(frozen=True)
class Settings:
    """What a run is: the content of its `run.json`."""

    suite: str  # as named on the command line
    fingerprint: str  # of the suite's file and its robot
    config: RunConfig


@dataclass(frozen=True)
class Cost:
    """What one finished stage took."""

    seconds: float  # over all processes that worked on it
    steps: int  # environment steps


@dataclass(frozen=True)
class Run:
    """One run on disk."""

    folder: Path
    reference: str  # how the suite was named on the command line
    suite: AnySuite
    config: RunConfig

    @property
    def steps(self) -> int:
        """Environment steps every method gets in all."""
        return self.config.steps or self.suite.steps

    @property
    def device(self) -> str:
        """Where torch computes: beside the worlds."""
        return self.config.training.simulation.device

    @property
    def meta_steps(self) -> int:
        """Steps of the meta policy's training."""
        return round(self.steps * self.config.meta_share)

    @property
    def rollout_steps(self) -> int:
        """Steps of the meta policy's rollouts: whole episodes."""
        episode = self.suite.episode_steps
        return -(-self.config.rollouts.samples // episode) * episode * len(self.suite.objectives)

    @property
    def evaluation(self) -> EvaluationConfig:
        """The settings of the evaluation, the run's seed added: the starts are not the same in every run."""
        settings = self.config.evaluation
        return replace(settings, seed=settings.seed + self.config.seed)

    @property
    def grouping(self) -> GroupingConfig:
        """The settings of the estimate, the run's seed added to each of theirs."""
        parts = vars(self.config.grouping).items()
        return GroupingConfig(**{name: replace(part, seed=part.seed + self.config.seed) for name, part in parts})

    @property
    def scoring_steps(self) -> int:
        """Steps in which adapted policies show what they can do; none where the estimate judges them."""
        if self.config.subset_scores == "surrogate":
            return 0
        subsets: np.ndarray = sample_subsets(len(self.suite.objectives), self.grouping.subsets)
        return int(subsets.sum()) * self.config.evaluation.episodes * self.suite.episode_steps

    def training_steps(self, method: Method) -> int:
        """What is left of the budget for a method's own training, so that all spend the same in all."""
        return self.steps - self._steps_before(method, self.meta_steps)

    def spent_steps(self, method: Method) -> int:
        """What a trained method took in all: trainings end with a whole iteration, a little beyond their budget."""
        return self._steps_before(method, self.saved_steps("meta")) + self.saved_steps(self.trained(method))

    def _steps_before(self, method: Method, meta_steps: int) -> int:
        """Methods that start from the meta policy pay for it, and those that rest on what it did for that too."""
        if starts_afresh(method):
            return 0
        looked_at = {"groups": self.rollout_steps + self.scoring_steps, "cosine": self.rollout_steps}
        return meta_steps + looked_at.get(method.removesuffix("_id"), 0)

    @property
    def served(self) -> Method:
        """The method whose policies are exported."""
        return "groups_id" if self.config.groups_conditioned else "groups"

    @property
    def methods(self) -> tuple[Method, ...]:
        """The served one first, then those it is compared with."""
        return (self.served, *(method for method in self.config.compare if method != self.served))

    @property
    def command(self) -> str:
        """The command line that makes such a run; its folder is the user's choice."""
        changed = _differences(to_plain(RunConfig()), to_plain(self.config), "")
        options = [word for where, _, value in changed for word in _option(where, value)]
        return shlex.join(["pgx", "train", self.reference, *options])

    def trained(self, method: Method) -> str:
        """Folder of a method's training."""
        return "groups" if method == self.served else f"baselines/{method}"

    def path(self, name: str) -> Path:
        """A result in the folder."""
        return self.folder / name

    def checkpoint(self, training: str) -> dict[str, Any]:
        """What the training in a folder of the run last saved."""
        return load_checkpoint(self.folder / training / CHECKPOINT)

    def saved_steps(self, training: str) -> int:
        """Environment steps that the training in a folder of the run had done when it last saved."""
        path = self.folder / training / "metrics.jsonl"
        return int(json.loads(path.read_text().splitlines()[-1])["steps"]) if path.exists() else 0

    def population(self, training: str) -> Population:
        """The policies of a training."""
        return population_from_state(self.checkpoint(training)["trainer"])

    def costs(self) -> dict[str, Cost]:
        """What each finished stage took.

        Raises:
            RunError: the list of finished stages is damaged.
        """
        path = self.folder / "stages.json"
        if not path.exists():
            return {}
        try:
            entries = parse_json(path.read_text(), path.name)
            require(isinstance(entries, dict), path.name, "an object", type(entries).__name__)
            return {name: from_plain(Cost, entry, name) for name, entry in entries.items()}
        except (ConfigError, UnicodeDecodeError) as error:
            kept = "delete it to go through every stage again; trained policies are kept"
            raise RunError(f"cannot read '{path}': {error}; {kept}") from error

    def save_costs(self, costs: dict[str, Cost]) -> None:
        """Record which stages are finished."""
        write_file(self.folder / "stages.json", json.dumps(to_plain(costs), indent=2) + "\n")


def population_from_state(state: dict[str, Any]) -> Population:
    """The population that a training saved."""
    n_policies = len(state["population"]["log_std"])
    population = Population(NetworkSize(**state["size"]), (False,) * n_policies, (0,) * n_policies)
    population.load_state_dict(state["population"])
    return population


def open_run(folder: Path, reference: str, config: RunConfig) -> Run:
    """Start a run in `folder`, or continue the one that is there, which may have begun on another device.

    Raises:
        SuiteError: the suite is unusable.
        ConfigError: the settings do not fit it.
        RunError: the folder holds a run with other settings or another suite, or cannot be written.
    """
    suite = load_suite(reference)
    run = Run(folder, reference, suite, config)
    settings = Settings(reference, fingerprint(reference, suite), config)
    path = folder / "run.json"
    old = _read_settings(path) if path.exists() else None
    if old == settings:
        return run
    if old:
        _check_same(folder, _anywhere(old), _anywhere(settings))
    rehearse(suite, config.training.simulation)
    if not old:
        check_settings(run)
    write_file(path, to_json(settings))
    return run


def read_run(folder: Path) -> Run:
    """The run in `folder`, with the settings it was started with.

    Raises:
        RunError: there is none, or its suite has changed since.
    """
    path = folder / "run.json"
    if not path.is_file():
        raise RunError(f"no run in '{folder}': expected the folder that 'pgx train' wrote")
    settings = _read_settings(path)
    suite = load_suite(settings.suite)
    _check_same(folder, settings, replace(settings, fingerprint=fingerprint(settings.suite, suite)))
    return Run(folder, settings.suite, suite, settings.config)


def keep_settings(path: Path, settings: Any, rests_on: str) -> None:
    """Write down how results that rest on a run are made, or see that those beside the file were made alike.

    Args:
        path: of the file.
        settings: a record, with a `config` that the user chose.
        rests_on: the name of its field that tells what of the run the results rest on.

    Raises:
        RunError: they were made otherwise, or the file cannot be read or written.
    """
    if not path.exists():
        write_file(path, to_json(settings))
        return
    try:
        old = from_plain(type(settings), parse_json(path.read_text(), path.name), path.name)
    except (ConfigError, UnicodeDecodeError) as error:
        raise RunError(f"cannot read '{path}': {error}; remove the folder '{path.parent}'") from error
    if getattr(old, rests_on) != getattr(settings, rests_on):
        raise RunError(f"the run has changed since '{path.parent}' was written: remove that folder")
    if old != settings:
        raise RunError(
            f"'{path.parent}' was made with other settings ({old.config}, now {settings.config}); repeat those, or "
            "remove the folder"
        )


def check_settings(run: Run) -> None:
    """Find settings that contradict the suite or each other before anything is trained with them.

    Raises:
        ConfigError: the first that does.
    """
    check_grouping(run.config.grouping, len(run.suite.objectives))
    episode = run.suite.episode_steps
    enough = run.config.rollouts.samples > (MIN_EPISODES - 1) * episode
    expected = f"at least {MIN_EPISODES} episodes of {episode} steps"
    require(enough, "rollouts.samples", expected, run.config.rollouts.samples)
    require(run.meta_steps >= 1, "steps", f"more, or a meta_share above {run.config.meta_share}", run.steps)
    left = min(run.training_steps(method) for method in run.methods)
    looked_at = run.rollout_steps + run.scoring_steps
    fewest = math.ceil((looked_at + 1) / (1.0 - run.config.meta_share))
    expected = f"at least {fewest}, since the meta policy takes {run.config.meta_share:.0%} and its rollouts "
    require(left >= 1, "steps", f"{expected}{looked_at}", run.steps)


def forget(run: Run, names: tuple[str, ...]) -> None:
    """Remove results, each with the folder of the run that it lies in, so that their stages run again."""
    for name in names:
        path = run.path(Path(name).parts[0])
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _read_settings(path: Path) -> Settings:
    try:
        return from_plain(Settings, parse_json(path.read_text(), path.name), path.name)
    except (ConfigError, UnicodeDecodeError) as error:
        raise RunError(f"cannot read '{path}': {error}; choose another --out, or remove the folder") from error


def _check_same(folder: Path, old: Settings, new: Settings) -> None:
    if old == new:
        return
    if old.suite == new.suite and old.config == new.config:
        changed = "the suite's file or its robot's MJCF has changed since this run began"
        raise RunError(f"'{folder}': {changed}; choose another --out")
    where, was, now = next(_differences(to_plain(old), to_plain(new), ""))
    raise RunError(
        f"'{folder}' holds a run with other settings ({where} was {was}, is now {now}); choose another --out, or "
        "remove the folder"
    )


def _anywhere(settings: Settings) -> Settings:
    """The settings without the device, on which no result rests but for rounding. Another backend is other physics."""
    training = settings.config.training.placed(device="cpu")
    return replace(settings, config=replace(settings.config, training=training))


def _differences(old: Any, new: Any, where: str) -> Iterator[tuple[str, Any, Any]]:
    """(name, old value, new value) of every setting that differs."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in {**old, **new}:
            yield from _differences(old.get(key), new.get(key), f"{where}.{key}".lstrip("."))
    elif old != new:
        yield where.removeprefix("config."), old, new


def _option(name: str, value: Any) -> list[str]:
    """A setting as the words of a command line."""
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        head, _, last = flag.rpartition(".")
        return [f"--{head}{'.' if head else ''}{'' if value else 'no-'}{last}"]
    return [f"--{flag}", *map(str, value if isinstance(value, list) else [value])]
