"""The loop's deadlines on the machine's clock; those on a simulator's are tested with the server."""

from __future__ import annotations

import time

import numpy as np
import pytest
from pgx_policy_server.metronome import WallMetronome
from pgx_policy_server.timing import WINDOW, Pulse, TickTiming

from pgx_core.serving import Instant

from .processes import wait_until

RATE = 50.0  # Hz


def test_late_deadlines_are_skipped_and_the_others_stay_where_they_were() -> None:
    beats: list[tuple[float, int]] = []

    def beat(now: Instant, missed: int) -> None:
        beats.append((now.monotonic, missed))
        if len(beats) == 5:
            time.sleep(3.5 / RATE)

    metronome = WallMetronome(RATE)
    metronome.start(beat)
    wait_until(lambda: len(beats) >= 15, 10.0, "15 beats")
    metronome.stop()
    times, missed = np.array(beats).T
    slots = np.arange(len(beats)) + np.cumsum(missed)
    assert missed[5] >= 2, "after three and a half periods the third deadline is served late, two are missed"
    drift = (times - times[0]) * RATE - slots  # periods; a busy machine may delay single beats
    assert np.median(np.abs(drift)) < 0.5, "beats and misses together keep time"


def test_it_stops_and_starts_again() -> None:
    beats: list[int] = []
    metronome = WallMetronome(RATE)
    for _ in range(2):
        metronome.start(lambda now, missed: beats.append(missed))
        wait_until(lambda: len(beats) >= 3, 10.0, "3 beats")
        metronome.stop()
        count = len(beats)
        time.sleep(3 / RATE)
        assert len(beats) == count
        beats.clear()


def test_what_ends_the_loop_is_kept_for_the_main_thread() -> None:
    metronome = WallMetronome(RATE)
    metronome.start(lambda now, missed: 1 / 0)
    wait_until(lambda: metronome.failure is not None, 5.0, "the failure")
    assert isinstance(metronome.failure, ZeroDivisionError)
    metronome.stop()


def test_two_pauses_that_are_short_each_are_one_silence_to_the_watchdog() -> None:
    pulse = Pulse()
    pulse.beat(1.0)
    assert pulse.silence(1.1) == pytest.approx(0.1)  # before a tick that begins late
    pulse.begin(1.1)
    assert pulse.silence(1.2) == pytest.approx(0.2)  # and ends late
    pulse.beat(1.2)
    pulse.begin(1.22)  # a tick of a fast loop, between two heartbeats
    assert pulse.silence(1.24) == pytest.approx(0.04)


def test_a_server_that_commands_nothing_is_missed_from_its_next_tick_on() -> None:
    pulse = Pulse()
    assert pulse.silence(5.0) == 0.0
    pulse.beat(5.0)
    pulse.rest()
    assert pulse.silence(9.0) == 0.0
    pulse.begin(9.0)
    assert pulse.silence(9.2) == pytest.approx(0.2), "it stood still in that very tick"


def test_a_loop_that_leaves_out_many_ticks_is_told_until_it_keeps_up() -> None:
    timing = TickTiming()
    assert not timing.slowness()
    for count, missed, words in (
        (10, 4, "40 of the last 50 ticks were left out"),
        (50, 0, ""),
        (9, 1, "9 of the last 18"),
    ):
        for _ in range(count):
            timing.add(0.0, 0.0, missed)
        assert (words in timing.slowness()) if words else not timing.slowness()
    timing.add(0.0, 0.0, 1)
    for _ in range(9):
        timing.add(0.0, 0.0, 0)
    assert not timing.slowness(), "one in eleven is no habit"


def test_the_timing_report_is_that_of_the_last_window() -> None:
    timing = TickTiming()
    assert timing.report().p99 == 0.0
    random = np.random.default_rng(0)
    starts = np.cumsum(0.02 + 1e-4 * random.normal(size=3 * WINDOW + 100))
    durations = random.uniform(1e-3, 2e-3, size=len(starts))
    for start, duration in zip(starts, durations, strict=True):
        timing.add(start, start + duration, missed=1)
    report, last = timing.report(), slice(-WINDOW, None)
    expected = 1e3 * np.percentile(durations[last], (50, 99), method="lower")
    np.testing.assert_allclose((report.p50, report.p99), expected)
    np.testing.assert_allclose(report.maximum, 1e3 * durations[last].max())
    np.testing.assert_allclose(report.period_sigma, 1e3 * np.diff(starts[last]).std())
    assert report.overruns == len(starts)
