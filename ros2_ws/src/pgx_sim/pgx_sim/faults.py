"""Break what the robot says, on purpose. Pure Python: readings in, broken readings out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from pgx_core.errors import ConfigError

CLOCK, JOINT_STATES, IMU, ODOM = "clock", "joint_states", "imu", "odom"
ON_A_TOPIC = ("drop", "delay", "nan", "frozen")
ON_JOINTS = ("shuffle", "missing")
AT_ONCE = ("push", "clock_back", "clear")  # carried out by the robot, over in an instant
KINDS = (*ON_A_TOPIC, *ON_JOINTS, *AT_ONCE)


@dataclass(frozen=True)
class Reading:
    """What one topic says at one instant."""

    topic: str  # one of the constants above, or the name of a sensor
    stamp: int  # ns of simulated time
    values: Mapping[str, np.ndarray]  # by field
    names: tuple[str, ...] = ()  # of the joints, one per element of each value


@dataclass(frozen=True)
class Fault:
    """One thing that is broken."""

    kind: str  # one of KINDS
    target: str = ""  # topic, joint or axis
    value: float = 0.0  # s or m/s
    duration: float = 0.0  # s of the monotonic clock; 0: until cleared


class Faults:
    """The faults in force.

    Args:
        topics: what can be broken.
        joints: what can be missing.
    """

    def __init__(self, topics: Iterable[str], joints: Iterable[str]) -> None:
        self._topics, self._joints = tuple(topics), tuple(joints)
        self._active: list[tuple[Fault, float]] = []  # and when it ends
        self._said: dict[str, Reading] = {}  # the last of each topic
        self._late: list[tuple[float, Reading]] = []  # and when it is due

    def add(self, fault: Fault, now: float) -> None:
        """Put one in force, unless it is over at once; a second one of a kind on the same target replaces the first.

        Raises:
            ConfigError: it makes no sense for this robot.
        """
        self._check(fault)
        if fault.kind in AT_ONCE:
            return
        self._active = [item for item in self._active if (item[0].kind, item[0].target) != (fault.kind, fault.target)]
        self._active.append((fault, now + fault.duration if fault.duration > 0.0 else math.inf))

    def clear(self) -> None:
        """End them all."""
        self._active.clear()

    def active(self, now: float) -> tuple[Fault, ...]:
        """Those in force."""
        self._active = [item for item in self._active if item[1] > now]
        return tuple(fault for fault, _ in self._active)

    def apply(self, readings: Iterable[Reading], now: float) -> list[Reading]:
        """What is said of an instant's readings, in their order: each broken, late or not at all."""
        faults = self.active(now)
        out = []
        for reading in readings:
            mine = [fault for fault in faults if fault.target == reading.topic or fault.kind in ON_JOINTS]
            if said := self._say(reading, mine, now):
                self._said[said.topic] = said
                out.append(said)
        due = [reading for time, reading in self._late if time <= now]
        self._late = [item for item in self._late if item[0] > now]
        return due + out

    def _say(self, reading: Reading, faults: list[Fault], now: float) -> Reading | None:
        said: Reading | None = reading
        for fault in faults:
            if said is None or fault.kind == "drop":
                return None
            if fault.kind == "delay":
                self._late.append((now + fault.value, said))
                said = None
            elif fault.kind == "frozen":
                said = self._said.get(reading.topic, said)
            elif fault.kind == "nan":
                said = replace(said, values={name: np.full_like(value, np.nan) for name, value in said.values.items()})
            elif said.topic == JOINT_STATES:
                said = _choose(said, _order(fault, said.names))
        return said

    def _check(self, fault: Fault) -> None:
        if fault.kind not in KINDS:
            raise ConfigError(f"kind: expected one of {', '.join(KINDS)}, got '{fault.kind}'")
        if fault.kind in ON_A_TOPIC and fault.target not in self._topics:
            raise ConfigError(f"target: expected one of {', '.join(self._topics)}, got '{fault.target}'")
        if fault.kind == "nan" and fault.target == CLOCK:
            raise ConfigError("target: a clock has no NaN; expected another topic")
        if fault.kind == "missing" and fault.target not in self._joints:
            raise ConfigError(f"target: expected a joint ({', '.join(self._joints)}), got '{fault.target}'")
        for name, value in (("value", fault.value), ("duration", fault.duration)):
            signed = fault.kind == "push" and name == "value"
            if not math.isfinite(value) or (value < 0.0 and not signed):
                raise ConfigError(f"{name}: expected a number{'' if signed else ', 0 or more'}, got {value}")


def _order(fault: Fault, names: tuple[str, ...]) -> list[int]:
    """The joints that are named, and in which order."""
    if fault.kind == "shuffle":
        return [*range(1, len(names)), 0]
    return [index for index, name in enumerate(names) if name != fault.target]


def _choose(reading: Reading, order: list[int]) -> Reading:
    values = {name: value[order] for name, value in reading.values.items()}
    return replace(reading, values=values, names=tuple(reading.names[index] for index in order))
