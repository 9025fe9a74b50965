"""How long the last ticks took and how evenly they came. No ROS."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

WINDOW = 1024  # ticks
SLOW = 0.1  # share of ticks that may be left out unsaid


@dataclass(frozen=True)
class TimingReport:
    """Over the last `WINDOW` ticks, in ms; 0 before there are any."""

    p50: float  # of a tick, from its start to its command's publication
    p99: float
    maximum: float
    period_sigma: float  # standard deviation of the time between the starts of two ticks
    overruns: int  # deadlines missed since activation
    longest_streak: int  # most deadlines missed in a row since activation


NO_TICKS = TimingReport(0.0, 0.0, 0.0, 0.0, 0, 0)


class Pulse:
    """How long the watchdog has not heard this server, by its heartbeats alone. Times are monotonic, in s."""

    def __init__(self) -> None:
        self._since = math.inf

    def begin(self, start: float) -> None:
        """A tick begins that may command: from here on it is missed, if it was not before."""
        self._since = min(self._since, start)

    def beat(self, now: float) -> None:
        """A heartbeat went out."""
        self._since = now

    def rest(self) -> None:
        """It commands nothing, and knows it: it will look where the robot is before it does."""
        self._since = math.inf

    def silence(self, now: float) -> float:
        """S since it was heard or should have been."""
        return max(0.0, now - self._since)


class TickTiming:
    """Collects starts and ends of ticks. One thread adds, another may report."""

    def __init__(self) -> None:
        self._starts = np.zeros(WINDOW)
        self._durations = np.zeros(WINDOW)
        self._count = 0
        self.overruns = self.longest_streak = 0
        self._looked = (0, 0)  # overruns and ticks when slowness was last asked for

    def add(self, start: float, end: float, missed: int) -> None:
        """Note one tick: its start and end, monotonic s, and the deadlines missed before it."""
        slot = self._count % WINDOW
        self._starts[slot], self._durations[slot] = start, end - start
        self._count += 1
        self.overruns += missed
        self.longest_streak = max(self.longest_streak, missed)

    def slowness(self) -> str:
        """What is wrong if many ticks were left out since the last call, or empty."""
        left_out, ticks = self.overruns - self._looked[0], self._count - self._looked[1]
        self._looked = (self.overruns, self._count)
        due = left_out + ticks
        return (
            f"the loop is too slow: {left_out} of the last {due} ticks were left out" if left_out > SLOW * due else ""
        )

    def report(self) -> TimingReport:
        """The figures of now."""
        filled = min(self._count, WINDOW)
        if filled < 2:
            return replace(NO_TICKS, overruns=self.overruns, longest_streak=self.longest_streak)
        milliseconds = np.sort(1e3 * self._durations[:filled])
        # Not numpy.percentile: its first call imports a module, and the loop stands still for 40 ms at least.
        p50, p99, maximum = (float(milliseconds[int(share * (filled - 1))]) for share in (0.50, 0.99, 1.0))
        sigma = float(1e3 * np.diff(np.sort(self._starts[:filled])).std())
        return TimingReport(p50, p99, maximum, sigma, self.overruns, self.longest_streak)
