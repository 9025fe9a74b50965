from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from pgx_core.report.data import Curve, MethodScores
from pgx_core.report.verdict import caveats, gain, mean_score, verdict
from pgx_core.types import Partition


def shifted(data, method, difference, error=0.01):
    """The run with the scores of `method` moved to `difference` above one policy with the objective id."""
    base = next(m for m in data.methods if m.method == "joint_id").scores
    return dataclasses.replace(
        data,
        methods=tuple(
            dataclasses.replace(m, scores=base + difference, errors=np.full(6, error)) if m.method == method else m
            for m in data.methods
        ),
    )


def changed(data, method, **fields):
    methods = tuple(dataclasses.replace(m, **fields) if m.method == method else m for m in data.methods)
    return dataclasses.replace(data, methods=methods)


def without(data, *names):
    return dataclasses.replace(data, methods=tuple(m for m in data.methods if m.method not in names))


def test_a_clear_gain_pays_and_is_stated_with_its_interval(data):
    text = verdict(shifted(data, "groups_id", 0.1))
    assert text.startswith("Grouping pays here: at 1.2M environment steps each, 2 groups")
    # sqrt(12 * 0.01^2) / 6 = 0.00577; times 1.96 = 0.0113
    assert "a difference of +0.100 (95% interval +0.089 to +0.111, over evaluation episodes" in text
    assert "one training seed, so not over seeds" in text
    assert "What remains" not in text


def test_a_clear_loss_costs(data):
    text = verdict(shifted(data, "groups_id", -0.1))
    assert text.startswith("Grouping costs score here")
    assert "\N{MINUS SIGN}0.100 (95% interval \N{MINUS SIGN}0.111 to \N{MINUS SIGN}0.089" in text
    assert "What remains" in text and "certified on its own" in text


@pytest.mark.parametrize("difference", [-0.01, 0.0, 0.01])
def test_an_interval_with_zero_inside_shows_no_gain(data, difference):
    text = verdict(shifted(data, "groups_id", difference))
    assert text.startswith("Grouping does not show a gain here")
    assert "pays" not in text and "What remains" in text


@pytest.mark.parametrize("error", [0.001, 0.01, 0.1, 1.0])
@pytest.mark.parametrize("difference", [-0.2, -0.02, 0.0, 0.02, 0.2])
def test_the_word_pays_needs_an_interval_above_zero(data, difference, error):
    run = shifted(data, "groups_id", difference, error)
    methods = {m.method: m for m in run.methods}
    found = gain(methods["groups_id"], methods["joint_id"])
    assert verdict(run).startswith("Grouping pays") == (found.low > 0)
    assert verdict(run).startswith("Grouping costs") == (found.high < 0)


def test_one_group_means_one_policy_is_enough(data):
    one = Partition(np.zeros(6, dtype=np.int64), data.names, 1.0, 1.0, "any")
    text = verdict(dataclasses.replace(data, partition=one))
    assert text.startswith("One policy serves all 6 objectives")
    served = next(method for method in data.methods if method.method == "groups_id")
    assert f"scores {served.scores.mean():.2f} on average" in text and "not over seeds" in text
    assert "trained afresh with all steps 0.80." in text
    assert "afresh" not in verdict(without(dataclasses.replace(data, partition=one), "joint_id"))


def test_unequal_steps_allow_no_claim(data):
    text = verdict(changed(shifted(data, "groups_id", 0.3), "groups_id", steps=1_500_000))
    assert text.startswith("This run cannot say whether grouping pays: at unequal steps (1.5M against 1.2M)")


def test_missing_scores_allow_no_claim(data):
    missing = np.array([np.nan, *[0.9] * 5])
    assert verdict(changed(data, "groups_id", scores=missing)).startswith("This run cannot say")
    assert verdict(changed(data, "groups_id", errors=missing)).startswith("This run cannot say")


def test_missing_methods_are_compared_as_far_as_they_go(data):
    assert "without the objective id score 0.53" in verdict(without(data, "groups_id"))
    assert "with the objective id score 0.82" in verdict(without(data, "groups"))
    assert verdict(without(data, "groups", "joint_id")).startswith("This run cannot say")


def test_the_blind_comparison_names_a_doubtful_difference(data):
    joint = next(m for m in data.methods if m.method == "joint").scores
    assert "includes zero" in verdict(changed(data, "groups", scores=joint + 0.001))
    assert "includes zero" not in verdict(data)


def test_a_smaller_policy_per_tick_is_what_remains(data):
    run = changed(shifted(data, "groups_id", 0.0), "joint_id", parameters=10_264)
    assert "a tick costs 5.13k parameters instead of 10.3k" in verdict(run)


def test_the_error_of_the_mean_matches_simulated_episodes():
    """The interval covers the true difference about 95% of the time."""
    rng = np.random.default_rng(0)
    errors = np.array([[0.05, 0.1, 0.2], [0.02, 0.1, 0.3]])
    truth = np.array([[0.3, 0.5, 0.9], [0.2, 0.6, 0.7]])
    covered = 0
    for _ in range(2000):
        groups, joint = (make(*pair) for pair in zip(truth + errors * rng.standard_normal((2, 3)), errors, strict=True))
        found = gain(groups, joint)
        covered += found.low <= (truth[0] - truth[1]).mean() <= found.high
    assert 0.935 < covered / 2000 < 0.965


def make(scores, errors):
    return MethodScores("groups", np.zeros(3, dtype=np.int64), scores, errors, np.full(3, np.nan), 1, 1)


def test_the_mean_of_a_method_is_plain(data):
    estimate = mean_score(data.methods[1])
    assert estimate.mean == pytest.approx(0.80)
    assert estimate.error == pytest.approx(0.01 / np.sqrt(6))


def test_caveats_name_the_seed_and_that_nothing_is_certified(data):
    notes = " ".join(caveats(data))
    assert "One training seed (0)" in notes and "Nothing here is certified" in notes
    assert "1 pair of objectives never met" in notes and "0.97" in notes
    assert "differ in parameters" in notes
    assert "Random groups" not in notes and "equal steps" not in notes


@pytest.mark.parametrize(("rise", "told"), [(0.08, False), (0.2, True)])
def test_a_training_that_was_cut_short_is_named(data, rise, told):
    steps = np.arange(1, 101) * 1000
    scores = np.where(steps > 80_000, rise, 0.0)
    curves = (
        Curve("groups_id", steps, scores),
        Curve("joint", steps, 5 * scores),
        Curve("joint_id", steps[:0], scores[:0]),
    )
    notes = " ".join(caveats(dataclasses.replace(data, curves=curves)))
    assert ("groups + objective id (served) still rose by 0.20 in the last third" in notes) == told
    assert notes.count("still rose") == told  # of what is not compared with the served groups, nobody asks
    blind = " ".join(caveats(dataclasses.replace(data, curves=curves, served="groups")))
    assert blind.count("still rose") == 1 and "one policy still rose" in blind


def test_physics_that_broke_are_told(data):
    assert "physics broke" not in " ".join(caveats(data))
    curves = tuple(dataclasses.replace(curve, diverged=3 * (curve.method == "joint")) for curve in data.curves)
    (note,) = [one for one in caveats(dataclasses.replace(data, curves=curves)) if "physics broke" in one]
    assert note.startswith("In the training of one policy the physics broke 3 times")


def test_the_first_orders_error_is_told_where_it_was_used(data):
    """Also far beyond the lengths of the curve."""
    steps, residuals = np.array([0.3, 0.3, 0.2, 0.0]), np.array([0.9, 0.4, 0.5, np.nan])
    run = dataclasses.replace(data, step_lengths=steps, step_residuals=residuals)
    assert "At its steps of 25.0% of the parameters' length it misses the log-ratio by 50%" in " ".join(caveats(run))


def test_caveats_appear_when_they_hold(data):
    groups = next(m for m in data.methods if m.method == "groups").scores
    assert "groups without the objective id: the choice" in " ".join(caveats(changed(data, "random", scores=groups)))
    served = next(m for m in data.methods if m.method == "groups_id")
    draw = dataclasses.replace(served, method="random_id")
    both = dataclasses.replace(data, methods=(*data.methods, draw))
    assert "groups with the objective id: the choice" in " ".join(caveats(both))
    assert "did not spend equal steps (600k to 1.2M)" in " ".join(caveats(changed(data, "joint", steps=600_000)))
