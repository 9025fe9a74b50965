"""`pgx compare` on toy runs: its outcome, mistakes in one line, and however it is broken off."""

from __future__ import annotations

import errno
import json
import random
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from pgx_core.comparison.seeds import COMPARED
from pgx_core.run import read_run

FEW = ("--compare", "joint_wide_id")
RESULTS = ("transitions.npz", "partition.npz", "evaluation/joint_wide_id.npz", "evaluation/groups_id.npz")


@dataclass(frozen=True)
class Compared:
    """The folder of a finished comparison of a few methods on two seeds, what it said, and how long it took."""

    folder: Path
    out: str
    seconds: float


@pytest.fixture(scope="module")
def toy(options) -> tuple[str, ...]:
    """The settings of a toy run, with as few steps as reach past its rollouts; without its baseline."""
    return ("compare", "tiny", *options[: options.index("--compare")], "--steps", "1200", "--seeds", "2")


@pytest.fixture(scope="module")
def compared(toy, fork, tmp_path_factory) -> Compared:
    folder, began = tmp_path_factory.mktemp("compared") / "few", time.monotonic()
    ended = fork(*toy, *FEW, "--out", folder)
    assert (ended.status, ended.err.strip()) == (0, "")
    return Compared(folder, ended.out, time.monotonic() - began)


def _results(folder: Path, seeds: int = 2) -> dict[str, dict[str, bytes]]:
    found = {}
    for name in (f"seed_{seed}/{name}" for seed in range(seeds) for name in RESULTS):
        with np.load(folder / name) as file:
            found[name] = {key: file[key].tobytes() for key in file.files}
    return found


def test_figures_for_a_read_only_place(toy, compared, tmp_path, fork) -> None:
    refused = (tmp_path, errno.EROFS)
    ended = fork(
        "compare", *toy[1:], *FEW, "--out", compared.folder, "--json", tmp_path / "figures.json", refused=refused
    )
    assert ended.status == 1
    assert f"pgx compare: cannot write in '{tmp_path}': Read-only file system; choose another" in ended.complaint
    assert not list(tmp_path.iterdir())


def test_every_method_of_the_default_is_in_the_table_the_figures_and_the_plots(toy, tmp_path, call) -> None:
    rarely = ("--training.checkpoint-seconds", 60)
    ended = call(*toy, *rarely, "--out", tmp_path / "runs", "--json", tmp_path / "figures.json")
    assert ended.status == 0
    assert "tiny: 1,200 environment steps for every method, 2 seeds" in ended.out
    assert len([line for line in ended.out.splitlines() if line.startswith("|")]) == 2 + len(COMPARED)
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert (figures["seeds"], figures["k"], figures["steps"]) == ([0, 1], [2, 2], 1200)
    for method in COMPARED:
        low, high = figures[f"score_{method}_interval"]
        assert low <= figures[f"score_{method}"] <= high
        assert figures[f"parameters_{method}"] > 0
    assert figures["parameters_joint_wide_id"] == pytest.approx(figures["parameters_groups_id"], rel=0.1)
    assert figures["parameters_joint_wide_id"] > 1.5 * figures["parameters_joint_id"]
    for name in ("scores", "curves"):
        assert (tmp_path / "runs" / f"{name}.png").stat().st_size > 10_000


def test_a_finished_comparison_is_only_read_again(toy, compared, call) -> None:
    ended = call(*toy, *FEW, "--out", compared.folder)
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.startswith("tiny: ") and compared.out.endswith(ended.out)


def test_the_wide_policy_is_trained_as_wide_as_it_says(compared) -> None:
    run = read_run(compared.folder / "seed_0")
    population = run.population(run.trained("joint_wide_id"))
    assert population.n_policies == 1 and population.size.hidden > (8,)
    assert run.training_steps("joint_wide_id") == run.steps


def test_a_comparison_that_is_killed_again_and_again(toy, compared, tmp_path, fork) -> None:
    rng, command = random.Random(0), (*toy, *FEW, "--out", tmp_path)
    kills = 0
    for moment in (0.3, 0.5, 0.8):  # growing, so that the second seed is reached too
        ended = fork(*command, after=rng.uniform(0.6, 1.0) * moment * compared.seconds)
        assert ended.status in (0, -signal.SIGKILL), ended.err
        kills += ended.status == -signal.SIGKILL
    assert kills, "the moments came too late"
    assert fork(*command).status == 0
    assert _results(tmp_path) == _results(compared.folder)
    assert not list(tmp_path.rglob(".*")), "drafts of the killed processes remain"


def test_seeds_are_added_later(toy, compared, fork) -> None:
    before = _results(compared.folder)
    ended = fork(*toy, *FEW, "--seeds", "3", "--out", compared.folder)
    assert "2 seeds" not in ended.out and "3 seeds" in ended.out
    assert {line.split(":")[0] for line in ended.out.splitlines() if "evaluation: " in line} == {"seed 2"}
    assert _results(compared.folder) == before
    assert read_run(compared.folder / "seed_2").config.seed == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("tyni",), "no suite 'tyni'"),
        (("nothing.py:suite",), "no file 'nothing.py'"),
        (("tiny", "--seeds", 1), "seeds: expected 2 or more, got 1"),
        (("tiny", "--steps", 10), "steps: expected at least"),
        (("tiny", "--compare", "nonsense"), "invalid choice"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(arguments, words, tmp_path, call) -> None:
    ended = call("compare", *arguments, "--out", tmp_path / "new")
    assert ended.status in (1, 2) and words in ended.complaint
    assert not (tmp_path / "new").exists()


def test_other_settings_are_refused(toy, compared, call) -> None:
    ended = call(*toy, *FEW, "--steps", 1300, "--out", compared.folder)
    assert "holds a run with other settings (steps was 1200, is now 1300)" in ended.complaint
