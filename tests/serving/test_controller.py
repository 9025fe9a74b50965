"""The laws of the controller: what is not finite never comes out, commands never jump, and every fault is answered."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pgx_core.errors import BundleError, ConfigError
from pgx_core.export.onnx import ServedPolicy, without_objective
from pgx_core.observation import decode_action, observe
from pgx_core.serving import Controller, Instant, Mode, ServingConfig
from pgx_core.serving.golden import PolicyOutput
from pgx_core.serving.hazards import LAG_S
from pgx_core.serving.policy import PolicySession

KINDS = ("position", "conditioned", "effort", "velocity")
OBJECTIVES = ("forward", "backward", "jump", "jump_high")
DT = 1 / 50.0

# One step of a story: the objective to ask for or none, and the seed of the readings.
STEPS = st.lists(st.tuples(st.sampled_from((None, *OBJECTIVES)), st.integers(0, 1000)), min_size=2, max_size=25)


def limits(bundle):
    return np.array([(joint.lower, joint.upper) for joint in bundle.manifest.contract.joints]).T


def events(tick, kind):
    return [(event.source, event.target) for event in tick.events if event.kind == kind]


@pytest.fixture(params=KINDS)
def any_bundle(request, bundles):
    return bundles[request.param]


def test_trained_exported_and_served_answers_agree(contents, bundle, readings, drive):
    """torch on a hand-built observation against the whole serving path."""
    contract = contents.contract
    for group in contents.groups:
        oracle = ServedPolicy(without_objective(group.policy, 4), contract)
        objective = next(o.name for o in contents.objectives if o.group == group.name)
        driver = drive(bundle, objective, blend_s=0.0).activate(readings(0))
        driver.tick(readings(0))  # the first one holds
        last_action = np.zeros(3)
        for seed in range(20):
            now = readings(seed)
            vector = observe(contract, replace(now, last_action=last_action), np.concatenate)
            with torch.no_grad():
                action, _ = oracle(torch.tensor(vector[None], dtype=torch.float32))
            np.testing.assert_allclose(driver.tick(now).action, action[0], atol=1e-5)
            last_action = action[0].double().numpy()


def test_effort_commands_are_the_policys_own_once_the_ramp_is_over(bundles, readings, drive):
    bundle = bundles["effort"]
    driver = drive(bundle, "jump", blend_s=0.1).activate(readings())
    ticks = [driver.tick(readings(seed)) for seed in range(10)]
    vector = observe(bundle.manifest.contract, replace(readings(9), last_action=ticks[-2].action), np.concatenate)
    expected = bundle.sessions["jumpers"].run(vector.astype(np.float32)).command
    np.testing.assert_allclose(ticks[-1].command, expected, atol=1e-6)


@pytest.mark.parametrize(("ticks", "steps"), [(0, 1), (1, 1), (2, 1), (25, 1), (27, 2), (1000, 975)])
def test_to_activate_again_is_no_way_around_the_rate_limit(bundle, readings, drive, ticks, steps):
    driver = drive(bundle).activate(readings(0))
    before = driver.tick(readings(0)).command
    driver.controller.deactivate(driver.now)
    driver.time += ticks * DT
    moved = replace(readings(0), joint_positions=limits(bundle)[1])
    first = driver.activate(moved).tick(moved).command
    reach = np.array([joint.velocity_limit for joint in bundle.manifest.contract.joints]) * DT
    expected = np.minimum(before + steps * reach, limits(bundle)[1])
    np.testing.assert_allclose(first, expected, atol=1e-9)


@settings(max_examples=25)
@given(steps=STEPS, blend_s=st.sampled_from((0.0, 0.05, 0.3)), kind=st.sampled_from(("position", "conditioned")))
def test_position_commands_never_move_faster_than_the_joints(bundles, readings, drive, steps, blend_s, kind):
    bundle = bundles[kind]
    lower, upper = limits(bundle)
    start = readings(steps[0][1])
    driver = drive(bundle, blend_s=blend_s).activate(start)
    previous = np.clip(start.joint_positions, lower, upper)
    for objective, seed in steps:
        if objective is not None:
            driver.select(objective)
        tick = driver.tick(readings(seed))
        assert not tick.refusal
        assert (np.abs(tick.command - previous) <= 2.0 * DT + 1e-12).all()
        assert ((lower <= tick.command) & (tick.command <= upper)).all()
        previous = tick.command


@settings(max_examples=25)
@given(steps=STEPS, blend_s=st.sampled_from((0.1, 0.3)))
def test_a_switch_moves_effort_commands_by_at_most_the_range_over_the_blend(bundles, readings, drive, steps, blend_s):
    """Effort has no rate limit of its own: what the policy itself changes comes on top, between switches."""
    bundle = bundles["effort"]
    lower, upper = limits(bundle)
    driver = drive(bundle, blend_s=blend_s).activate(readings(steps[0][1]))
    allowed = (upper - lower) * DT / blend_s + 1e-6
    previous, group, raw = np.zeros(3), None, None
    for objective, seed in steps:
        if objective is not None:
            driver.select(objective)
        tick = driver.tick(readings(seed))
        wanted = decode_action(bundle.manifest.contract, tick.action)
        own = np.zeros(3) if tick.group != group else np.abs(wanted - raw)
        assert (np.abs(tick.command - previous) <= own + allowed).all()
        previous, group, raw = tick.command, tick.group, wanted


def test_a_thousand_random_switches_are_smooth_told_and_timed(bundles, readings, drive):
    bundle, random = bundles["conditioned"], np.random.default_rng(0)
    driver = drive(bundle, dwell_s=0.01).activate(readings(0))
    previous, pursued, switches = driver.tick(readings(0)), "forward", 0
    while switches < 1000:
        driver.select(str(random.choice(OBJECTIVES)))
        tick = driver.tick(readings(int(random.integers(50))))
        assert (np.abs(tick.command - previous.command) <= 2.0 * DT + 1e-12).all()
        for event in tick.events:
            if event.kind == "switch":
                assert (event.source, event.target) == (pursued, tick.objective)
                assert event.latency == pytest.approx(DT)
                pursued, switches = event.target, switches + 1
        assert pursued == tick.objective
        previous = tick


BAD = st.sampled_from((np.nan, np.inf, -np.inf, 1e300))
PLACES = ("joint_positions", "joint_velocities", "orientation", "angular_velocity", "sensors")


@settings(max_examples=40)
@given(
    bad=BAD,
    place=st.sampled_from(PLACES),
    index=st.integers(0, 3),
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 99),
)
def test_what_is_not_finite_is_refused_and_never_comes_out(bundles, readings, drive, bad, place, index, kind, seed):
    driver, good = drive(bundles[kind], "jump").activate(readings(seed)), readings(seed)
    driver.tick(good)
    reasons = driver.feed(_spoil(good, place, index, bad))
    assert sum("not finite" in reason for reason in reasons) == 1 and reasons.count("") == 2
    for _ in range(40):
        tick = driver.tick()
        assert np.isfinite(tick.command).all()
    assert "not finite" in tick.refusal or driver.controller.mode is not Mode.RUN


def _spoil(good, place, index, value):
    if place == "sensors":
        return replace(good, sensors={"touch": np.array([0.0, value])})
    array = getattr(good, place).copy()
    array[index % len(array)] = value
    return replace(good, **{place: array})


def test_a_reading_that_overflows_in_the_observation_is_a_bad_tick(under, bundle, readings, drive):
    first, *rest = bundle.manifest.contract.observation
    scaled = under(bundle, observation=(replace(first, scale=100.0), *rest))
    driver = drive(scaled, "jump").activate(readings())
    before = driver.run(readings(), 30)
    tick = driver.tick(readings(1, joint_positions=np.full(3, 1e37)))
    assert tick.refusal == "observation term 'joint_positions' is not finite" and tick.mode is Mode.RUN
    np.testing.assert_array_equal(tick.command, before.command)


def test_one_bad_tick_repeats_the_last_command_and_the_third_damps(bundle, readings, drive):
    driver = drive(bundle, joint_state_age_s=0.01).activate(readings())
    before = driver.run(readings(), 30)
    for _ in range(2):
        tick = driver.tick()
        assert tick.mode is Mode.RUN and tick.refusal.startswith("joint_states: 0.")
        np.testing.assert_array_equal(tick.command, before.command)
    assert driver.tick().mode is Mode.DAMP
    assert driver.run(readings(), 100).mode is Mode.DAMP, "only a request leads out"
    assert driver.select("jump").accepted
    tick = driver.tick(readings())
    assert tick.mode is Mode.RAMP and events(tick, "switch") == [("forward", "jump")]


def test_an_arm_holds_and_resumes_by_itself_after_the_recovery_time(under, bundle, readings, drive):
    driver = drive(under(bundle, safe_state="hold"), joint_state_age_s=0.01, recovery_s=0.19).activate(readings())
    driver.run(readings(), 30)
    held = [driver.tick() for _ in range(10)][-1]
    assert held.mode is Mode.HOLD
    modes = [driver.tick(readings()).mode for _ in range(12)]
    assert modes == [Mode.HOLD] * 10 + [Mode.RAMP] * 2


def test_damping_follows_the_joints_and_keeps_the_last_command_without_them(bundle, readings, drive):
    lower, upper = limits(bundle)
    driver = drive(bundle, imu_age_s=0.01).activate(readings())
    driver.run(readings(), 30)
    moved = readings(joint_positions=np.array([0.3, -0.3, 0.9]))

    def joints_only():
        now = driver.now
        driver.controller.joint_state(driver.names, moved.joint_positions, moved.joint_velocities, now.ros, now)

    for _ in range(60):
        tick = driver.tick()
        joints_only()
    assert tick.mode is Mode.DAMP and tick.refusal.startswith("imu: ")
    np.testing.assert_allclose(tick.command, np.clip(moved.joint_positions, lower, upper))
    last = [driver.tick() for _ in range(20)][-1]
    np.testing.assert_array_equal(last.command, tick.command)


class _Broken(PolicySession):
    """A session whose network has gone wrong: the one fault that no real bundle can be made to show."""

    def __init__(self, action, command, error=None):
        self._answer = PolicyOutput(np.full(3, action, np.float32), np.full(3, command, np.float32))
        self._error = error

    def run(self, observation):
        if self._error:
            raise self._error
        return self._answer


@pytest.mark.parametrize(
    ("session", "words"),
    [
        (_Broken(np.nan, 0.0), "group 'jumpers' gave an answer that is not finite"),
        (_Broken(0.0, np.nan), "not finite"),
        (_Broken(0.0, np.inf), "not finite"),
        (_Broken(0.0, 0.0, RuntimeError("out\nof memory")), "group 'jumpers' failed: out of memory"),
    ],
)
def test_a_policy_that_fails_damps_at_once_and_another_may_take_over(bundle, readings, drive, session, words):
    broken = replace(bundle, sessions={**bundle.sessions, "jumpers": session})
    driver = drive(broken).activate(readings())
    before = driver.run(readings(), 30)
    assert driver.select("jump").accepted
    tick = driver.tick(readings())
    assert tick.mode is Mode.DAMP and words in tick.refusal
    assert events(tick, "mode") == [("run", "ramp"), ("ramp", "damp")] and not events(tick, "switch")
    np.testing.assert_array_equal(tick.action, before.action)
    driver.run(readings(), 60)
    assert driver.select("backward").accepted
    assert driver.run(readings(), 30).mode is Mode.RUN


def test_a_fall_and_a_runaway_joint_damp_at_once(under, bundle, readings, drive):
    level = {"orientation": np.array([1.0, 0.0, 0.0, 0.0])}
    for spoilt in (
        {"orientation": np.array([0.5, 0.5, 0.5, 0.5])},
        level | {"joint_velocities": np.array([0.0, 7.0, 0.0])},
    ):
        driver = drive(under(bundle, maximum_tilt=1.0)).activate(readings(**level))
        assert driver.run(readings(**level), 30).mode is Mode.RUN
        tick = driver.tick(readings(**spoilt))
        assert tick.mode is Mode.DAMP and ("leans" in tick.refusal or "moves at" in tick.refusal)
        answer = driver.select("jump")
        assert not answer.accepted and answer.reason.startswith("damped, and not fit to go on: ")
        assert driver.run(readings(**level), 60).mode is Mode.DAMP, "a refused request must not move it later"
        assert driver.select("jump").accepted
        assert driver.tick(readings(**level)).mode is Mode.RAMP


def test_a_stream_of_requests_does_not_end_a_fall_and_a_request_after_a_pause_does(under, bundle, readings, drive):
    """Whoever sets a fallen robot on its feet, with a remote control that repeats itself, must not be kicked."""
    level, fallen = np.array([1.0, 0.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0, 0.0])
    driver = drive(under(bundle, maximum_tilt=1.0), recovery_s=0.5).activate(readings(orientation=level))
    driver.run(readings(orientation=level), 30)
    for tick in range(150):
        assert driver.select("forward").accepted is False or tick == 0
        lies = driver.tick(readings(orientation=fallen if tick < 50 else level))
        assert lies.mode is Mode.DAMP
    assert "repeated" in driver.select("forward").reason
    driver.run(readings(orientation=level), 60)
    driver.tick(readings(orientation=fallen))
    driver.run(readings(orientation=level), 20)
    assert "fit to go on only for" in driver.select("forward").reason
    driver.run(readings(orientation=level), 60)
    assert driver.select("forward").accepted
    assert driver.tick(readings(orientation=level)).mode is Mode.RAMP


def test_safe_commands_take_over_quickly_however_slowly_policies_are_blended(bundles, readings, drive):
    driver = drive(bundles["velocity"], blend_s=5.0).activate(readings())
    assert np.abs(driver.run(readings(), 300).command).max() > 0.0
    driver.controller.estop(True, driver.now)
    assert not driver.run(readings(), 16).command.any()


def test_the_estops_state_can_be_handed_on(bundle, readings, drive):
    driver = drive(bundle).activate(readings())
    for pressed in (True, False):
        driver.controller.estop(pressed, driver.now)
        assert driver.controller.stopped is pressed


def test_neither_button_releases_what_the_other_pressed(bundle, readings, drive):
    driver = drive(bundle)
    driver.feed(readings())
    controller = driver.controller
    for by_input, by_hand in ((True, True), (True, False), (False, True)):
        controller.estop(by_input, driver.now)
        controller.stop_by_hand(by_hand)
        assert (controller.stopped, controller.stopped_by_hand) == (by_input, by_hand)
        assert controller.activate(driver.now) == "the e-stop is pressed"
    controller.stop_by_hand(False)
    driver.activate(readings())
    assert driver.run(readings(), 2).mode is Mode.RAMP
    controller.stop_by_hand(True)
    controller.stop_by_hand(False)  # released before the next tick: the press counts
    controller.estop(False, driver.now)
    assert driver.tick(readings()).mode is Mode.ESTOP


def test_a_hand_on_the_button_is_no_sign_of_life_of_the_input(bundle, readings, drive):
    driver = drive(bundle, estop_timeout_s=0.1)
    driver.feed(readings())
    driver.controller.stop_by_hand(False)
    assert driver.controller.activate(driver.now) == "the e-stop is silent"


def test_a_request_in_the_moment_of_the_fall_is_dropped_and_says_so(under, bundle, readings, drive):
    level, fallen = np.array([1.0, 0.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0, 0.0])
    driver = drive(under(bundle, maximum_tilt=1.0)).activate(readings(orientation=level))
    driver.run(readings(orientation=level), 30)
    assert driver.select("jump").accepted
    tick = driver.tick(readings(orientation=fallen))
    assert tick.mode is Mode.DAMP and events(tick, "refused") and not events(tick, "switch")
    assert driver.run(readings(orientation=level), 50).mode is Mode.DAMP


def test_an_estop_pressed_or_silent_stops_and_only_deactivation_leads_out(bundle, readings, drive):
    driver = drive(bundle, estop_timeout_s=0.1)
    driver.feed(readings())
    controller = driver.controller
    assert controller.activate(driver.now) == "the e-stop is silent"
    controller.estop(True, driver.now)
    assert controller.activate(driver.now) == "the e-stop is pressed"
    controller.estop(False, driver.now)
    driver.activate(readings())
    assert driver.run(readings(), 2).mode is Mode.RAMP
    controller.estop(True, driver.now)
    controller.estop(False, driver.now)  # released before the next tick: the press counts
    assert driver.tick(readings()).mode is Mode.ESTOP
    for _ in range(20):
        controller.estop(False, driver.now)
        assert driver.tick(readings()).mode is Mode.ESTOP
    assert "e-stop" in driver.select("jump").reason
    assert controller.activate(driver.now).startswith("already active")
    controller.deactivate(driver.now)
    driver.activate(readings())
    modes = [driver.tick(readings()).mode for _ in range(10)]
    assert modes[:4] == [Mode.HOLD] + [Mode.RAMP] * 3 and modes[-1] is Mode.ESTOP, "silent for 0.1 s"


def test_a_stopped_arm_holds_and_a_stopped_legged_robot_gives_way(under, bundle, readings, drive):
    moved = np.array([0.3, -0.3, 0.4])
    for safe in ("hold", "damp"):
        driver = drive(under(bundle, safe_state=safe)).activate(readings())
        before = driver.run(readings(), 30)
        driver.controller.estop(True, driver.now)
        stopped = driver.run(readings(joint_positions=moved), 60)
        np.testing.assert_allclose(stopped.command, before.command if safe == "hold" else moved, atol=1e-12)


def test_activation_needs_every_input_and_nothing_is_commanded_before(any_bundle, readings, drive):
    driver = drive(any_bundle)
    tick = driver.tick()
    assert tick.command is None and tick.mode is Mode.INACTIVE and tick.ages["imu"] == math.inf
    assert driver.controller.activate(driver.now) == "joint_states: nothing has come yet"
    assert driver.select("jump").reason == "inactive: activate first"
    driver.activate(readings())
    assert driver.tick(readings()).command is not None
    driver.controller.deactivate(driver.now)
    assert driver.tick(readings()).command is None
    driver.time += 1.0
    assert driver.controller.activate(driver.now).startswith("joint_states: 1.0")


def test_a_robot_without_an_objective_holds_until_one_is_commanded(bundle, readings, drive):
    driver = drive(bundle, initial_objective="").activate(readings())
    held = np.clip(readings().joint_positions, *limits(bundle))
    for seed in range(10):
        tick = driver.tick(readings(seed))
        assert (tick.mode, tick.objective, tick.refusal) == (Mode.HOLD, "", "")
        np.testing.assert_array_equal(tick.command, held)
    assert driver.select("jump").accepted
    tick = driver.tick(readings())
    assert tick.mode is Mode.RAMP and tick.events[-1].latency == pytest.approx(DT)


def test_a_backward_clock_costs_no_more_than_the_bad_ticks(bundle, readings, drive):
    driver = drive(bundle).activate(readings())
    driver.run(readings(), 30)
    driver.offset -= 1000.0
    assert driver.tick(readings()).refusal, "stamps that lie before the last ones are refused"
    driver.controller.clock_jumped(driver.now)
    assert driver.tick(readings()).refusal == "" and driver.controller.mode is Mode.RUN
    driver.offset += 5000.0
    assert driver.tick(readings()).refusal == "", "forward jumps need nothing"


def test_the_first_command_is_where_the_joints_are_and_the_next_no_further_than_they_may_go(bundle, readings, drive):
    driver = drive(bundle).activate(readings())
    first, second = driver.tick(readings()), driver.tick(readings())
    np.testing.assert_array_equal(first.command, readings().joint_positions)
    assert (first.mode, second.mode) == (Mode.HOLD, Mode.RAMP)
    assert 0.0 < np.abs(second.command - first.command).max() <= 2.0 * DT + 1e-12


@pytest.mark.parametrize("side", [0, 1])
def test_a_joint_outside_of_its_range_by_more_than_a_step_is_not_activated(bundle, readings, drive, side):
    joint = bundle.manifest.contract.joints[1]
    reach = joint.velocity_limit * DT
    for outside, refused in ((0.9 * reach, False), (1.1 * reach, True)):
        positions = np.zeros(bundle.manifest.contract.action_size)
        positions[1] = (joint.lower - outside, joint.upper + outside)[side]
        driver, there = drive(bundle), replace(readings(), joint_positions=positions)
        driver.feed(there)
        reason = driver.controller.activate(driver.now)
        assert bool(reason) == refused
        if refused:
            assert reason.startswith(f"joint '{joint.name}' is at {positions[1]:.3f}, outside of its range")
            assert driver.tick(there).command is None
        else:
            assert np.abs(driver.tick(there).command - positions).max() <= reach + 1e-12


def test_a_robot_that_is_held_is_damped_where_it_is_and_goes_on_when_asked(bundle, readings, drive):
    driver = drive(bundle, following_error=0.3).activate(readings())
    driver.run(readings(), 60)
    held = replace(readings(), joint_positions=driver.tick(readings()).command - np.array([0.4, 0.0, 0.0]))
    ticks = [driver.tick(held) for _ in range(60)]
    damped = next(place for place, tick in enumerate(ticks) if tick.mode is Mode.DAMP)
    assert damped >= round(LAG_S / DT), "a short while is none"
    assert "has it power, is it held?" in ticks[damped].events[-1].reason
    np.testing.assert_allclose(ticks[-1].command, np.clip(held.joint_positions, *limits(bundle)), atol=1e-12)
    assert driver.select("jump").accepted
    assert driver.tick(held).mode is Mode.RAMP


def test_after_a_standstill_it_is_damped_where_its_joints_are_and_waits_for_a_request(bundle, readings, drive):
    driver = drive(bundle).activate(readings())
    driver.run(readings(), 30)
    driver.time += 1.0
    driver.controller.stalled(1.0, driver.now)
    tick = driver.tick(None)
    assert (tick.mode, tick.command) == (Mode.DAMP, None), "where the robot is, is not known yet"
    assert tick.events[0].reason == "the loop stood still for 1.00 s"
    moved = replace(readings(), joint_positions=np.array([-0.2, 0.1, 0.3]))
    for _ in range(20):
        tick = driver.tick(moved)
        np.testing.assert_array_equal(tick.command, moved.joint_positions)
        assert (tick.mode, tick.refusal) == (Mode.DAMP, "")
    assert driver.select("jump").accepted
    after = driver.tick(moved)
    assert after.mode is Mode.RAMP and np.abs(after.command - tick.command).max() <= 2.0 * DT + 1e-12


def test_after_a_standstill_what_was_measured_before_it_says_nothing(bundle, readings, drive):
    """However old readings may be: they waited in a queue, or are the last ones from before."""
    driver = drive(bundle, joint_state_age_s=5.0, imu_age_s=5.0, sensor_age_s=5.0).activate(readings())
    driver.run(readings(), 30)
    driver.time += 1.0
    driver.controller.stalled(1.0, driver.now)
    assert driver.tick(None).command is None
    numbers = (driver.names, readings().joint_positions, readings().joint_velocities)
    queued = driver.controller.joint_state(*numbers, driver.now.ros - 0.5, driver.now)
    assert queued == "it was measured before the loop stood still" and driver.tick(None).command is None
    moved = replace(readings(), joint_positions=np.array([-0.2, 0.1, 0.3]))
    np.testing.assert_array_equal(driver.tick(moved).command, moved.joint_positions)


def test_after_a_standstill_a_robot_that_holds_keeps_its_command_and_goes_on(bundles, under, readings, drive):
    driver = drive(under(bundles["position"], safe_state="hold")).activate(readings())
    held = driver.run(readings(), 30).command
    driver.controller.stalled(1.0, driver.now)
    tick = driver.tick(readings())
    assert tick.mode is Mode.HOLD
    np.testing.assert_array_equal(tick.command, held)
    driver.run(readings(), 100)
    assert driver.controller.mode is Mode.RUN


def test_ticks_do_not_share_arrays(any_bundle, readings, drive):
    driver = drive(any_bundle).activate(readings())
    first = driver.tick(readings())
    first.command[:] = np.nan
    first.action[:] = np.nan
    second = driver.tick(readings())
    assert np.isfinite(second.command).all() and np.isfinite(second.action).all()


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("blend_s", -0.1),
        ("blend_s", 5.1),
        ("blend_s", math.nan),
        ("bad_ticks", 0),
        ("nearest_distance", 1.1),
        ("imu_age_s", 0.0),
        ("overspeed", math.inf),
        ("dwell_s", -1.0),
        ("estop_timeout_s", math.nan),
    ],
)
def test_a_setting_out_of_range_is_refused_by_name(setting, value):
    with pytest.raises(ConfigError, match=f"^{setting}: expected"):
        ServingConfig(**{setting: value})


@pytest.mark.parametrize("setting", ["initial_objective", "neutral_objective"])
def test_an_unknown_objective_in_the_settings_is_refused(bundle, setting):
    with pytest.raises(BundleError, match="unknown objective 'fly'"):
        Controller(bundle, ServingConfig(**{setting: "fly"}))


def test_a_clock_that_is_not_finite_is_a_fault_and_no_crash(bundle, readings, drive):
    driver = drive(bundle).activate(readings())
    driver.tick(readings())
    for now in (Instant(math.nan, math.nan), Instant(driver.time, math.inf), Instant(driver.time, math.nan)):
        tick = driver.controller.tick(now)
        assert tick.refusal and np.isfinite(tick.command).all()
