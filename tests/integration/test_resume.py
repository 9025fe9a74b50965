"""However a run is broken off, the same command ends in the same results, bit for bit."""

from __future__ import annotations

import json
import random
import shutil
import signal

import numpy as np
import pytest

from pgx_core import pipeline
from pgx_core.report.data import MethodScores
from pgx_core.run import read_run
from pgx_core.types import load_record

STAGES = ("meta", "rollouts", "features", "surrogate", "affinity", "clustering", "groups", "baselines", "evaluation")


@pytest.fixture(scope="module")
def expected(finished, results):
    return {name: value for name, value in results(finished).items() if not name.startswith("report")}


@pytest.mark.parametrize(("kill", "status"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_a_run_that_is_killed_again_and_again(kill, status, tmp_path, options, fork, results, expected, other) -> None:
    rng, command = random.Random(int(kill)), ("train", "tiny", *options, "--to", "export", "--out", tmp_path / "run")
    kills = 0
    for moment in (0.05, 0.1, 0.2, 0.4, 0.7):  # growing, so that late stages are reached too
        ended = fork(*command, after=rng.uniform(0.5, 1.0) * moment * other.seconds, kill=kill)
        assert ended.status in (0, status), ended.err
        kills += ended.status == status
        assert "Traceback" not in ended.err
        if ended.status == 130:
            assert ended.complaint.startswith("pgx train: interrupted")
    assert kills >= 2, "the moments came too late"
    assert fork(*command).status == 0
    assert results(tmp_path / "run") == expected
    assert not [path for path in (tmp_path / "run").rglob(".*")], "drafts of the killed processes remain"


@pytest.mark.parametrize("stage", ["rollouts", "clustering", "groups"])
def test_a_stage_and_all_after_it_run_again(stage, tmp_path, options, call, finished, results, expected) -> None:
    folder = shutil.copytree(finished, tmp_path / "run")
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    ended = call("train", "tiny", *options, "--out", folder, "--from", stage, "--to", "evaluation")
    assert ended.status == 0
    assert [line.split(":")[0] for line in ended.out.splitlines()] == list(STAGES[STAGES.index(stage) :])
    found = results(folder)
    assert found == {name: value for name, value in expected.items() if not name.startswith("bundle")}
    late = {"rollouts": "transitions.npz", "clustering": "partition.npz", "groups": "groups/checkpoint.pt"}[stage]
    early = {"rollouts": "meta/checkpoint.pt", "clustering": "affinity.npz", "groups": "partition.npz"}[stage]
    assert (folder / late).stat().st_mtime_ns > before[folder / late]
    assert (folder / early).stat().st_mtime_ns == before[folder / early]
    assert json.loads((folder / "stages.json").read_text()).keys() == set(STAGES)


def test_a_finished_run_is_left_alone(tmp_path, options, call, finished, untouched) -> None:
    before = untouched(finished)
    ended = call("train", "tiny", *options, "--out", finished)
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.startswith("partition (2 groups): ")
    assert untouched(finished) == before


def test_other_seeds_have_other_results(other, results, expected) -> None:
    found = results(other.folder)
    for name in ("meta/checkpoint.pt", "transitions.npz", "features.npz", "scores.npz", "bundle/group_0.onnx"):
        assert found[name] != expected[name], name


def test_the_seed_also_decides_what_the_groups_train_on(tmp_path, options, call, finished, results, expected) -> None:
    folder = shutil.copytree(finished, tmp_path / "run")
    shutil.rmtree(folder / "groups")
    settings = json.loads((folder / "run.json").read_text())
    settings["config"]["seed"] = 5  # everything before is that of seed 0
    (folder / "run.json").write_text(json.dumps(settings))
    assert call("train", "tiny", *options, "--seed", 5, "--to", "groups", "--out", folder).status == 0
    assert results(folder)["groups/checkpoint.pt"] != expected["groups/checkpoint.pt"]


def test_the_cost_of_a_resumed_training_counts_every_process(tmp_path, options, call, finished) -> None:
    folder = shutil.copytree(finished, tmp_path / "run")
    path = folder / "stages.json"
    costs = json.loads(path.read_text())
    path.write_text(json.dumps({name: cost for name, cost in costs.items() if name != "groups"}))
    assert call("train", "tiny", *options, "--out", folder, "--to", "groups").status == 0
    assert json.loads(path.read_text())["groups"]["seconds"] > 0.5 * costs["groups"]["seconds"]
    assert json.loads(path.read_text())["groups"]["steps"] == costs["groups"]["steps"]


@pytest.mark.parametrize("scores", ["surrogate", "rollout"])
def test_both_ways_to_score_subsets(scores, tmp_path, options, call) -> None:
    folder = tmp_path / "run"
    more = ("--subset-scores", scores, "--grouping.clustering.k", "auto", "--to", "evaluation", "--out", folder)
    assert call("train", "tiny", *options, "--steps", 6000, *more).status == 0
    with np.load(folder / "scores.npz") as file:
        subsets, values, blocks = file["subsets"], file["values"], file["blocks"]
    assert (np.isfinite(values) == subsets).all()
    np.testing.assert_allclose(blocks.mean(-1)[subsets], values[subsets])
    run, iteration = read_run(folder), 8 * 10
    rolled_out = int(subsets.sum()) * 2 * run.suite.episode_steps if scores == "rollout" else 0
    assert run.costs()["surrogate"].steps == rolled_out
    spent = [load_record(MethodScores, folder / f"evaluation/{method}.npz").steps for method in run.methods]
    assert all(6000 <= steps < 6000 + 3 * iteration for steps in spent), "at equal steps, whatever they are spent on"
    own = json.loads((folder / "groups/metrics.jsonl").read_text().splitlines()[-1])["steps"]
    assert own < 6000 - run.meta_steps - run.rollout_steps - rolled_out + 2 * iteration


@pytest.mark.parametrize("done", range(len(pipeline.STAGES)))
def test_who_is_killed_while_going_back_keeps_no_result_of_what_is_gone(done, tmp_path, finished, monkeypatch) -> None:
    run = read_run(shutil.copytree(finished, tmp_path / "run"))
    forget, forgotten = pipeline.forget, []

    def killed_in_between(run, names):
        if len(forgotten) == done:
            raise KeyboardInterrupt
        forgotten.append(names)
        forget(run, names)

    monkeypatch.setattr(pipeline, "forget", killed_in_between)
    with pytest.raises(KeyboardInterrupt):
        pipeline.train(run, start="meta")
    assert not run.costs()
    left = [all(run.path(name).exists() for name in (*s.results(run), *s.trainings(run))) for s in pipeline.STAGES]
    assert left == [True] * (len(left) - done) + [False] * done
