"""The examples run as they stand, and print what they promise."""

from __future__ import annotations

import runpy
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from pgx_core.cli import main as pgx
from pgx_core.types import Transitions, load_record

EXAMPLES = Path(__file__).parents[2] / "examples"
Run = Callable[..., list[str]]


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    unchecked: Callable[[], AbstractContextManager[None]],
) -> Run:
    """Runs an example as a script and gives the lines it prints."""

    def call(name: str, *arguments: str | Path) -> list[str]:
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        with unchecked():
            runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out.splitlines()

    return call


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One run for all stages: later examples go on where earlier ones stopped."""
    return tmp_path_factory.mktemp("examples") / "run"


def test_objectives(run: Run) -> None:
    scores = {line.split()[0]: float(line.split()[-1]) for line in run("01_objectives.py")[1:]}
    assert scores["right"] > 0.5 > scores["weak"] > 0 > scores["left"]


def test_meta_policy(run: Run, tmp_path: Path) -> None:
    lines = run("02_meta_policy.py", "tiny", tmp_path)
    mean = next(float(line.split()[1]) for line in lines if line.split()[0] == "mean")
    assert mean < 0.3, "one blind policy cannot serve opposite objectives"


def test_gradient_features(run: Run, folder: Path) -> None:
    errors = [float(line.split()[-1].rstrip("%")) for line in run("03_gradient_features.py", folder)[1:]]
    assert len(errors) == 2 and errors[0] < errors[1] / 2, "the exact features lose less than the projection"


def test_affinity_and_groups(run: Run, folder: Path) -> None:
    assert run("04_affinity_and_groups.py", folder)[-1] == "groups: right_1 right_2 | left_1 left_2"


def test_train_export_and_serve(run: Run, folder: Path) -> None:
    served = [line.split(",")[0].split() for line in run("05_train_and_export.py", folder) if "is served by" in line]
    assert [(words[0], words[-1]) for words in served] == [
        ("right_1", "group_0"), ("right_2", "group_0"), ("left_1", "group_1"), ("left_2", "group_1")
    ]  # fmt: skip
    # In a fresh interpreter, since it says whether torch was loaded.
    command = [sys.executable, str(EXAMPLES / "06_serve.py"), str(folder / "bundle")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=EXAMPLES.parent)
    assert result.returncode == 0, result.stderr
    *chased, refusal, loaded = result.stdout.splitlines()
    assert len(chased) == 5
    for line in chased:
        wanted, got = (float(line.split(word)[1].split()[0]) for word in ("wanted", "got"))
        assert abs(got - wanted) < 0.4 * abs(wanted), line
    assert "not finite" in refusal and loaded == "loaded here: no torch"


def test_own_robot(tmp_path: Path) -> None:
    suite = f"{EXAMPLES / 'own_robot.py'}:suite"
    settings = ["--to", "rollouts", "--steps", "6000", "--rollouts.samples", "450"]
    pgx(["train", suite, "--out", str(tmp_path), *settings])
    transitions = load_record(Transitions, tmp_path / "transitions.npz")
    assert transitions.names == ("ahead", "ahead_fast", "back", "back_fast", "press_up")
    assert transitions.actions.shape == (5 * 450, 2)
    assert np.isfinite(transitions.observations).all()
    assert (transitions.observations.std(0)[:4] > 0.01).all(), "both arms move"


@pytest.mark.skipif(find_spec("rsl_rl") is None, reason="needs rsl_rl: pip install rsl-rl-lib")
def test_own_trainer(run: Run) -> None:
    lines = run("own_trainer_rsl_rl.py", "tiny", "8")
    assert lines[-1].startswith("groups: right_1 right_2 | left_1 left_2")
