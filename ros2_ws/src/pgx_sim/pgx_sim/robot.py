"""The simulated robot as a whole: body, controller with a timeout, clock and faults. No ROS; two threads may use it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pgx_core.errors import ConfigError, require
from pgx_core.scene import Placement
from pgx_sim.faults import CLOCK, IMU, JOINT_STATES, ODOM, Fault, Faults, Reading
from pgx_sim.world import ACCELERATION, BASE_SENSORS, World

NANO = 1_000_000_000
RATES_PER_CONTROL = 4  # sensors per control tick, where nothing else is asked
DEFAULT_RATE = 200.0  # Hz, of the sensors where no control rate is known
RATE_WINDOW = 2.0  # s over which the real-time factor is measured


@dataclass(frozen=True)
class RobotConfig:
    """Settings of the simulated robot."""

    sensor_rate: float = 0.0  # Hz; 0: four times the control rate, or the physics rate where that is lower
    command_timeout_s: float = 0.5  # s without a command until the joints are only damped; 0: never

    def __post_init__(self) -> None:
        require(self.sensor_rate >= 0.0, "sensor_rate", "a rate in Hz, or 0", self.sensor_rate)
        require(self.command_timeout_s >= 0.0, "command_timeout_s", "seconds, or 0", self.command_timeout_s)


@dataclass(frozen=True)
class Report:
    """How the simulation fares."""

    sensor_rate: float  # Hz of simulated time
    real_time_factor: float  # achieved over the last seconds
    limp: bool  # the joints are damped for want of commands
    commands: int  # taken
    refused: int
    refusal: str  # why the last one was refused
    breakdowns: int  # the physics broke and the robot was put back
    faults: tuple[Fault, ...]


class SimulatedRobot:
    """Advances in frames of one sensor period; all readings of a frame carry its stamp, and the clock comes last.

    Args:
        world: its body.
        config: see RobotConfig.
    """

    def __init__(self, world: World, config: RobotConfig) -> None:
        self.joints = world.joints
        self.command_type = world.command_type
        self._world = world
        self._timeout = config.command_timeout_s
        self._steps = _steps_per_frame(world, config.sensor_rate)
        self.frame_period = self._steps * world.timestep  # s of simulated time
        self.sensors = tuple(name for name in world.sensor_names if name not in BASE_SENSORS or name in world.observed)
        self.has_imu = not {"orientation", "angular_velocity"}.isdisjoint(world.sensor_names)
        self.has_odom = "linear_velocity" in world.sensor_names
        topics = (JOINT_STATES, *[IMU] * self.has_imu, *[ODOM] * self.has_odom, CLOCK, *self.sensors)
        self._faults = Faults(topics, self.joints)
        self._lock = threading.Lock()  # the spinning thread commands and injects, another advances
        self._frames = 0
        self._behind = 0  # ns that the clock was put back
        self._pending: np.ndarray | None = None
        self._commanded: float | None = None  # monotonic time of the last command
        self._limp = False
        self._commands, self._refused, self._refusal, self._breakdowns = 0, 0, "", 0
        self._progress: deque[tuple[float, int]] = deque()  # monotonic time, frames

    def command(self, values: Sequence[float] | np.ndarray, now: float, names: Sequence[str] = ()) -> str:
        """Follow new targets from the next frame on.

        Args:
            values: [joints] rad or m, rad/s or m/s, N m or N, by the robot's kind of actuators.
            now: monotonic, s.
            names: of the joints, where they come in an order of their own.

        Returns:
            Why they are refused; empty if they are not.
        """
        targets = np.asarray(values, np.float64)
        refusal = self._look_at(targets, names)
        with self._lock:
            if refusal:
                self._refused, self._refusal = self._refused + 1, refusal
                return refusal
            self._pending = targets if not names else targets[[list(names).index(joint) for joint in self.joints]]
            self._commanded, self._commands = now, self._commands + 1
        return ""

    def inject(self, fault: Fault, now: float) -> str:
        """Break something; the answer is why not, empty if it is done."""
        with self._lock:
            try:
                self._faults.add(fault, now)
                if fault.kind == "push":
                    self._world.push(fault.target, fault.value)
            except ConfigError as error:
                return str(error)
            if fault.kind == "clear":
                self._faults.clear()
            elif fault.kind == "clock_back":
                self._behind += round(NANO * fault.value)
        return ""

    def place(self, scene: Placement) -> str:
        """Move what is not the robot: a target; the answer is why not, empty if it is done."""
        with self._lock:
            try:
                self._world.place(scene)
            except ConfigError as error:
                return str(error)
        return ""

    def reset(self) -> None:
        """Return to the home pose and hold it until the next command. The clock goes on."""
        with self._lock:
            self._world.reset()
            self._pending, self._commanded, self._limp = None, None, False

    def advance(self, now: float) -> list[Reading]:
        """One frame: what is to be said of it, the clock last."""
        with self._lock:
            self._obey(now)
            self._breakdowns += not self._world.step(self._steps)
            self._frames += 1
            self._progress.append((now, self._frames))
            while now - self._progress[0][0] > RATE_WINDOW:
                self._progress.popleft()
            return self._faults.apply(self._read(), now)

    def report(self, now: float) -> Report:
        """How it fares."""
        with self._lock:
            return Report(
                sensor_rate=1.0 / self.frame_period,
                real_time_factor=self._real_time_factor(),
                limp=self._limp,
                commands=self._commands,
                refused=self._refused,
                refusal=self._refusal,
                breakdowns=self._breakdowns,
                faults=self._faults.active(now),
            )

    def _look_at(self, targets: np.ndarray, names: Sequence[str]) -> str:
        if targets.shape != (len(self.joints),):
            return f"expected a command for {len(self.joints)} joints, got {targets.size}"
        if names and sorted(names) != sorted(self.joints):
            return f"expected the joints {', '.join(self.joints)}, got {', '.join(names)}"
        if not np.isfinite(targets).all():
            return "expected finite commands, got NaN or infinity"
        return ""

    def _obey(self, now: float) -> None:
        if self._pending is not None:
            self._world.command(self._pending)
            self._pending, self._limp = None, False
        elif self._commanded is not None and 0.0 < self._timeout < now - self._commanded and not self._limp:
            self._world.go_limp()
            self._limp = True

    def _read(self) -> list[Reading]:
        felt = self._world.read()
        stamp = round(NANO * self._frames * self.frame_period) - self._behind
        named = felt.named
        joints = {"position": felt.positions, "velocity": felt.velocities, "effort": felt.efforts}
        readings = [Reading(JOINT_STATES, stamp, joints, self.joints)]
        turned = {name: named[name] for name in ("orientation", "angular_velocity") if name in named}
        if self.has_imu:
            accelerated = {ACCELERATION: named[ACCELERATION]} if ACCELERATION in named else {}
            readings.append(Reading(IMU, stamp, turned | accelerated))
        if self.has_odom:
            moved = {"position": felt.base_position, "linear_velocity": named["linear_velocity"]}
            readings.append(Reading(ODOM, stamp, turned | moved))
        readings += [Reading(name, stamp, {"data": named[name]}) for name in self.sensors]
        return [*readings, Reading(CLOCK, stamp, {})]

    def _real_time_factor(self) -> float:
        if len(self._progress) < 2:
            return 0.0
        (start, first), (end, last) = self._progress[0], self._progress[-1]
        return (last - first) * self.frame_period / max(end - start, 1e-9)


def _steps_per_frame(world: World, sensor_rate: float) -> int:
    """Physics steps between two readings: a whole number, so the rate is the nearest one possible."""
    rate = sensor_rate or RATES_PER_CONTROL * world.control_rate or DEFAULT_RATE
    return max(1, round(1.0 / (rate * world.timestep)))
