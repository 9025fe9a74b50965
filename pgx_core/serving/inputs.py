"""The input gate: what the sensors said, if it is whole, finite, in order and fresh."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pgx_core.contract import SENSOR_PREFIX, PolicyContract
from pgx_core.serving.config import Instant, ServingConfig

Untrusted = Any  # comes from a driver: numbers, an array, a sequence of names, or anything else
LARGEST = float(np.finfo(np.float32).max)  # the networks compute in float32
NORM_TOLERANCE = 0.01  # how far a quaternion's norm may be from 1

# The observation terms of the base, and the input that carries each.
IMU_TERMS = ("projected_gravity", "angular_velocity")
ODOMETRY_TERMS = ("linear_velocity",)


Values = Mapping[str, np.ndarray]  # by field of `Inputs`, or by "sensor:NAME"


@dataclass(frozen=True)
class Sample:
    """One accepted message."""

    values: Values
    stamp: float  # s, ROS clock
    arrival: float  # s, monotonic


@dataclass(frozen=True)
class Inputs:
    """What may be used at one tick; None stands for what is not fresh, or not observed."""

    fault: str  # the first required input that cannot be used, and why; "" if all can
    positions: np.ndarray | None = None  # [joints] rad or m, contract order
    velocities: np.ndarray | None = None  # [joints]
    orientation: np.ndarray | None = None  # [4] (w, x, y, z)
    angular_velocity: np.ndarray | None = None  # [3] base frame, rad/s
    linear_velocity: np.ndarray | None = None  # [3] base frame, m/s
    sensors: Mapping[str, np.ndarray] = field(default_factory=dict)


class _RefusedError(Exception):
    """The message cannot be used, and why."""


class InputGate:
    """Keeps the last good message of every input.

    Messages may come from another thread than the one that reads: each is one immutable sample in a slot.
    """

    def __init__(self, contract: PolicyContract, config: ServingConfig) -> None:
        sources = [term.source for term in contract.observation]
        sensors = {term.source: config.sensor_age_s for term in contract.observation if _is_sensor(term.source)}
        self._limits = {"joint_states": config.joint_state_age_s}  # s, of every required input
        self._limits |= {"imu": config.imu_age_s} if set(sources) & set(IMU_TERMS) else {}
        self._limits |= {"odometry": config.odometry_age_s} if set(sources) & set(ODOMETRY_TERMS) else {}
        self._limits |= sensors
        self._future = config.future_s
        self._joints = tuple(joint.name for joint in contract.joints)
        self._sizes = {term.source: term.size for term in contract.observation}
        self._layout: tuple[tuple[Any, ...], np.ndarray] | None = None  # the last order of names, and where ours are
        self._samples: dict[str, Sample] = {}
        self._refused: dict[str, str] = {}
        self._earliest = -math.inf  # s, ROS clock: stamp of the oldest message that may be used

    @property
    def required(self) -> tuple[str, ...]:
        """The inputs that the policies need."""
        return tuple(self._limits)

    def joint_state(
        self, names: Untrusted, positions: Untrusted, velocities: Untrusted, stamp: Untrusted, now: Instant
    ) -> str:
        """Take the joints, matched by name; further joints are no matter. The answer is "" or why it was refused."""
        return self._take("joint_states", stamp, now, lambda: self._read_joints(names, positions, velocities))

    def imu(self, orientation: Untrusted, angular_velocity: Untrusted, stamp: Untrusted, now: Instant) -> str:
        """Take orientation (w, x, y, z) and angular velocity; what the policies do not observe is not looked at."""
        return self._take("imu", stamp, now, lambda: self._read_imu(orientation, angular_velocity))

    def odometry(self, linear_velocity: Untrusted, stamp: Untrusted, now: Instant) -> str:
        """Take the base's velocity in its own frame."""
        return self._take(
            "odometry", stamp, now, lambda: {"linear_velocity": _vector(linear_velocity, 3, "linear_velocity")}
        )

    def sensor(self, name: str, values: Untrusted, stamp: Untrusted, now: Instant) -> str:
        """Take the reading of a "sensor:NAME" term."""
        source = f"{SENSOR_PREFIX}{name}"
        if source not in self._limits:
            known = ", ".join(name.removeprefix(SENSOR_PREFIX) for name in self._limits if _is_sensor(name))
            return f"unknown sensor '{name}'; known: {known or 'none'}"
        return self._take(source, stamp, now, lambda: {source: _vector(values, self._sizes[source], name)})

    def forget(self, before: float = -math.inf) -> None:
        """Drop every sample, and refuse what is stamped before that time, s on the ROS clock."""
        self._samples, self._refused, self._earliest = {}, {}, before

    def read(self, now: Instant) -> Inputs:
        """What may be used at this tick."""
        samples = self._samples.copy()  # one view of the slots, whatever comes in meanwhile
        faults = {name: self._fault(name, samples.get(name), now) for name in self._limits}
        fault = next((f"{name}: {reason}" for name, reason in faults.items() if reason), "")
        good = [samples[name] for name, reason in faults.items() if not reason]
        values = {name: value for sample in good for name, value in sample.values.items()}
        return Inputs(
            fault=fault,
            positions=values.pop("positions", None),
            velocities=values.pop("velocities", None),
            orientation=values.pop("orientation", None),
            angular_velocity=values.pop("angular_velocity", None),
            linear_velocity=values.pop("linear_velocity", None),
            sensors={source.removeprefix(SENSOR_PREFIX): value for source, value in values.items()},
        )

    def ages(self, now: Instant) -> dict[str, float]:
        """Seconds since each required input came, infinite where it never did."""
        samples = self._samples
        return {name: now.monotonic - samples[name].arrival if name in samples else math.inf for name in self._limits}

    def _take(self, name: str, stamp: Untrusted, now: Instant, read: Callable[[], Values]) -> str:
        try:
            stamp = float(stamp)
            self._check_stamp(name, stamp, now)
            sample = Sample(read(), stamp, now.monotonic)
        except _RefusedError as error:
            reason = str(error)
        except (TypeError, ValueError, OverflowError) as error:
            reason = f"expected numbers: {' '.join(str(error).split())}"
        else:
            self._samples[name] = sample
            self._refused.pop(name, None)
            return ""
        self._refused[name] = reason
        return reason

    def _check_stamp(self, name: str, stamp: Untrusted, now: Instant) -> None:
        """A comparison with NaN is false: every condition states what must hold."""
        age, limit = now.ros - stamp, self._limits.get(name, math.inf)
        if not math.isfinite(age):
            raise _RefusedError(f"stamp {stamp}: expected a finite time")
        if not age >= -self._future:
            raise _RefusedError(f"its stamp lies {-age:.3f} s in the future, expected at most {self._future:g} s")
        if not age <= limit:
            raise _RefusedError(f"it is {age:.3f} s old by its stamp, expected at most {limit:g} s")
        if not stamp >= self._earliest:
            raise _RefusedError("it was measured before the loop stood still")
        last = self._samples.get(name)
        if last is not None and not stamp >= last.stamp:
            raise _RefusedError(f"its stamp is {last.stamp - stamp:.3f} s before that of an earlier one")

    def _fault(self, name: str, sample: Sample | None, now: Instant) -> str:
        limit = self._limits[name]
        if sample is None or sample.stamp < self._earliest:  # one that was being taken while all was forgotten
            reason = "nothing has come yet"
        else:
            arrived, stamped = now.monotonic - sample.arrival, now.ros - sample.stamp
            if arrived <= limit and -self._future <= stamped <= limit:
                return ""
            reason = f"{arrived:.3f} s since it arrived, {stamped:.3f} s since its stamp, expected at most {limit:g} s"
        refused = self._refused.get(name)
        return f"{reason}; the last one was refused: {refused}" if refused else reason

    def _read_joints(self, names: Untrusted, positions: Untrusted, velocities: Untrusted) -> Values:
        order = tuple(names)
        if self._layout is None or order != self._layout[0]:
            self._layout = order, self._find_joints(order)
        index = self._layout[1]
        return {
            "positions": _vector(positions, len(order), "positions", index),
            "velocities": _vector(velocities, len(order), "velocities", index),
        }

    def _read_imu(self, orientation: Untrusted, angular_velocity: Untrusted) -> Values:
        values = {"orientation": _unit(orientation)} if "projected_gravity" in self._sizes else {}
        if "angular_velocity" in self._sizes:
            values["angular_velocity"] = _vector(angular_velocity, 3, "angular_velocity")
        return values

    def _find_joints(self, names: tuple[Any, ...]) -> np.ndarray:
        missing = [joint for joint in self._joints if joint not in names]
        if missing:
            came = ", ".join(map(str, names)) or "none"
            raise _RefusedError(f"joint {', '.join(missing)} is missing; it has: {came}")
        repeated = [joint for joint in self._joints if names.count(joint) > 1]
        if repeated:
            raise _RefusedError(f"joint '{repeated[0]}' occurs twice")
        return np.array([names.index(joint) for joint in self._joints])


def _is_sensor(source: str) -> bool:
    return source.startswith(SENSOR_PREFIX)


def _vector(values: Untrusted, size: int, what: str, index: np.ndarray | slice = slice(None)) -> np.ndarray:
    """The numbers at `index` as an array of our own; NaN and infinity are refused before any clamp could hide them."""
    if values is None:
        raise _RefusedError(f"{what}: the sensor says that it measures none")
    vector: np.ndarray = np.array(values, np.float64)
    if vector.shape != (size,):
        raise _RefusedError(f"{what}: expected {size} numbers, got the shape {vector.shape}")
    vector = vector[index]  # other joints are no matter
    if not (np.abs(vector) <= LARGEST).all():
        raise _RefusedError(f"{what}: not finite, or beyond float32")
    return vector


def _unit(values: Untrusted) -> np.ndarray:
    quaternion = _vector(values, 4, "orientation")
    norm = float(np.sqrt(np.square(quaternion).sum()))
    if not abs(norm - 1.0) <= NORM_TOLERANCE:
        raise _RefusedError(f"orientation: expected a quaternion of norm 1, got {norm:.3f}")
    return quaternion
