"""The mode machine: when the robot moves, holds, damps or stops. Pure functions over an immutable state."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum


class Mode(Enum):
    """What the controller does."""

    INACTIVE = "inactive"  # commands nothing
    HOLD = "hold"  # keeps the last command (position), or commands 0
    RAMP = "ramp"  # blends from the last command to the policy's
    RUN = "run"  # follows the policy
    DAMP = "damp"  # follows the joints where they go (position), or brakes them; waits for a new request
    ESTOP = "estop"  # the contract's safe state; left only by deactivation


PAUSE = 1.0  # s without a request before one can end DAMP: a stream of them must not


@dataclass(frozen=True)
class ModeRules:
    """What the transitions depend on besides the signals."""

    safe: Mode  # HOLD or DAMP: where a robot without usable inputs goes
    bad_ticks: int  # so many in a row count as no usable inputs
    recovery_s: float  # of good inputs before HOLD resumes


@dataclass(frozen=True)
class Signals:
    """What a tick found. A text says why, and is empty if it is not so."""

    stop: str = ""  # the e-stop is pressed or silent
    fault: str = ""  # the readings cannot be used
    danger: str = ""  # the robot falls or moves too fast, or the policy's answer is not finite
    idle: str = ""  # there is no objective to pursue
    renewed: bool = False  # a request was accepted since the last tick
    switched: bool = False  # another policy must be blended in
    blended: bool = False  # the blend is complete


@dataclass(frozen=True)
class ModeState:
    """The mode and what it takes to leave it."""

    mode: Mode = Mode.INACTIVE
    bad: int = 0  # bad ticks in a row
    good_since: float = math.inf  # s, monotonic: since when every reading was good, without danger; infinite while not


ACTIVATED = ModeState(Mode.HOLD, good_since=-math.inf)  # activation itself demands good readings

Reason = str
When = Callable[[ModeState, Signals, float, ModeRules], Reason]


def count(state: ModeState, signals: Signals, now: float) -> ModeState:
    """Note whether this tick's readings were good; once a tick, before `decide`."""
    bad = state.bad + 1 if signals.fault else 0
    good_since = math.inf if signals.fault or signals.danger else min(state.good_since, now)
    return replace(state, bad=bad, good_since=good_since)


def decide(state: ModeState, signals: Signals, now: float, rules: ModeRules) -> tuple[ModeState, Reason]:
    """The state after the first transition whose condition holds, and why; the same state and "" if none does.

    Args:
        state: as `count` left it.
        signals: what this tick found.
        now: s, monotonic.
        rules: the robot's.
    """
    for sources, when, target in TRANSITIONS:
        if state.mode in sources:
            reason = when(state, signals, now, rules)
            if reason:
                return replace(state, mode=target or rules.safe), reason
    return state, ""


def why_deaf(state: ModeState, signals: Signals, pause: float, now: float, rules: ModeRules) -> Reason:
    """Why a request must not take effect, as it would set the robot moving unexpectedly; "" if it may.

    Args:
        state: of the last tick.
        signals: of the last tick.
        pause: s since the request before this one.
        now: s, monotonic.
        rules: the robot's.
    """
    unfit, fit = signals.fault or signals.danger, max(0.0, now - state.good_since)
    if state.mode is Mode.INACTIVE:
        return "inactive: activate first"
    if state.mode is Mode.ESTOP:
        return "stopped by the e-stop: release it, deactivate and activate again"
    if state.mode is not Mode.DAMP:
        return ""
    if unfit:
        return f"damped, and not fit to go on: {unfit}"
    if fit < rules.recovery_s:
        return f"damped, and fit to go on only for {fit:.2f} s: ask again later"
    if pause < PAUSE:  # whoever lifts a fallen robot does not expect it to start
        return f"damped: requests that are repeated do not end it; ask after {PAUSE:g} s without one"
    return ""


def _stopped(state: ModeState, signals: Signals, now: float, rules: ModeRules) -> Reason:
    return signals.stop


def _in_danger(state: ModeState, signals: Signals, now: float, rules: ModeRules) -> Reason:
    return signals.danger


def _blind(state: ModeState, signals: Signals, now: float, rules: ModeRules) -> Reason:
    return signals.fault if state.bad >= rules.bad_ticks else ""


def _idle(state: ModeState, signals: Signals, now: float, rules: ModeRules) -> Reason:
    return signals.idle


def _ready(state: ModeState, signals: Signals, now: float, rules: ModeRules) -> Reason:
    recovered = not signals.fault and now - state.good_since >= rules.recovery_s
    return "an objective and good inputs" if recovered and not signals.idle else ""


def _renewed(state: ModeState, signals: Signals, now: float, rules: ModeRules) -> Reason:
    good = not (signals.fault or signals.danger or signals.idle) and now - state.good_since >= rules.recovery_s
    return "a new request and good inputs" if good and signals.renewed else ""


def _switched(state: ModeState, signals: Signals, now: float, rules: ModeRules) -> Reason:
    return "another policy" if signals.switched else ""


def _blended(state: ModeState, signals: Signals, now: float, rules: ModeRules) -> Reason:
    return "the blend is complete" if signals.blended else ""


MOVING = (Mode.RAMP, Mode.RUN)

# From above to below; the first that holds is taken. None is the robot's safe state, HOLD or DAMP.
# Only activation leaves INACTIVE, and only deactivation leads there.
TRANSITIONS: tuple[tuple[tuple[Mode, ...], When, Mode | None], ...] = (
    ((Mode.HOLD, *MOVING, Mode.DAMP), _stopped, Mode.ESTOP),
    ((Mode.HOLD, *MOVING), _in_danger, Mode.DAMP),
    (MOVING, _blind, None),
    (MOVING, _idle, Mode.HOLD),
    ((Mode.HOLD,), _ready, Mode.RAMP),
    ((Mode.DAMP,), _renewed, Mode.RAMP),
    ((Mode.RUN,), _switched, Mode.RAMP),
    ((Mode.RAMP,), _blended, Mode.RUN),
)
