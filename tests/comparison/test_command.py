"""`pgx compare` on toy runs: its outcome, mistakes in one line, and however it is killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pgx_core import cli
from pgx_core.run import read_run

ROOT = Path(__file__).parents[2]
SETTINGS = {
    "training.simulation.backend": "fake",
    "training.worlds": 8,
    "training.hidden": 8,
    "training.ppo.horizon": 10,
    "training.ppo.epochs": 1,
    "rollouts.samples": 200,
    "evaluation.episodes": 2,
    "grouping.clustering.k": 2,
    "grouping.features.dimensions": 20,
    "steps": 1200,
    "seeds": 2,
}
TOY = ("compare", "tiny", *(word for name, value in SETTINGS.items() for word in (f"--{name}", str(value))))
FEW = (*TOY, "--compare", "joint_id", "joint_wide_id")
RESULTS = ("partition.npz", "evaluation/joint_id.npz", "evaluation/joint_wide_id.npz", "evaluation/groups_id.npz")


def _results(folder: Path) -> dict[str, dict[str, bytes]]:
    found = {}
    for seed in (0, 1):
        for name in RESULTS:
            with np.load(folder / f"seed_{seed}" / name) as file:
                found[f"{seed} {name}"] = {key: file[key].tobytes() for key in file.files}
    return found


def _start(*arguments: object) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "pgx_core.cli", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TQDM_DISABLE": "1", "OMP_NUM_THREADS": "1"}
    pipe = subprocess.PIPE
    return subprocess.Popen(words, stdout=pipe, stderr=pipe, text=True, env=environment, start_new_session=True)


def _complaint(capfd: pytest.CaptureFixture[str], *arguments: object) -> str:
    with pytest.raises(SystemExit) as ended:
        cli.main([str(argument) for argument in arguments])
    assert ended.value.code in (1, 2)
    (line,) = [line for line in capfd.readouterr().err.splitlines() if line.strip()]
    return line


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished comparison of a few methods."""
    folder = tmp_path_factory.mktemp("compared") / "few"
    cli.main([*FEW, "--out", str(folder)])
    return folder


def test_the_table_the_figures_and_the_plots(compared, tmp_path, capfd) -> None:
    cli.main([*FEW, "--out", str(compared), "--json", str(tmp_path / "figures.json")])
    out = capfd.readouterr().out
    assert out.startswith("tiny: 1,200 environment steps for every method, 2 seeds")  # nothing is trained again
    assert len([line for line in out.splitlines() if line.startswith("|")]) == 2 + 3
    assert "Grouping" in out
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["seeds"] == [0, 1] and figures["k"] == [2, 2] and figures["steps"] == 1200
    assert figures["parameters_joint_wide_id"] == pytest.approx(figures["parameters_groups_id"], rel=0.1)
    assert figures["parameters_joint_wide_id"] > 1.5 * figures["parameters_joint_id"]
    for name in ("scores", "curves"):
        assert (compared / f"{name}.png").stat().st_size > 10_000


def test_the_wide_policy_is_trained_as_wide_as_it_says(compared) -> None:
    run = read_run(compared / "seed_0")
    population = run.population(run.trained("joint_wide_id"))
    assert population.n_policies == 1 and population.size.hidden > (8,)
    assert run.training_steps("joint_wide_id") == run.steps


def test_a_comparison_that_is_killed_goes_on_where_it_was(compared, tmp_path) -> None:
    process = _start(*FEW, "--out", tmp_path)
    assert process.stdout is not None
    for line in process.stdout:  # it is at work
        if "surrogate" in line:
            break
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (tmp_path / "seed_1" / RESULTS[-1]).exists(), "the kill came too late"
    assert (tmp_path / "seed_0" / "transitions.npz").exists()
    cli.main([*FEW, "--out", str(tmp_path)])
    assert _results(tmp_path) == _results(compared)


def test_more_seeds_are_added_later(compared, tmp_path, capfd) -> None:
    folder = shutil.copytree(compared, tmp_path / "more")
    cli.main([*FEW, "--seeds", "3", "--out", str(folder)])
    lines = capfd.readouterr().out.splitlines()
    assert {line.split(":")[0] for line in lines if "evaluation: " in line} == {"seed 2"}
    assert read_run(folder / "seed_2").config.seed == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("compare", "tyni"), "no suite 'tyni'"),
        (("compare", "tiny", "--seeds", 1), "seeds: expected 2 or more, got 1"),
        (("compare", "tiny", "--workers", 0), "workers: expected 1 or more, got 0"),
        (("compare", "tiny", "--steps", 10), "steps: expected more than"),
        (("compare", "tiny", "--compare", "nonsense"), "invalid choice"),
        (("compare", "nothing.py:suite"), "no file 'nothing.py'"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(arguments, words, tmp_path, capfd) -> None:
    assert words in _complaint(capfd, *arguments, "--out", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_other_settings_are_refused(compared, capfd) -> None:
    line = _complaint(capfd, *FEW, "--steps", 1300, "--out", compared)
    assert "holds a run with other settings (steps was 1200, is now 1300)" in line


def test_a_users_file_is_compared_too(tmp_path, capfd) -> None:
    (tmp_path / "mine.py").write_text("from pgx_core.objectives.suites import TINY as suite\n")
    cli.main([TOY[0], f"{tmp_path}/mine.py:suite", *FEW[2:], "--out", str(tmp_path / "runs")])
    assert "Grouping" in capfd.readouterr().out


def test_a_suite_of_environments_is_compared_too(tmp_path, capfd) -> None:
    few = ("--steps", 21_000, "--rollouts.samples", 1001, "--training.worlds", 40, "--compare", "joint_id")
    cli.main([str(word) for word in ("compare", "cartpole", *FEW[2:-3], *few, "--out", tmp_path)])
    assert "cartpole: 21,000 environment steps" in capfd.readouterr().out
