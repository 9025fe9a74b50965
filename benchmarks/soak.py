"""An hour at 200 Hz: does the server's memory grow, and how many deadlines does it ever miss in a row?

The policy server and its watchdog serve a 12-joint bundle, each as its own process; this one feeds joint states and
IMU readings at twice the rate and commands another objective every second. The file is written anew every minute.

A loop per core that does nothing, at the same rate and priority, tells what the machine itself takes: where it stands
still for longer than a period, every program misses deadlines. `longest_missed_streak` counts them all,
`longest_own_missed_streak` those of the seconds in which no such loop was late by more than half a period, and is an
upper bound: the deadlines missed in any one of these seconds.

As on a robot, everything should run at a real-time priority (`chrt`), or other programs decide what is measured:

    chrt --fifo 50 python benchmarks/soak.py [--minutes 60] [--rate 200] [--json FILE]
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.sharedctypes import SynchronizedArray
from pathlib import Path

import numpy as np
import psutil
from common import write_json
from ros_common import FEEDS_PER_TICK, OBJECTIVES, Feeder, executable, feeding, make_bundle, running

DOMAIN = 101
SERVER, WATCHDOG = "policy_server", "watchdog"
WARM_UP = 5.0  # minutes: what grows before is not counted as growth
MEGABYTE = 2.0**20


@dataclass
class Account:
    """Who missed deadlines."""

    stalls: list[SynchronizedArray[float]]  # by core, see `stalling`
    looked: float = 0.0  # monotonic s
    overruns: int = 0
    seconds: int = 0
    stalled_seconds: int = 0
    own_streak: int = 0

    def start(self) -> None:
        """Forget the stalls of the start: the bundle was made meanwhile."""
        for stall in self.stalls:
            stall[:] = (0.0, 0.0)

    def note(self, report: dict[str, str]) -> None:
        """A second is over."""
        stalled = any(stall[0] > self.looked for stall in self.stalls)
        if not stalled and self.seconds:
            self.own_streak = max(self.own_streak, int(report["overruns"]) - self.overruns)
        self.seconds += 1
        self.stalled_seconds += stalled
        self.looked, self.overruns = time.monotonic() - 0.1, int(report["overruns"])  # a report takes a while to come

    def figures(self) -> dict[str, float]:
        """So far."""
        return {
            "longest_own_missed_streak": self.own_streak,
            "stalled_seconds_share": self.stalled_seconds / max(1, self.seconds),
            "longest_stall_ms": 1e3 * max(stall[1] for stall in self.stalls),
        }


def main() -> None:
    """Run, print a line a minute, and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--rate", type=float, default=200.0, help="control rate, Hz")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    arguments = parser.parse_args()
    rate = arguments.rate
    with (
        tempfile.TemporaryDirectory(prefix="pgx_soak_") as folder,
        stalling(rate) as stalls,
        feeding(FEEDS_PER_TICK * rate, DOMAIN) as feeder,
    ):
        bundle = str(make_bundle(Path(folder) / "bundle", rate))
        server = {"bundle_path": bundle, "autostart": True, "initial_objective": OBJECTIVES[0]}
        # The watchdog first: a program that starts beside a loop takes its core for a while.
        with running([executable(WATCHDOG)], {"bundle_path": bundle}, Path(folder) / "watchdog.log") as watching:
            if not feeder.spin(30.0, until=lambda: feeder.reports.get(WATCHDOG)):
                raise RuntimeError("the watchdog does not report")
            with running([executable(SERVER)], server, Path(folder) / "server.log") as served:
                processes = {SERVER: served, WATCHDOG: watching}
                soak(feeder, processes, Account(stalls), arguments.minutes, arguments.json)


@contextmanager
def stalling(rate: float) -> Iterator[list[SynchronizedArray[float]]]:
    """A bare loop on each core. Of each: when it was last late by more than half a period; its greatest lateness, s."""
    fork = multiprocessing.get_context("fork")
    shared = [fork.Array("d", 2) for _ in os.sched_getaffinity(0)]
    cores = zip(shared, sorted(os.sched_getaffinity(0)), strict=True)
    loops = [fork.Process(target=bare_loop, args=(rate, core, array), daemon=True) for array, core in cores]
    for loop in loops:
        loop.start()
    yield shared
    for loop in loops:
        loop.terminate()


def bare_loop(rate: float, core: int, stall: SynchronizedArray[float]) -> None:
    """Wake up at absolute deadlines, for ever, and do nothing."""
    os.sched_setaffinity(0, {core})
    deadline = time.monotonic()
    while True:
        deadline += 1.0 / rate
        time.sleep(max(0.0, deadline - time.monotonic()))
        late = time.monotonic() - deadline
        if late > 0.5 / rate:
            stall[0], stall[1] = time.monotonic(), max(late, stall[1])
            deadline = time.monotonic()


def soak(
    feeder: Feeder, processes: dict[str, psutil.Process], account: Account, minutes: int, file: Path | None
) -> None:
    """Run for so many minutes and note the state after each."""
    if not feeder.spin(30.0, until=lambda: latest(feeder).get("mode") == "RUN"):
        raise RuntimeError(f"the server does not run: {latest(feeder)}")
    account.start()
    began, notes = time.monotonic(), []
    for minute in range(1, minutes + 1):
        wander(feeder, account, began + 60.0 * minute)
        report = latest(feeder)
        notes.append(
            {"minutes": (time.monotonic() - began) / 60.0}
            | {f"{name}_rss_mb": process.memory_info().rss / MEGABYTE for name, process in processes.items()}
            | {f"{name}_cpu_s": sum(process.cpu_times()[:2]) for name, process in processes.items()}
            | {key: int(report[key]) for key in ("ticks", "overruns", "overruns_in_a_row", "refused_ticks")}
            | {key: float(report[key]) for key in ("tick_p99_ms", "tick_max_ms", "period_sigma_ms")}
        )
        figures = summary(notes) | account.figures()
        print("  ".join(f"{name} {figure:.4g}" for name, figure in (notes[-1] | figures).items()), flush=True)
        write_json(file, {**figures, "by_minute": notes})


def wander(feeder: Feeder, account: Account, until: float) -> None:
    """Command another objective after every report of the server, until a time on the monotonic clock."""
    while time.monotonic() < until:
        before = latest(feeder)
        if feeder.spin(5.0, until=lambda before=before: latest(feeder) is not before):
            account.note(latest(feeder))
        feeder.ask(OBJECTIVES[account.seconds % len(OBJECTIVES)])


def latest(feeder: Feeder) -> dict[str, str]:
    """What the server last said of itself; nothing before is kept."""
    reports = feeder.reports.get(SERVER, [])
    del reports[:-1]
    return reports[0] if reports else {}


def summary(notes: list[dict[str, float]]) -> dict[str, float]:
    """Growth is the slope of a straight line through the memory after the warm-up."""
    first, last = notes[0], notes[-1]
    late = [note for note in notes if note["minutes"] > WARM_UP]
    figures = {"soak_minutes": last["minutes"], "longest_missed_streak": last["overruns_in_a_row"]}
    figures |= {"missed_share": last["overruns"] / (last["ticks"] + last["overruns"])}
    for name in (SERVER, WATCHDOG):
        memory = [note[f"{name}_rss_mb"] for note in late]
        hours = [note["minutes"] / 60.0 for note in late]
        figures[f"{name}_growth_mb_per_hour"] = float(np.polyfit(hours, memory, 1)[0]) if len(late) > 1 else 0.0
        if last is not first:
            seconds = 60.0 * (last["minutes"] - first["minutes"])
            figures[f"{name}_cpu_share"] = (last[f"{name}_cpu_s"] - first[f"{name}_cpu_s"]) / seconds
    return figures


if __name__ == "__main__":
    main()
