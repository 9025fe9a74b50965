"""What is asked of the controller: which request is taken, when it takes effect, and which policy serves it."""

from __future__ import annotations

import numpy as np
import pytest

from pgx_core.errors import ConfigError
from pgx_core.serving import Mode, Request

KINDS = ("position", "conditioned", "effort", "velocity")


def test_of_a_flood_of_requests_the_last_wins_and_none_is_sooner_than_the_dwell(bundle, readings, drive):
    driver = drive(bundle, dwell_s=0.2).activate(readings())
    driver.tick(readings())
    pursued = []
    for _ in range(50):
        for name in ("jump", "backward", "jump", "nonsense", "forward", "jump_high")[: 6 if len(pursued) < 25 else 5]:
            driver.select(name)
        pursued.append(driver.tick(readings()).objective)
    assert set(pursued[:9]) == {"forward"} and set(pursued[10:25]) == {"jump_high"} and pursued[-1] == "forward"
    assert driver.controller.mode in (Mode.RAMP, Mode.RUN)
    for _ in range(5000):
        driver.select("nonsense")
    assert len(driver.tick(readings()).events) <= 1000, "memory is bounded"


def test_refused_requests_change_nothing(bundle, readings, drive):
    driver = drive(bundle, "jump").activate(readings())
    driver.tick(readings())
    answer = driver.select("jmp")
    assert (answer.accepted, answer.objective, answer.group) == (False, "jump", "jumpers")
    assert "did you mean 'jump'?" in answer.reason
    tick = driver.tick(readings())
    refused = [(event.source, event.target) for event in tick.events if event.kind == "refused"]
    assert tick.objective == "jump" and refused == [("jump", "jmp")]


def test_commands_and_weights_reach_the_nearest_objective(bundle, readings, drive):
    driver = drive(bundle, nearest_distance=0.3).activate(readings())
    answer = driver.controller.request(Request(weights={"jump": 3.0, "forward": 1.0}), driver.now)
    assert (answer.objective, answer.group, answer.reason) == (
        "jump", "jumpers", "nearest is 'jump', 25% of the trained range away",
    )  # fmt: skip
    assert driver.tick(readings()).objective == "jump"


def test_an_objective_is_served_by_its_group_and_a_conditioned_policy_sees_it(bundles, readings, drive):
    for kind in KINDS:
        actions = []
        for objective in bundles[kind].manifest.objectives:
            driver = drive(bundles[kind], objective.name).activate(readings())
            tick = driver.run(readings(), 2)
            assert (tick.objective, tick.group) == (objective.name, objective.group)
            actions.append(tick.action)
        assert len(np.unique(actions, axis=0)) == (4 if kind == "conditioned" else 2)


def test_a_switch_that_changes_no_policy_disturbs_nothing(bundle, readings, drive):
    switched, steady = (drive(bundle).activate(readings()) for _ in range(2))
    for seed in range(20):
        if seed == 12:
            switched.select("backward")  # the same group, which does not see the objective
        np.testing.assert_array_equal(switched.tick(readings(seed)).command, steady.tick(readings(seed)).command)
    assert switched.controller.mode is Mode.RUN


def test_a_policy_that_is_told_another_objective_is_blended_in_like_another_policy(bundles, readings, drive):
    driver = drive(bundles["conditioned"]).activate(readings())
    driver.run(readings(), 30)
    driver.select("backward")
    modes = [driver.tick(readings()).mode for _ in range(17)]
    assert modes == [Mode.RAMP] * 15 + [Mode.RUN] * 2, "0.3 s"


def test_a_robot_that_damps_needs_a_neutral_objective_for_a_stale_command(bundle, drive):
    with pytest.raises(ConfigError, match="neutral_objective: expected an objective for when the command is stale"):
        drive(bundle, command_timeout_s=0.5)


def test_a_stale_command_leads_to_the_neutral_objective_or_to_hold(bundle, under, readings, drive):
    driver = drive(bundle, command_timeout_s=0.5, neutral_objective="jump").activate(readings())
    assert driver.run(readings(), 25).objective == "forward"
    tick = driver.tick(readings())
    assert (tick.objective, tick.mode) == ("jump", Mode.RAMP)
    driver = drive(under(bundle, safe_state="hold"), command_timeout_s=0.5).activate(readings())
    driver.run(readings(), 20)
    driver.select("forward")  # the same again keeps it fresh
    assert driver.run(readings(), 25).mode is Mode.RUN
    tick = driver.tick(readings())
    assert tick.mode is Mode.HOLD and tick.ages["objective"] == pytest.approx(0.52)
    assert driver.run(readings(), 100).mode is Mode.HOLD
    driver.select("forward")
    assert driver.tick(readings()).mode is Mode.RAMP
