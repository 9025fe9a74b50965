"""A validation on disk: which run, how thoroughly, and where its results lie."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from pgx_core.affinity.subsets import SubsetConfig, sample_subsets
from pgx_core.errors import ConfigError, require, require_seed
from pgx_core.files import remove_drafts
from pgx_core.pipeline import require_finished
from pgx_core.run import Run, keep_settings, read_run

MIN_OBJECTIVES = 3  # two have one subset, whose score compares with nothing
MIN_SUBSETS = 8  # fewer say nothing about a rank correlation


@dataclass(frozen=True)
class ValidationConfig:
    """How thoroughly a run is validated."""

    subsets: int | None = None  # to train for real, a balanced draw of >= 8; None: all that the run estimated
    steps: int = 20_000  # environment steps of each subset's real training, >= 1
    seed: int = 0  # of that training, >= 0, added to the run's

    def __post_init__(self) -> None:
        few = self.subsets is not None and self.subsets < MIN_SUBSETS
        require(not few, "subsets", f"{MIN_SUBSETS} or more", self.subsets)
        require(self.steps >= 1, "steps", "1 or more", self.steps)
        require_seed(self.seed, "seed")


@dataclass(frozen=True)
class Settings:
    """The content of `validation.json`."""

    experience: str  # sha256 of the run's transitions, which all that follows in the run depends on
    config: ValidationConfig


@dataclass(frozen=True)
class Validation:
    """One validation of one run."""

    run: Run
    config: ValidationConfig

    def path(self, name: str) -> Path:
        """A result in the folder."""
        return self.run.path("validation") / name

    @property
    def subsets(self) -> Bool[np.ndarray, "m n"]:
        """The subsets that are estimated and trained for real."""
        settings = self.run.grouping.subsets
        count = self.config.subsets or settings.count
        return sample_subsets(len(self.run.suite.objectives), SubsetConfig(count, settings.sizes, settings.seed))


def open_validation(folder: Path, config: ValidationConfig) -> Validation:
    """Start to validate the run in `folder`, or continue.

    Raises:
        RunError: there is no finished run, or it was validated with other settings.
        ConfigError: the run has too few objectives, or the subsets cannot cover every pair.
    """
    run = read_run(folder)
    require_finished(run, "evaluation")
    n = len(run.suite.objectives)
    if n < MIN_OBJECTIVES:
        raise ConfigError(f"expected a run of {MIN_OBJECTIVES} objectives or more, got {n}: their only subset is both")
    validation = Validation(run, config)
    _ = validation.subsets  # finds a count that cannot cover every pair
    settings = Settings(hashlib.sha256(run.path("transitions.npz").read_bytes()).hexdigest(), config)
    path = validation.path("validation.json")
    keep_settings(path, settings, "experience")
    remove_drafts(path.parent)
    return validation
