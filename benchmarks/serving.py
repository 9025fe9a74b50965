"""The control tick of the policy server against a naive node: p50, p99, maximum, evenness, and processor time.

The server's executable and the naive node of `serving_naive.py` take turns, each as its own process, on the same
12-joint bundle (network 256-128-64) and the same messages: joint states and IMU readings at twice the control rate,
from this process. A tick is the work from its start to the command's publication, measured inside the node; the
period's sigma is that of the times between starts; the share of a core is the whole process's, by the kernel's count.
Every turn gives windows of 1024 ticks that do not overlap. p50, p99 and sigma are medians over all windows, the
maximum is the largest of all, the share of a core is the median over the turns.

The naive node is as slow as it looks: rclpy's MultiThreadedExecutor spins while a callback runs, and Python's threads
take turns. Other programs should be quiet meanwhile.

    python benchmarks/serving.py [--json FILE]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from common import write_json
from pgx_policy_server.timing import WINDOW
from ros_common import FEEDS_PER_TICK, OBJECTIVES, Feeder, executable, feeding, make_bundle, psutil, running

DOMAIN = 100
RATES = (50.0, 200.0, 500.0)  # Hz
HEADLINE = 50.0  # Hz: the rate whose figures have no suffix
SETTLE = 2.0  # s before a turn is measured
MARGIN = 2.5  # s that a turn is longer than a window: reports come once a second


@dataclass(frozen=True)
class Peer:
    """One of the two that are compared."""

    name: str  # of its node
    prefix: str  # of its figures
    command: list[str]
    parameters: dict[str, object]


@dataclass(frozen=True)
class Turn:
    """What one peer did in one turn."""

    windows: list[dict[str, str]]  # a diagnostic each
    cpu_share: float  # cores
    missed_share: float  # of the deadlines


def main() -> None:
    """Measure, print, and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=3, help="of each peer at each rate")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    arguments = parser.parse_args()
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="pgx_serving_") as folder:
        for rate in RATES:
            figures |= compare(Path(folder), rate, arguments.turns)
    write_json(arguments.json, figures)


def compare(folder: Path, rate: float, turns: int) -> dict[str, float]:
    """The figures of both at one rate."""
    bundle = str(make_bundle(folder / f"bundle_{rate:g}", rate))
    settings = {"bundle_path": bundle, "autostart": True, "initial_objective": OBJECTIVES[0], "watchdog": ""}
    naive = [sys.executable, str(Path(__file__).with_name("serving_naive.py"))]
    peers = (
        Peer("policy_server", "", [executable("policy_server")], settings),
        Peer("naive_server", "naive_", naive, {"bundle_path": bundle}),
    )
    taken: dict[str, list[Turn]] = {peer.prefix: [] for peer in peers}
    with feeding(FEEDS_PER_TICK * rate, DOMAIN) as feeder:
        for _ in range(turns):
            for peer in peers:
                taken[peer.prefix].append(take_turn(feeder, peer, rate, folder / "log"))
    figures: dict[str, float] = {}
    suffix = "" if rate == HEADLINE else f"_{rate:g}hz"
    for prefix, done in taken.items():
        figures |= {f"{prefix}{name}{suffix}": figure for name, figure in summary(done).items()}
        row = (f"{name} {figure:.3g}" for name, figure in summary(done).items())
        print("  ".join([f"{rate:g} Hz {prefix or 'server_'}", *row]), flush=True)
    return figures


def take_turn(feeder: Feeder, peer: Peer, rate: float, log: Path) -> Turn:
    """Start the peer, let it settle, measure, and stop it."""
    heard = feeder.reports[peer.name] = []
    with running(peer.command, peer.parameters, log) as process:
        if not feeder.spin(30.0, until=lambda: heard and int(heard[-1]["ticks"]) > 0):
            raise RuntimeError(f"{peer.name} does not run:\n{log.read_text()}")
        feeder.spin(SETTLE)
        first, busy, began = heard[-1], cpu_seconds(process), time.monotonic()
        feeder.spin(max(10.0, WINDOW / rate + MARGIN))
        seconds, busy = time.monotonic() - began, cpu_seconds(process) - busy
    windows, place = [], int(first["ticks"])
    for report in heard:
        if int(report["ticks"]) >= place + WINDOW:
            windows.append(report)
            place = int(report["ticks"])
    windows = windows or [heard[-1]]  # too slow for a whole one
    ticks, missed = (int(heard[-1][key]) - int(first[key]) for key in ("ticks", "overruns"))
    return Turn(windows, busy / seconds, missed / max(1, ticks + missed))


def cpu_seconds(process: psutil.Process) -> float:
    """Of all its threads, in user and kernel mode."""
    times = process.cpu_times()
    return float(times.user + times.system)


def summary(turns: list[Turn]) -> dict[str, float]:
    """The figures of one peer at one rate."""
    windows = [window for turn in turns for window in turn.windows]
    figures = {
        name: statistics.median(float(window[name]) for window in windows)
        for name in ("tick_p50_ms", "tick_p99_ms", "period_sigma_ms")
    }
    figures["tick_max_ms"] = max(float(window["tick_max_ms"]) for window in windows)
    for name in ("cpu_share", "missed_share"):
        figures[name] = statistics.median(getattr(turn, name) for turn in turns)
    return figures


if __name__ == "__main__":
    main()
