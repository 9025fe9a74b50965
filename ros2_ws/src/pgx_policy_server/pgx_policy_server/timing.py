"""How long the last ticks took and how evenly they came. No ROS."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

WINDOW = 1024  # ticks


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


class TickTiming:
    """Collects starts and ends of ticks. One thread adds, another may report."""

    def __init__(self) -> None:
        self._starts = np.zeros(WINDOW)
        self._durations = np.zeros(WINDOW)
        self._count = 0
        self.overruns = self.longest_streak = 0

    def add(self, start: float, end: float, missed: int) -> None:
        """Note one tick: its start and end, monotonic s, and the deadlines missed before it."""
        slot = self._count % WINDOW
        self._starts[slot], self._durations[slot] = start, end - start
        self._count += 1
        self.overruns += missed
        self.longest_streak = max(self.longest_streak, missed)

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
