"""Everything that can be wrong with disks, folders and suites: one line, no traceback, no broken file."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from pgx_core.files import locked
from pgx_core.report.pictures import Picture
from pgx_core.serving import verify_bundle

RESULTS = {
    "meta": ("meta",),
    "rollouts": ("transitions.npz",),
    "features": ("features.npz", "basis.npz"),
    "surrogate": ("solution.npz", "scores.npz", "taylor.npz"),
    "affinity": ("affinity.npz",),
    "clustering": ("partition.npz", "clustering.npz"),
    "groups": ("groups",),
    "baselines": ("baselines",),
    "evaluation": ("evaluation",),
    "export": ("bundle",),
    "report": ("report",),
}


@pytest.fixture
def copy(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


def unfinish(folder: Path, first: str) -> None:
    """Take a run back to before a stage."""
    names = list(RESULTS)
    late = names[names.index(first) :]
    costs = json.loads((folder / "stages.json").read_text())
    (folder / "stages.json").write_text(json.dumps({name: cost for name, cost in costs.items() if name not in late}))
    for name in (result for stage in late for result in RESULTS[stage]):
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()


# The larger limits let small files pass: event files before the checkpoint, the first pictures before the page.
@pytest.mark.parametrize(
    ("stage", "limit", "culprit"),
    [
        ("meta", 20, "tfevents"),
        ("meta", 150, "tfevents"),
        ("meta", 9000, "checkpoint.pt"),
        ("rollouts", 100, "transitions.npz"),
        ("features", 100, "basis.npz"),
        ("surrogate", 100, "taylor.npz"),
        ("affinity", 100, "affinity.npz"),
        ("clustering", 100, "clustering.npz"),
        ("groups", 9000, "checkpoint.pt"),
        ("baselines", 9000, "checkpoint.pt"),
        ("evaluation", 100, "every_policy.npz"),
        ("export", 1000, "group_0.onnx"),
        ("report", 20_000, ".png"),
        ("report", 150_000, "report.html"),
    ],
)
def test_a_full_disk(stage, limit, culprit, copy, finished, options, fork, results) -> None:
    unfinish(copy, stage)
    done = results(copy)
    ended = fork("train", "tiny", *options, "--to", stage, "--out", copy, file_limit=limit)
    assert ended.status == 1
    assert culprit in ended.complaint and "File too large; free some space" in ended.complaint
    assert {name: value for name, value in results(copy).items() if name in done} == done
    assert results(copy).keys() == done.keys(), "a result of the stage that failed"
    assert not list(copy.rglob(".*"))
    if stage not in ("meta", "rollouts", "groups", "evaluation"):
        return  # the others write as these do
    assert fork("train", "tiny", *options, "--to", stage, "--out", copy).status == 0
    expected = results(finished)
    assert all(value == expected[name] for name, value in results(copy).items())


@pytest.fixture
def quick(finished, monkeypatch) -> None:
    """One small picture is drawn, and no network translated anew: both take seconds."""
    models = {
        group.name: (finished / "bundle" / group.file).read_bytes()
        for group in verify_bundle(finished / "bundle").groups
    }
    monkeypatch.setattr("pgx_core.export.onnx.to_onnx", lambda *described: models[described[-1]["pgx_group"]])
    monkeypatch.setattr("pgx_core.report.page.draw_pictures", lambda data: (Picture("affinity", b"png", "", ""),))


# What does not fit: a draft's folder, a file's content, or what the system has not yet brought to the disk.
@pytest.mark.parametrize(("place", "name"), [(tempfile, "mkdtemp"), (Path, "write_bytes"), (os, "fsync")])
@pytest.mark.parametrize(
    ("command", "successes"), [("export", 0), ("export", 1), ("export", 2), ("report", 0), ("report", 1)]
)
@pytest.mark.usefixtures("quick")
def test_a_disk_that_fills_up(command, successes, place, name, copy, call, untouched, monkeypatch) -> None:
    before, real, left = untouched(copy), getattr(place, name), [None] * successes

    def fail(*arguments, **named):
        if not left:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        left.pop()
        return real(*arguments, **named)

    monkeypatch.setattr(place, name, fail)
    ended = call(command, copy)
    assert ended.status == 1
    assert f"'{copy}" in ended.complaint and "No space left on device; " in ended.complaint
    after = untouched(copy)
    assert after.keys() == before.keys() and not list(copy.rglob(".*"))
    assert [path for path in after if after[path] != before[path]] == (
        [str(copy / "report" / "affinity.png")] if (command, successes) == ("report", 1) else []
    )


@pytest.mark.parametrize(
    ("command", "first", "number"),
    [
        ("train", "meta", errno.EROFS),
        ("train", "meta", errno.EACCES),
        ("train", "rollouts", errno.EROFS),
        ("train", "export", errno.EROFS),
        ("train --from evaluation", None, errno.EACCES),
        ("export", None, errno.EROFS),
        ("report", None, errno.EACCES),
        ("validate", None, errno.EROFS),
    ],
)
@pytest.mark.usefixtures("quick")
def test_a_read_only_run(command, first, number, copy, options, fork, untouched) -> None:
    if first:
        unfinish(copy, first)
    before = untouched(copy), sorted(copy.rglob("*"))
    name, *more = command.split()
    ended = fork(name, *(("tiny", *options, *more, "--out") if name == "train" else ()), copy, refused=(copy, number))
    assert ended.status == 1
    assert ended.complaint.startswith(f"pgx {name}: cannot write ")
    assert f"'{copy}" in ended.complaint and os.strerror(number) in ended.complaint
    assert (untouched(copy), sorted(copy.rglob("*"))) == before


@pytest.mark.parametrize("command", ["train", "export"])
def test_a_read_only_place_for_what_is_new(command, finished, tmp_path, options, fork) -> None:
    words = ("tiny", *options) if command == "train" else (finished,)
    ended = fork(command, *words, "--out", tmp_path / "new", refused=(tmp_path, errno.EROFS))
    assert ended.status == 1
    assert f"'{tmp_path}" in ended.complaint and "Read-only file system; choose another output" in ended.complaint
    assert not list(tmp_path.iterdir())


def test_a_finished_run_can_be_looked_at_where_it_is_read_only(finished, options, fork) -> None:
    ended = fork("train", "tiny", *options, "--out", finished, refused=(finished, errno.EROFS))
    assert (ended.status, ended.err.strip()) == (0, "")
    assert "partition (2 groups)" in ended.out


def test_a_folder_that_cannot_be_made(tmp_path, options, call) -> None:
    (tmp_path / "file").write_text("")
    ended = call("train", "tiny", *options, "--out", tmp_path / "file" / "run")
    assert ended.status == 1
    assert "Not a directory; choose another output folder" in ended.complaint


def test_other_settings_are_refused(options, call, finished, untouched) -> None:
    before = untouched(finished)
    ended = call("train", "tiny", *options, "--training.ppo.epochs", 2, "--out", finished)
    assert ended.status == 1
    assert "other settings (training.ppo.epochs was 1, is now 2); choose another --out" in ended.complaint
    assert untouched(finished) == before


@pytest.mark.parametrize(
    ("name", "reader"),
    [
        ("meta/checkpoint.pt", "rollouts"),
        ("transitions.npz", "features"),
        ("features.npz", "surrogate"),
        ("scores.npz", "affinity"),
        ("affinity.npz", "clustering"),
        ("partition.npz", "groups"),
        ("groups/checkpoint.pt", "evaluation"),
        ("evaluation/joint.npz", "report"),
    ],
)
def test_a_truncated_result(name, reader, copy, finished, options, call, results) -> None:
    unfinish(copy, reader)
    content = (copy / name).read_bytes()
    (copy / name).write_bytes(content[: len(content) // 2])
    command = ("train", "tiny", *options, "--out", copy, "--to", reader)
    ended = call(*command)
    assert ended.status == 1
    assert f"'{copy / name}' cannot be read" in ended.complaint and "delete it" in ended.complaint
    (copy / name).unlink()  # what the message asks for
    if reader not in ("rollouts", "surrogate", "evaluation"):
        return  # the others run again as these do
    assert call(*command).status == 0
    expected = results(finished)
    assert all(value == expected[name] for name, value in results(copy).items())


def test_a_truncated_checkpoint_in_mid_training(copy, options, call) -> None:
    unfinish(copy, "groups")
    (copy / "groups").mkdir()
    (copy / "groups" / "checkpoint.pt").write_bytes(b"PK")
    ended = call("train", "tiny", *options, "--out", copy, "--to", "groups")
    assert ended.status == 1 and "groups/checkpoint.pt' cannot be read: delete it" in ended.complaint


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"suite": 1}', b"\xff\xfe", b'{"suite": "tiny", "x": 1}'])
@pytest.mark.parametrize("command", ["train", "report"])
def test_damaged_settings(command, content, copy, options, call) -> None:
    (copy / "run.json").write_bytes(content)
    more = ("tiny", *options, "--out", copy) if command == "train" else (copy,)
    ended = call(command, *more)
    assert ended.status == 1
    assert f"cannot read '{copy / 'run.json'}'" in ended.complaint and "choose another --out" in ended.complaint


@pytest.mark.parametrize("content", [b"", b"[]", b'{"meta": 3}', b'{"meta": {"seconds": "x", "steps": 1}}', b"\xff"])
def test_damaged_list_of_finished_stages(content, copy, options, call) -> None:
    (copy / "stages.json").write_bytes(content)
    ended = call("train", "tiny", *options, "--out", copy)
    assert ended.status == 1
    assert "stages.json" in ended.complaint and "delete it" in ended.complaint


def test_training_that_diverges(tmp_path, options, call) -> None:
    ended = call("train", "tiny", *options, "--training.ppo.learning-rate", "1e30", "--out", tmp_path / "run")
    assert ended.status == 1
    assert "meta: expected finite network weights" in ended.complaint and "learning-rate" in ended.complaint
    assert not (tmp_path / "run" / "meta" / "checkpoint.pt").exists()


SUITE = """
import torch
from dataclasses import replace
from pgx_core.objectives.objective import Objective, Reward
from pgx_core.objectives.suites import SLIDER, TINY

def push(state, command):
    {body}

suite = replace(TINY, objectives=tuple(replace(o, rewards=(Reward(push),)) for o in TINY.objectives))
"""

TRADE_OFF = """
from dataclasses import replace
from pgx_core.objectives.suites import TINY, slide

def price(state, command):
    {body}

suite = replace(TINY, trade_off=(slide, price))
"""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def broken(:\n    pass", ("line 1", "SyntaxError")),
        ("\n\nraise ValueError('one\\ntwo')", ("line 3", "ValueError: one two")),
        ("import no_such_module", ("line 1", "no_such_module")),
        ("other = 3", ("variable 'suite'", "nothing of that name")),
        (SUITE.format(body="return state.qvel"), ("right_1", "'push'", "(2,)", "(2, 1)")),
        (SUITE.format(body="return 0.0"), ("right_1", "'push'", "float")),
        (SUITE.format(body="return torch.zeros(1)"), ("right_1", "'push'", "(1,)")),
        (SUITE.format(body="return state.qvel[:, 0] / 0"), ("right_1", "'push' returned", "expected a finite number")),
        (SUITE.format(body="return state.sensor('gyro')[:, 0]"), ("right_1", "'push'", "no sensor 'gyro'")),
        (SUITE.format(body="pass").replace("SLIDER, TINY", "TINY") + "1/0", ("line 11", "ZeroDivisionError")),
        (
            "from dataclasses import replace\nfrom pathlib import Path\nfrom pgx_core.objectives.suites import *\n"
            "suite = replace(TINY, robot=replace(SLIDER, mjcf=Path('nowhere.xml')))",
            ("slider", "nowhere.xml"),
        ),
        (TRADE_OFF.format(body="return state.qvel"), ("right_1", "'price'", "(2,)", "(2, 1)")),
        (TRADE_OFF.format(body="return state.time / 0"), ("right_1", "'price' returned inf")),
        (
            TRADE_OFF.format(body="return command['price'] + state.time"),
            ("right_1", "'price' failed: KeyError: 'price'"),
        ),
        # What no bundle may say.
        (
            "from dataclasses import replace\nfrom pgx_core.objectives.suites import *\n"
            "suite = replace(TINY, robot=replace(SLIDER, velocity_limit=0.0))",
            ("slider", "expected velocity_limit above 0"),
        ),
    ],
)
def test_a_suite_with_a_mistake_leaves_no_folder(text, words, tmp_path, options, call) -> None:
    (tmp_path / "mine.py").write_text(text)
    ended = call("train", f"{tmp_path / 'mine.py'}:suite", *options, "--out", tmp_path / "run")
    assert ended.status == 1
    assert all(word in ended.complaint for word in words), ended.complaint
    assert not (tmp_path / "run").exists()


def test_a_reward_that_fails_later(tmp_path, options, call) -> None:
    body = "return state.qvel[:, 0] / (state.time < 1.0)"
    (tmp_path / "mine.py").write_text(SUITE.format(body=body))
    ended = call("train", f"{tmp_path / 'mine.py'}:suite", *options, "--out", tmp_path / "run")
    assert ended.status == 1 and "'push' returned inf; expected a finite" in ended.complaint.replace("-inf", "inf")


def test_a_run_that_another_process_works_on_is_left_alone(tmp_path, options, call) -> None:
    (tmp_path / "mine.py").write_text(SUITE.format(body="return state.qvel[:, 0].clip(-1, 1)"))
    folder = tmp_path / "run"
    train = ("train", f"{tmp_path / 'mine.py'}:suite", *options, "--out", folder)
    assert call(*train, "--to", "meta").status == 0
    draft = folder / ".meta.abcd1234"
    draft.mkdir()
    with locked(folder):
        for command in ((*train, "--to", "rollouts"), ("report", folder), ("export", folder)):
            ended = call(*command)
            assert ended.status == 1 and f"another pgx works in '{folder}'" in ended.complaint
    assert draft.exists() and not (folder / "transitions.npz").exists()
    assert call(*train, "--to", "rollouts").status == 0
    assert not draft.exists()


@pytest.mark.parametrize("command", ["train", "report", "export"])
def test_a_suite_that_changed_since_the_run_began(command, tmp_path, options, call) -> None:
    path, folder = tmp_path / "mine.py", tmp_path / "run"
    path.write_text(SUITE.format(body="return state.qvel[:, 0].clip(-1, 1)"))
    train = ("train", f"{path}:suite", *options, "--out", folder)
    assert call(*train, "--to", "meta").status == 0
    path.write_text(path.read_text() + "\n# another file now\n")
    ended = call(*train) if command == "train" else call(command, folder)
    assert ended.status == 1
    assert (
        "the suite's file or its robot's MJCF has changed since this run began; choose another --out" in ended.complaint
    )
