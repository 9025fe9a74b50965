"""What a serving robot is told, and what it says: the values that go in and out of the controller."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from pgx_core.errors import require
from pgx_core.serving.modes import Mode


@dataclass(frozen=True)
class Instant:
    """One moment on both clocks."""

    monotonic: float  # s, never jumps: arrival ages, watchdogs
    ros: float  # s, the clock of the header stamps; may be simulated, and may jump


@dataclass(frozen=True)
class ServingConfig:
    """Settings of the controller.

    Raises:
        ConfigError: one is out of range.
    """

    initial_objective: str = ""  # pursued after activation; empty: HOLD until one is commanded
    neutral_objective: str = ""  # pursued when the command goes stale (empty: HOLD), and where no direct switch is safe
    blend_s: float = -1.0  # s over which a policy takes over from the last command, 0 to 5; -1: see `blend_of`
    joint_state_age_s: float = 0.1  # s, above 0: older joint states are not used
    imu_age_s: float = 0.1  # s, above 0
    odometry_age_s: float = 0.2  # s, above 0
    sensor_age_s: float = 0.2  # s, above 0: of the contract's "sensor:NAME" terms
    future_s: float = 0.05  # s, 0 or more: a stamp further ahead than this is refused
    command_timeout_s: float = 0.0  # s, 0 or more: an objective not commanded again for so long is stale; 0: never
    bad_ticks: int = 3  # 1 or more: so many bad ticks in a row lead to the contract's safe state
    recovery_s: float = 0.5  # s, 0 or more: of good inputs before HOLD resumes by itself
    dwell_s: float = 0.1  # s, 0 or more: least time between two switches; the last wish wins
    nearest_distance: float = 0.1  # 0 to 1, share of the trained range: no objective further off serves a command
    switch_fall_rate: float = 0.1  # 0 to 1: a switch whose measured fall rate may be higher takes another way; 1: none
    estop_timeout_s: float = 0.0  # s, 0 or more: an e-stop input silent for so long is pressed; 0: none is demanded
    overspeed: float = 3.0  # above 0: times a joint's velocity limit at which the robot is damped
    following_error: float = 0.0  # rad or m, 0 or more: damped if a joint stays so far from its command; 0: not watched

    def __post_init__(self) -> None:
        require(self.blend_s == -1.0 or 0.0 <= self.blend_s <= 5.0, "blend_s", "0 to 5 s, or -1", self.blend_s)
        require(0.0 <= self.nearest_distance <= 1.0, "nearest_distance", "0 to 1", self.nearest_distance)
        require(0.0 <= self.switch_fall_rate <= 1.0, "switch_fall_rate", "0 to 1", self.switch_fall_rate)
        require(self.bad_ticks >= 1, "bad_ticks", "1 or more", self.bad_ticks)
        for name in ("joint_state_age_s", "imu_age_s", "odometry_age_s", "sensor_age_s", "overspeed"):
            value = getattr(self, name)
            require(0.0 < value < math.inf, name, "a number above 0", value)
        require(0.0 <= self.following_error < math.inf, "following_error", "a number, 0 or more", self.following_error)
        for name in ("future_s", "command_timeout_s", "recovery_s", "dwell_s", "estop_timeout_s"):
            value = getattr(self, name)
            require(0.0 <= value < math.inf, name, "a number of seconds, 0 or more", value)


@dataclass(frozen=True)
class Request:
    """What the robot shall do: exactly one of the three is given."""

    name: str = ""  # of an objective
    weights: Mapping[str, float] = field(default_factory=dict)  # over objectives, 0 or more each, not all 0
    command: Mapping[str, float] = field(default_factory=dict)  # e.g. {"velocity": 1.7}, in the objectives' units


@dataclass(frozen=True)
class Answer:
    """What becomes of a request."""

    accepted: bool
    objective: str  # the one that will be pursued; of a refused request the one that still is, or ""
    group: str  # that serves it
    reason: str  # why it was refused, or how it was resolved: what was clipped, which objective was nearest


@dataclass(frozen=True)
class Event:
    """A switch, a change of the mode, or a refused request."""

    kind: str  # "switch" | "mode" | "refused"
    source: str  # the objective or the mode before
    target: str  # the objective or the mode after; of a refused request what was asked for
    objective: str  # pursued from then on, "" for none
    group: str  # that serves it
    reason: str
    latency: float = 0.0  # s from the request's arrival to the first command of the new policy; of a switch only


@dataclass(frozen=True)
class Tick:
    """What one control tick gave."""

    command: np.ndarray | None  # [joints] in the contract's order; None only while INACTIVE
    action: np.ndarray  # [joints] the policy's last good action
    mode: Mode
    objective: str  # "" for none
    group: str
    refusal: str  # why this tick's readings or the policy's answer were not used; "" if they were
    events: tuple[Event, ...]  # since the last tick
    ages: Mapping[str, float]  # s since arrival, infinite before the first: each required input, "objective", "estop"
    clamps: int  # joint commands the output gate changed so far
