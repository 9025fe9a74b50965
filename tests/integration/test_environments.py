"""A suite without a robot from start to report, and what is said of its missing bundle."""

from __future__ import annotations

import json
import shutil
import sys

import numpy as np
import pytest

from pgx_core import cli

OWN = """
from dataclasses import replace
from pgx_core.objectives.environment_suites import CARTPOLE_SUITE as whole

suite = replace(whole, environment=replace(whole.environment, episode_steps=30), objectives=whole.objectives[:4])
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory, options):
    """The folder of a short run of four tasks of `cartpole`, with short episodes."""
    folder = tmp_path_factory.mktemp("cartpole")
    (folder / "carts.py").write_text(OWN)
    changed = ("--steps", "2000", "--rollouts.samples", "100")  # the last of two equal options counts
    cli.main(["train", f"{folder / 'carts.py'}:suite", *options, *changed, "--out", str(folder / "run")])
    return folder / "run"


def test_it_runs_to_the_report(trained) -> None:
    page = (trained / "report" / "report.html").read_text()
    assert "Which objectives of cartpole belong together?" in page and "long_pole" in page
    with np.load(trained / "evaluation" / "groups_id.npz") as file:
        assert ((file["scores"] > 0) & (file["scores"] <= 1)).all() and np.isnan(file["successes"]).all()
    rows = [json.loads(line) for line in (trained / "meta" / "metrics.jsonl").read_text().splitlines()]
    assert 0 < rows[0]["score"] <= 1 and rows[0]["entropy"][0] == pytest.approx(np.log(2), abs=0.05)


def test_it_exports_networks_and_no_bundle(trained, call) -> None:
    note = json.loads((trained / "networks" / "networks.json").read_text())
    assert {entry["group"] for entry in note["objectives"]} == {"group_0", "group_1"}
    assert (trained / "networks" / "group_1.onnx").is_file() and not (trained / "bundle").exists()
    complaint = call("export", trained).complaint
    assert "'cartpole' has no robot, and so no bundle; its policies are in" in complaint


@pytest.mark.parametrize(
    ("suite", "package", "words"),
    [("metaworld_mt10_fixed", "envpool", "needs EnvPool"), ("lunarlander", "Box2D", "needs Gymnasium and Box2D")],
)
def test_a_missing_package_is_named_before_anything_is_written(
    suite, package, words, call, tmp_path, monkeypatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    ended = call("train", suite, "--out", tmp_path / "run")
    assert ended.status == 1 and words in ended.complaint and "pip install 'pgx-core[envs]'" in ended.complaint
    assert not (tmp_path / "run").exists()


def test_maml_adapts_to_the_unseen_tasks_and_goes_on_where_it_was(trained, call, tmp_path) -> None:
    command = ("adapt", trained, "--steps", 0, 2, "--worlds", 1)
    first = call(*command, "--json", tmp_path / "figures.json")
    assert first.status == 0
    assert len([line for line in first.out.splitlines() if line.startswith("| ")]) == 1 + 4
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert (figures["k_joint"], figures["k_groups"], len(figures["unseen"])) == (1, 2, 20)
    assert all(0 < score <= 1 for score in figures["score_joint"] + figures["score_cosine"])
    steps = {
        name: json.loads((trained / "adaptation" / name / "metrics.jsonl").read_text().splitlines()[-1])["steps"]
        for name in ("joint", "groups", "random")
    }
    assert steps["joint"] == steps["random"] >= 2000 > steps["groups"] + 400  # groups have paid for the rollouts
    assert call(*command).out == first.out
    assert "made with other settings" in call(*command, "--maml.inner-rate", 1).complaint
    other = shutil.copytree(trained, tmp_path / "run")
    (other / "affinity.npz").write_bytes((other / "affinity.npz").read_bytes() + b" ")
    assert "the run has changed since" in call("adapt", other, *command[2:]).complaint


def test_a_suite_that_holds_nothing_back_cannot_be_adapted_to(finished, call) -> None:
    assert (
        "expected a suite with held-out objectives, such as cartpole, got 'tiny'" in call("adapt", finished).complaint
    )
