"""The examples run as they stand, each in a fresh interpreter, and print what they promise."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from pgx_core.types import Transitions, load_record

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(name: str, *arguments: str | Path) -> str:
    """What an example prints."""
    command = [sys.executable, str(EXAMPLES / name), *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=280, cwd=EXAMPLES.parent)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One run for all stages: later examples go on where earlier ones stopped."""
    return tmp_path_factory.mktemp("examples") / "run"


def test_objectives() -> None:
    scores = {line.split()[0]: float(line.split()[-1]) for line in run("01_objectives.py").splitlines()[1:]}
    assert scores["right"] > 0.5 > scores["weak"] > 0 > scores["left"]


def test_meta_policy(tmp_path: Path) -> None:
    out = run("02_meta_policy.py", "tiny", tmp_path)
    mean = next(float(line.split()[1]) for line in out.splitlines() if line.split()[0] == "mean")
    assert mean < 0.3, "one blind policy cannot serve opposite objectives"


def test_gradient_features(folder: Path) -> None:
    out = run("03_gradient_features.py", folder)
    gram, projection = (float(line.split()[-1].rstrip("%")) for line in out.splitlines()[1:])
    assert gram < projection / 2


def test_affinity_and_groups(folder: Path) -> None:
    out = run("04_affinity_and_groups.py", folder)
    assert out.splitlines()[-1] == "groups: right_1 right_2 | left_1 left_2"


def test_train_export_and_serve(folder: Path) -> None:
    out = run("05_train_and_export.py", folder)
    assert "right_1      is served by group_0" in out and "left_2       is served by group_1" in out
    bundle = folder / "bundle"
    *chased, refusal, loaded = run("06_serve.py", bundle).splitlines()
    for line in chased:
        wanted, got = (float(part.split()[0]) for part in (line.split("wanted")[1], line.split("got")[1]))
        assert abs(got - wanted) < 0.5 * abs(wanted), line
    assert "is not finite" in refusal and loaded == "loaded here: no torch"


def test_own_robot(tmp_path: Path) -> None:
    command = ["-m", "pgx_core.cli", "train", "examples/own_robot.py:suite", "--out", str(tmp_path), "--to", "rollouts"]
    settings = ["--steps", "6000", "--rollouts.samples", "150"]
    result = subprocess.run([sys.executable, *command, *settings], capture_output=True, text=True, cwd=EXAMPLES.parent)
    assert result.returncode == 0, result.stderr
    transitions = load_record(Transitions, tmp_path / "transitions.npz")
    assert transitions.names == ("ahead", "ahead_fast", "back", "back_fast", "press_up")
    assert transitions.actions.shape == (5 * 150, 2)
    assert np.isfinite(transitions.observations).all() and (transitions.observations.std(0)[:4] > 0).all()


@pytest.mark.skipif(find_spec("rsl_rl") is None, reason="needs rsl_rl: pip install rsl-rl-lib")
def test_own_trainer() -> None:
    out = run("own_trainer_rsl_rl.py", "tiny", "8")
    assert "groups: right_1 right_2 | left_1 left_2" in out
