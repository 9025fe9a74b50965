"""`pgx doctor` as a stranger meets it: real processes, with packages hidden or broken where a test wants it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pgx_core.commands.doctor import table
from pgx_core.doctor.examine import Examination, Finding, _importable, _probe, examine
from pgx_core.doctor.parts import PARTS

ROOT = Path(__file__).parents[1]
HIDING = """\
import os, sys
class Hiding:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in os.environ["HIDDEN"].split():
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)
sys.meta_path.insert(0, Hiding())
"""
ON_A_ROBOT = "torch mujoco onnx mujoco_warp warp isaacgym isaaclab mjlab envpool ray jaxtyping scipy sklearn"


def doctor(folder: Path, hidden: str, *arguments: str, **modules: str) -> subprocess.CompletedProcess[str]:
    """`pgx doctor` where some packages are not installed and others are replaced."""
    for name, text in {"sitecustomize": HIDING, **modules}.items():
        (folder / f"{name}.py").write_text(text)
    environment = {**os.environ, "HIDDEN": hidden, "PYTHONPATH": os.pathsep.join((str(folder), str(ROOT)))}
    return subprocess.run(
        [sys.executable, "-m", "pgx_core.cli", "doctor", *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def row(text: str, name: str) -> str:
    """The row of one part or backend, its lines joined."""
    lines = text.splitlines()
    begin = next(i for i, line in enumerate(lines) if line.startswith(f"  {name} "))
    more = [line for line in lines[begin + 1 :]]
    end = next((i for i, line in enumerate(more) if not line.startswith(" " * 20)), len(more))
    return " ".join(" ".join(lines[begin : begin + 1 + end]).split())


def test_a_machine_with_only_what_serves(tmp_path):
    ended = doctor(tmp_path, ON_A_ROBOT, "--json", "facts.json")
    assert (ended.returncode, ended.stderr) == (1, "")
    assert all(len(line) <= 100 for line in ended.stdout.splitlines())
    pip = "pip install -c constraints.txt"
    assert row(ended.stdout, "torch") == f'torch no for training: {pip} "pgx-core[train,export]"'
    assert row(ended.stdout, "mujoco_warp") == f'mujoco_warp no for physics on a GPU: {pip} "pgx-core[warp]"'
    assert "CPU" in row(ended.stdout, "onnxruntime")
    *_, training, note, serving = ended.stdout.splitlines()
    assert " ".join(training.split()) == f'training no {pip} "pgx-core[train,export]"'  # once, for all that lacks
    assert "in the clone of pgx" in note
    assert "No module named" not in ended.stdout
    assert serving.split() == ["serving", "yes"]
    facts = json.loads((tmp_path / "facts.json").read_text())
    assert (facts["trains"], facts["serves"]) == (False, True)
    assert {part["name"] for part in facts["parts"]} == {part.name for part in PARTS}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import os; os.abort()", "crashes with signal 6"),
        ("import time; time.sleep(60)", "hangs: no answer within 3 s"),
        ("raise ImportError('libcudart.so.13: cannot open\\nshared object')", "libcudart.so.13: cannot open shared"),
        ("print('a banner'); raise ValueError", ", ValueError"),
    ],
)
def test_a_package_that_breaks_is_one_row(tmp_path, text, words):
    text = "import sys\nif 'pgx_core.doctor.probes' in sys.orig_argv: exec(" + repr(text) + ")"
    arguments = ("--time-limit", "3") if "sleep" in text else ()
    ended = doctor(tmp_path, ON_A_ROBOT, *arguments, onnxruntime=text)
    assert ended.returncode == 1
    assert words in row(ended.stdout, "onnxruntime").replace("1.32.0, ", "") or words in row(
        ended.stdout, "onnxruntime"
    )
    assert row(ended.stdout, "serving").startswith('serving no try pip install -c constraints.txt "pgx-core[serve]"')
    assert "Traceback" not in ended.stdout + ended.stderr and "a banner" not in ended.stdout


def test_a_folder_of_the_same_name_is_no_package(tmp_path, monkeypatch):
    (tmp_path / "mjlab_runs").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert not _importable("mjlab_runs") and _importable("json")


def test_a_backend_is_tried_by_stepping_it():
    works, line = _probe("step_mujoco", 250.0)
    assert works and line.startswith("4 worlds of 'tiny' stepped 5 times on cpu")


def test_nothing_is_found_out_by_guessing(monkeypatch):
    """All parts there, but the one backend that training needs does not step."""
    tried = []

    def probe(name: str, time_limit: float) -> tuple[bool, str]:
        tried.append(name)
        return name != "step_mujoco", "a line"

    monkeypatch.setattr("pgx_core.doctor.examine._probe", probe)
    monkeypatch.setattr("pgx_core.doctor.examine._importable", lambda module: True)
    found = examine()
    assert {f"step_{backend.name}" for backend in found.backends} <= set(tried)
    assert found.serves and not found.trains


@pytest.mark.parametrize("needed", ["train", "serve"])
def test_the_verdict_names_what_to_do(needed):
    parts = (Finding("good", True, "1.0", needed=needed), Finding("part", False, "for it", "do this", needed))
    found = Examination(parts, (Finding("mujoco", True, "steps"),))
    assert "no   do this" in "\n".join(table(found))
    assert (found.trains, found.serves) == (needed != "train", needed != "serve")
