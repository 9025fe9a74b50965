"""The mode machine against a second telling of its rules, over every mode and every combination of signals."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgx_core.serving import Mode
from pgx_core.serving.modes import ACTIVATED, MOVING, TRANSITIONS, ModeRules, ModeState, Signals, count, decide

RULES = {safe: ModeRules(safe, bad_ticks=3, recovery_s=0.5) for safe in (Mode.HOLD, Mode.DAMP)}
TEXTS, FLAGS = ("stop", "fault", "danger", "idle"), ("renewed", "switched", "blended")
ALL_SIGNALS = [
    Signals(
        **{name: name if on else "" for name, on in zip(TEXTS, ons, strict=False)},
        **dict(zip(FLAGS, ons[4:], strict=True)),
    )
    for ons in itertools.product((False, True), repeat=7)
]
NOW = 10.0


def told(mode: Mode, bad: int, good_for: float, s: Signals, safe: Mode) -> Mode:
    """The rules as the interface tells them."""
    if mode in (Mode.INACTIVE, Mode.ESTOP):
        return mode
    if s.stop:
        return Mode.ESTOP
    if mode is Mode.DAMP:
        fit = good_for >= 0.5 and not (s.fault or s.danger)
        return Mode.RAMP if s.renewed and fit and not s.idle else Mode.DAMP
    if s.danger:
        return Mode.DAMP
    if mode is Mode.HOLD:
        return Mode.RAMP if not s.fault and not s.idle and good_for >= 0.5 else Mode.HOLD
    if s.fault and bad >= 3:
        return safe
    if s.idle:
        return Mode.HOLD
    if mode is Mode.RAMP:
        return Mode.RUN if s.blended else Mode.RAMP
    return Mode.RAMP if s.switched else Mode.RUN


@pytest.mark.parametrize("safe", RULES)
@pytest.mark.parametrize("mode", Mode)
def test_every_transition_is_as_told_and_there_is_no_other(mode, safe):
    for signals, bad, good_for in itertools.product(ALL_SIGNALS, (0, 1, 2, 5), (0.0, 0.3, 0.5, math.inf)):
        state = count(ModeState(mode, bad, NOW - good_for), signals, NOW)
        after, reason = decide(state, signals, NOW, RULES[safe])
        assert after.mode is told(mode, state.bad, good_for, signals, safe), (signals, bad, good_for)
        assert bool(reason) == (after.mode is not mode)
        assert (after.bad, after.good_since) == (state.bad, state.good_since)


def test_only_activation_and_deactivation_touch_inactive_and_nothing_leaves_an_estop():
    sources = {mode for sources, _, _ in TRANSITIONS for mode in sources}
    assert sources == set(Mode) - {Mode.INACTIVE, Mode.ESTOP}
    assert {target for _, _, target in TRANSITIONS} == {Mode.ESTOP, Mode.DAMP, Mode.HOLD, Mode.RAMP, Mode.RUN, None}
    assert set(MOVING) == {Mode.RAMP, Mode.RUN}


def advance(state, signals, now, safe=Mode.HOLD):
    return decide(count(state, signals, now), signals, now, RULES[safe])[0]


@pytest.mark.parametrize("safe", RULES)
def test_the_third_bad_tick_in_a_row_and_no_sooner_leads_to_the_safe_state(safe):
    bad, good, state = Signals(fault="stale"), Signals(), ModeState(Mode.RUN)
    for signals in (bad, bad, good, bad, bad):
        state = advance(state, signals, NOW, safe)
        assert state.mode is Mode.RUN
    assert advance(state, bad, NOW, safe).mode is safe


def test_hold_resumes_after_good_inputs_without_a_break_for_the_whole_time():
    state = ModeState(Mode.HOLD)
    for time, fault in ((0.0, "stale"), (0.1, ""), (0.5, ""), (0.55, "stale"), (0.6, ""), (1.09, "")):
        state = advance(state, Signals(fault=fault), time)
        assert state.mode is Mode.HOLD, time
    assert advance(state, Signals(), 1.11).mode is Mode.RAMP


def test_an_activated_robot_starts_at_once_and_only_with_an_objective():
    assert advance(ACTIVATED, Signals(idle="none"), NOW).mode is Mode.HOLD
    assert advance(ACTIVATED, Signals(), NOW).mode is Mode.RAMP
    assert advance(advance(ACTIVATED, Signals(fault="stale"), NOW), Signals(), NOW + 0.1).mode is Mode.HOLD


@given(story=st.lists(st.sampled_from(ALL_SIGNALS), max_size=60), safe=st.sampled_from(list(RULES)))
def test_an_estop_is_never_left(story, safe):
    state, now = ACTIVATED, 0.0
    stopped = False
    for signals in story:
        now += 0.02
        state = advance(state, signals, now, safe)
        stopped = stopped or bool(signals.stop)
        assert (state.mode is Mode.ESTOP) == stopped
