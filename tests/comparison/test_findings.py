"""The sentence, the table and the figures, from scores that are known."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from pgx_core.comparison.findings import Findings, figures_json, find, sentence, table
from pgx_core.comparison.plots import scores_figure
from pgx_core.objectives.suites import TINY
from pgx_core.report.data import MethodScores
from pgx_core.run import Run, RunConfig
from pgx_core.types import Partition, load_record, save_record

LEVELS = {"joint": 0.1, "joint_id": 0.6, "joint_wide_id": 0.65, "random_id": 0.5, "groups_id": 0.8}
NAN = float("nan")


@pytest.fixture
def compared(tmp_path):
    """Runs whose methods score as `levels` say, with a little noise, in four seeds."""

    def make(levels=LEVELS, success=NAN, k=2, conditioned=True, seeds=4) -> tuple[Run, ...]:
        config = RunConfig(steps=1000, compare=tuple(levels), groups_conditioned=conditioned)
        suite = replace(TINY, name="toy")
        runs = []
        for seed in range(seeds):
            rng = np.random.default_rng(seed)
            run = Run(tmp_path / f"seed_{seed}", "toy", suite, replace(config, seed=seed))
            labels = np.arange(4) % k
            save_record(run.path("partition.npz"), Partition(labels, suite.names, 1.0, 1.0, "sdp"))
            for method, level in levels.items():
                scores = level + rng.normal(0.0, 0.01, 4)
                errors, successes = np.full(4, 0.01), np.full(4, success)
                measured = MethodScores(method, labels, scores, errors, successes, 1000, 66)
                save_record(run.path(f"evaluation/{method}.npz"), measured)
            runs.append(run)
        return tuple(runs)

    return make


def test_a_gain_is_found_against_the_best_single_policy(compared) -> None:
    found = find(compared())
    assert found.best_single == "joint_wide_id"
    assert found.gain.low > 0.1 and found.gain.high < 0.2
    assert found.row("groups_id").beats.value == 1.0 and found.row("random_id").beats.value == 0.0
    assert found.row("joint_wide_id").beats is None
    said = sentence(found)
    assert said.startswith("Grouping pays here: at 1k environment steps each and 4 seeds, groups + objective id")
    assert "one wide policy" in said and "probability 1.00 (1.00 to 1.00)" in said and said.count(". ") == 0


@pytest.mark.parametrize(
    ("level", "words"), [(0.4, "Grouping costs score here"), (0.65, "Grouping does not show a gain here")]
)
def test_a_loss_and_a_draw(level, words, compared) -> None:
    assert sentence(find(compared(LEVELS | {"groups_id": level}))).startswith(words)


def test_three_seeds_give_figures_but_no_verdict(compared) -> None:
    found = find(compared(seeds=3))
    assert found.gain.low > 0.1
    assert sentence(found).startswith("Fewer than 4 seeds cannot say whether grouping pays: at 1k")


def test_without_a_single_policy_nothing_is_claimed(compared) -> None:
    found = find(compared({"random_id": 0.5, "groups_id": 0.8}))
    assert found.gain is None and sentence(found).startswith("This comparison cannot say")
    assert json.loads(figures_json(found))["best_single"] is None


def test_of_policies_whose_middle_half_is_perfect_the_rest_decides(compared) -> None:
    runs = compared()
    for run in runs:
        for method, worst in (("joint", 0.0), ("joint_id", 0.5), ("joint_wide_id", 0.2), ("groups_id", 0.4)):
            path = run.path(f"evaluation/{method}.npz")
            save_record(path, replace(load_record(MethodScores, path), scores=np.array([worst, 1.0, 1.0, 1.0])))
    assert find(runs).best_single == "joint_id"


def test_blind_groups_are_compared_with_a_blind_policy(compared) -> None:
    found = find(compared({"joint": 0.1, "joint_id": 0.9, "groups": 0.5}, conditioned=False))
    assert (found.served, found.best_single) == ("groups", "joint")


def test_a_gain_that_one_seed_alone_carries_is_not_sure(compared) -> None:
    runs = compared(LEVELS | {"groups_id": 0.64})
    for run, shift in zip(runs, (0.0, 0.0, 0.0, 0.3), strict=True):
        path = run.path("evaluation/groups_id.npz")
        measured = load_record(MethodScores, path)
        save_record(path, replace(measured, scores=measured.scores + shift))
    found = find(runs)
    assert found.row("groups_id").score.low > found.row("joint_wide_id").score.value - 0.02
    assert found.gain.low < 0.0 < found.gain.high
    assert sentence(found).startswith("Grouping does not show a gain here")


def test_one_group_is_not_sold_as_several(compared) -> None:
    assert sentence(find(compared(k=1))).endswith("In 4 of 4 seeds all objectives formed one group.")


@pytest.mark.parametrize("success", [NAN, 0.75])
def test_success_stands_in_the_table_where_it_is_known(success, compared) -> None:
    runs = compared(success=success)
    found = find(runs)
    lines = [line for line in table(found).splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len(LEVELS)
    assert len({line.count("|") for line in lines}) == 1
    assert ("success" in lines[0]) == (success == 0.75)
    figures = json.loads(figures_json(found))
    assert ("success_groups_id" in figures) == (success == 0.75)
    assert figures["score_groups_id"] == pytest.approx(0.8, abs=0.02)
    assert len(figures["score_groups_id_interval"]) == 2
    measured = [load_record(MethodScores, run.path("evaluation/groups_id.npz")) for run in runs]
    assert figures["scores_groups_id"] == [each.scores.round(4).tolist() for each in measured]


def test_the_picture_has_a_mark_and_an_interval_for_every_method(compared) -> None:
    found: Findings = find(compared())
    left, right = scores_figure(found).axes
    assert (len(left.containers), len(right.containers)) == (5, 4)
    for place, (row, bars) in enumerate(zip(found.rows, left.containers, strict=True)):
        assert bars.lines[0].get_xydata()[0] == pytest.approx((row.score.value, place))
        assert bars.lines[2][0].get_segments()[0][:, 0] == pytest.approx((row.score.low, row.score.high))
