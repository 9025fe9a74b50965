"""Any story at all, step by step: rules that hold after every tick of every controller."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from pgx_core.serving import Mode, Request

OBJECTIVES = ("forward", "backward", "jump", "jump_high", "nonsense", "")
ALLOWED = {
    Mode.INACTIVE: {Mode.HOLD},
    Mode.HOLD: {Mode.RAMP, Mode.DAMP, Mode.ESTOP},
    Mode.RAMP: {Mode.RUN, Mode.HOLD, Mode.DAMP, Mode.ESTOP},
    Mode.RUN: {Mode.RAMP, Mode.HOLD, Mode.DAMP, Mode.ESTOP},
    Mode.DAMP: {Mode.RAMP, Mode.ESTOP},
    Mode.ESTOP: set(),
}
BAD = st.sampled_from((math.nan, math.inf, -math.inf, 1e300, 3e38, -50.0, 7.0))

PLACES = ("joint_positions", "joint_velocities", "orientation", "angular_velocity")

# One step of a story: what happens, and its argument.
ACTIONS = st.one_of(
    st.tuples(st.just("good"), st.integers(1, 18)),
    st.tuples(st.just("good"), st.integers(1, 18)),
    st.tuples(st.just("silence"), st.integers(1, 8)),
    st.tuples(st.just("spoilt"), st.tuples(st.sampled_from(PLACES), BAD)),
    st.tuples(st.just("request"), st.sampled_from(OBJECTIVES)),
    st.tuples(st.just("weights"), st.dictionaries(st.sampled_from(OBJECTIVES), st.floats(), max_size=2)),
    st.tuples(st.just("command"), st.dictionaries(st.sampled_from(("speed", "")), st.floats(), max_size=2)),
    st.tuples(st.just("estop"), st.sampled_from((True, False, False, False))),
    st.tuples(st.just("activate"), st.none()),
    st.tuples(st.just("activate"), st.none()),
    st.tuples(st.just("deactivate"), st.none()),
    st.tuples(st.just("clock"), st.floats(-1e4, 1e4)),
    st.tuples(st.just("clock_jumped"), st.none()),
    st.tuples(st.just("pause"), st.floats(0.0, 2.0)),
    st.tuples(st.just("stalled"), st.floats(0.1, 2.0)),
)  # fmt: skip
LEVEL = np.array([1.0, 0.0, 0.0, 0.0])


class Witness:
    """Ticks a controller and checks every tick against the one before."""

    def __init__(self, driver, blend_ticks):
        self.driver, self.seen = driver, set()
        joints = driver.contract.joints
        self.lower, self.upper = np.array([(joint.lower, joint.upper) for joint in joints]).T
        position = driver.contract.command_type == "position"
        self.position = position
        self.reach = (2.0 / 50.0 if position else (self.upper - self.lower) / blend_ticks) + 1e-12
        self.mode, self.command, self.clamps = Mode.INACTIVE, None, 0
        self.adrift = False  # it stood still, and has commanded nothing since

    def tick(self, readings=None):
        tick = self.driver.tick(readings)
        self.check_mode(tick)
        self.check_command(tick)
        switches = [event for event in tick.events if event.kind == "switch"]
        assert len(switches) <= 1 and tick.clamps >= self.clamps
        self.mode, self.command, self.clamps = tick.mode, tick.command, tick.clamps

    def check_mode(self, tick):
        """The events tell an unbroken chain of allowed changes from the last mode to this one."""
        mode = self.mode
        for event in tick.events:
            assert event.reason or event.kind == "switch"
            if event.kind == "mode":
                source, target = Mode(event.source), Mode(event.target)
                assert source is mode and (target in ALLOWED[source] or target is Mode.INACTIVE)
                if event.reason == "activated":
                    self.command = None  # it starts where the joints are
                self.seen.add((source, target))
                mode = target
        assert mode is tick.mode

    def check_command(self, tick):
        assert np.isfinite(tick.action).all() and (np.abs(tick.action) <= 1.0).all()
        if tick.command is None:
            assert self.adrift or tick.mode is Mode.INACTIVE
            return
        assert tick.mode is not Mode.INACTIVE
        self.adrift = False
        assert np.isfinite(tick.command).all()
        assert ((self.lower <= tick.command) & (tick.command <= self.upper)).all()
        driven = tick.mode in (Mode.RAMP, Mode.RUN)
        if self.command is not None and (self.position or not driven):
            assert (np.abs(tick.command - self.command) <= self.reach).all()


def live(witness, readings, action, argument):
    driver = witness.driver
    controller, good = driver.controller, readings(orientation=LEVEL)
    if action in ("good", "silence"):
        for _ in range(argument):
            witness.tick(good if action == "good" else None)
    elif action == "spoilt":
        place, value = argument
        array = getattr(good, place).copy()
        array[1] = value
        witness.tick(replace(good, **{place: array}))
    elif action in ("request", "weights", "command"):
        asked = Request(argument) if action == "request" else Request(**{action: argument})
        pursued, answer = controller.mode, controller.request(asked, driver.now)
        assert answer.reason or answer.accepted
        assert not (answer.accepted and pursued in (Mode.INACTIVE, Mode.ESTOP))
    elif action == "estop":
        controller.estop(argument, driver.now)
    elif action == "activate":
        driver.feed(good)
        reason, before = controller.activate(driver.now), witness.mode
        assert (reason == "") <= (controller.mode is Mode.HOLD) and before is witness.mode
    elif action == "deactivate":
        controller.deactivate(driver.now)
        assert controller.mode is Mode.INACTIVE
    elif action == "clock":
        driver.offset += argument
    elif action == "clock_jumped":
        controller.clock_jumped(driver.now)
    elif action == "pause":
        driver.time += argument
    elif action == "stalled":
        driver.time += argument
        controller.stalled(argument, driver.now)
        if controller.mode is not Mode.INACTIVE:
            witness.adrift, witness.command = True, None  # it starts where the joints are


def witness_of(driver):
    driver.controller.estop(False, driver.now)
    return Witness(driver, round(0.3 * 50))


@pytest.mark.parametrize("kind", ["position", "conditioned", "effort", "velocity"])
@pytest.mark.parametrize("safe", ["hold", "damp"])
@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])
@given(
    story=st.lists(ACTIONS, min_size=10, max_size=40),
    neutral=st.sampled_from(("", "jump")),
    timeouts=st.sampled_from(((0.0, 0.0), (0.5, 0.0), (0.3, 0.4))),
)
def test_no_story_breaks_a_rule(bundles, under, readings, drive, kind, safe, story, neutral, timeouts):
    bundle = under(bundles[kind], safe_state=safe, maximum_tilt=1.0)
    command_timeout, estop_timeout = timeouts
    assume(neutral or safe == "hold" or not command_timeout)  # which is refused
    driver = drive(
        bundle, neutral_objective=neutral, command_timeout_s=command_timeout, estop_timeout_s=estop_timeout, dwell_s=0.1
    )
    witness = witness_of(driver)
    for action, argument in [("activate", None), ("good", 3), *story, ("good", 5)]:
        live(witness, readings, action, argument)


ON, OFF, START, STOP = ("estop", True), ("estop", False), ("activate", None), ("deactivate", None)
RUNAWAY = ("spoilt", ("joint_velocities", 7.0))
STEP, SOME, WHILE = ("good", 1), ("good", 3), ("good", 30)
EVERY_WAY = {
    "damp": (
        *(
            START,
            WHILE,
            ("request", "jump"),
            STEP,
            RUNAWAY,
            WHILE,
            WHILE,
            ("request", "forward"),
            STEP,
            ON,
            STEP,
            STOP,
            OFF,
        ),
        *(START, RUNAWAY, STOP, STEP, START, STOP, STEP, START, SOME, STOP, STEP, START, WHILE, STOP, STEP),
        *(START, WHILE, RUNAWAY, ON, STEP, STOP, OFF, START, ON, STEP, STOP, OFF, START, WHILE, ON, STEP, STOP, STEP),
    ),
    "hold": (START, STEP, ("silence", 20), WHILE, WHILE, ("silence", 20), STEP),
}


@pytest.mark.parametrize("kind", ["position", "effort", "velocity"])
def test_every_mode_is_reached_and_left_in_every_way_that_is_designed(bundles, under, readings, drive, kind):
    seen = set()
    for safe, story in EVERY_WAY.items():
        witness = witness_of(drive(under(bundles[kind], safe_state=safe)))
        for action, argument in story:
            live(witness, readings, action, argument)
        seen |= witness.seen
    designed = {(source, target) for source, targets in ALLOWED.items() for target in targets}
    assert seen == designed | {(mode, Mode.INACTIVE) for mode in Mode if mode is not Mode.INACTIVE}
