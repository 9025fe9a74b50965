"""`pgx validate` on finished, unfinished and changed runs, and however it is broken off."""

from __future__ import annotations

import errno
import json
import random
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from pgx_core.learning.trainer import Trainer
from pgx_core.validation import finetuning

SETTINGS = ("--steps", 600)
TIMED = ("spent", "costs", "gram_effort", "projection_effort")
ASKED_FOR = {
    "nmi", "nmi_projection", "ari", "spearman", "pearson", "taylor_error_1pct", "flops_ratio", "wall_ratio", "regret",
    "hessian_trace_groups", "hessian_trace_joint",
}  # fmt: skip


@dataclass(frozen=True)
class Validated:
    """A validated copy of a finished run, and how long that took."""

    folder: Path
    seconds: float


@pytest.fixture(scope="module", autouse=True)
def _two_batches() -> Iterator[None]:
    """Of the ten subsets: processes side by side share them, one alone takes one after the other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finetuning, "BATCH", 6)
        yield


@pytest.fixture(scope="module")
def validated(other, tmp_path_factory, fork) -> Validated:
    """Of the run whose seed is not 0: an estimate with other seeds than the run's would show."""
    folder = shutil.copytree(other.folder, tmp_path_factory.mktemp("validated") / "run")
    began = time.monotonic()
    assert fork("validate", folder, *SETTINGS).status == 0
    return Validated(folder, time.monotonic() - began)


@pytest.fixture
def run(validated) -> Path:
    return validated.folder


def _results(folder: Path) -> dict[str, dict[str, bytes]]:
    found = {}
    for path in sorted(folder.glob("*.npz")):
        if path.stem not in TIMED:
            with np.load(path) as file:
                found[path.stem] = {key: file[key].tobytes() for key in file.files}
    return found


def test_figures_for_a_read_only_place(run, tmp_path, fork, monkeypatch) -> None:
    monkeypatch.setattr("pgx_core.validation.stages.save_plots", lambda *results: None)  # they take seconds
    refused = (tmp_path, errno.EROFS)
    ended = fork("validate", run, *SETTINGS, "--json", tmp_path / "figures.json", refused=refused)
    assert ended.status == 1
    assert f"pgx validate: cannot write in '{tmp_path}': Read-only file system; choose another" in ended.complaint
    assert not list(tmp_path.iterdir())


def test_the_figures_and_the_table(run, tmp_path, call) -> None:
    ended = call("validate", run, *SETTINGS, "--json", tmp_path / "figures.json")
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.startswith("groups, estimated  ")  # no stage ran again
    found = json.loads((tmp_path / "figures.json").read_text())
    assert found.keys() > ASKED_FOR
    assert all(isinstance(found[name], int | float) for name in ASKED_FOR), found
    assert found["subsets"] == 10 and found["objectives"] == 4
    assert found["generalisation_groups"] > 0 and found["generalisation_joint"] > 0, "both began as the meta policy"
    assert found["steps_ratio"] == pytest.approx((10 * 600 + 24 * 4 * 50) / (4 * 200))
    assert -1 <= found["spearman"] <= 1 and 0 <= found["nmi"] <= 1
    for name in ("scores", "taylor", "sensitivity"):
        assert (run / "validation" / f"{name}.png").stat().st_size > 10_000


def test_the_estimate_is_the_one_of_the_run(run) -> None:
    with np.load(run / "scores.npz") as own, np.load(run / "validation" / "gram.npz") as again:
        for name in ("subsets", "values", "blocks"):
            np.testing.assert_array_equal(own[name], again[name])
    with np.load(run / "partition.npz") as own, np.load(run / "validation" / "groups.npz") as again:
        np.testing.assert_array_equal(own["labels"], again["gram"])


def test_a_validation_that_is_killed_again_and_again(validated, other, tmp_path, fork) -> None:
    folder, rng, kills = shutil.copytree(other.folder, tmp_path / "run"), random.Random(0), 0
    for moment in (0.4, 0.6):
        ended = fork("validate", folder, *SETTINGS, after=rng.uniform(0.6, 1.0) * moment * validated.seconds)
        assert ended.status in (0, -signal.SIGKILL), ended.err
        kills += ended.status != 0
    assert kills >= 1, "the moments came too late"
    assert fork("validate", folder, *SETTINGS).status == 0
    assert _results(folder / "validation") == _results(validated.folder / "validation")
    assert not list((folder / "validation").rglob(".*")), "drafts of the killed processes remain"


def test_processes_side_by_side_find_the_same(run, other, tmp_path, monkeypatch, call) -> None:
    monkeypatch.setattr("pgx_core.validation.stages.save_plots", lambda *results: None)  # they take seconds
    shared = shutil.copytree(other.folder, tmp_path / "shared")
    monkeypatch.delattr(Trainer, "iterate")  # in this process, which then cannot train: the jobs must have
    figures = tmp_path / "figures.json"
    assert call("validate", shared, *SETTINGS, "--workers", 2, "--json", figures).status == 0
    assert json.loads(figures.read_text())["wall_ratio"] is None, "they waited for each other"
    assert _results(run / "validation") == _results(shared / "validation")
    for folder in (run, shared):
        trained = {path.parent.name for path in (folder / "validation/finetuned").glob("*/checkpoint.pt")}
        assert trained == {"0", "6"}, "10 subsets in batches of 6 are two"


def test_other_settings_are_refused(run, call) -> None:
    complaint = call("validate", run, "--steps", 700).complaint
    assert "made with other settings" in complaint and "or remove the folder" in complaint


def test_a_run_that_has_changed_is_noticed(run, tmp_path, call) -> None:
    folder = shutil.copytree(run, tmp_path / "run")
    with (folder / "transitions.npz").open("ab") as file:
        file.write(b"more")
    assert "the run has changed since" in call("validate", folder, *SETTINGS).complaint


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--subsets", 3), "subsets: expected 8 or more, got 3"),
        (("--steps", 0), "steps: expected 1 or more, got 0"),
        (("--seed", -1), "seed: expected 0 to"),
    ],
)
def test_settings_out_of_range(options, words, finished, call) -> None:
    ended = call("validate", finished, *options)
    assert ended.status != 0 and words in ended.complaint
    assert not (finished / "validation").exists()


def test_what_is_no_finished_run(finished, tmp_path, call, options) -> None:
    assert "no run in" in call("validate", tmp_path / "nothing").complaint
    folder = tmp_path / "run"
    assert call("train", "tiny", *options, "--out", folder, "--to", "rollouts").status == 0
    complaint = call("validate", folder).complaint
    assert "has not finished its stage 'features': continue it with pgx train tiny" in complaint
