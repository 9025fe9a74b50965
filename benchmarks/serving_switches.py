"""How long a switch takes: from the publication of an objective to the first command of its policy, at 50 Hz.

The server's executable runs on the machine's clock with a 12-joint bundle, fed with joint states and IMU readings at
twice the control rate from this process, while another process takes all the time of a core it gets. Objectives of two
groups are published in turn at random moments, each once the last was followed and the dwell is over. `end_to_end` ends
when the server sends the event of the switch, right after the command; `reported` is the latency it gives itself, from
the arrival of the wish.

    python benchmarks/serving_switches.py [--switches 1000] [--json FILE]
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from common import write_json
from pgx_msgs.msg import SwitchEvent
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from ros_common import FEEDS_PER_TICK, OBJECTIVES, Feeder, executable, feeding, make_bundle, running

DOMAIN = 102
RATE = 50.0  # Hz
DWELL = 0.05  # s
HOG = "while True: pass"


class Witness:
    """Hears when events of switches are sent; only this executor tells."""

    def __init__(self) -> None:
        self.node = Node("witness")
        self.switches: list[tuple[float, float]] = []  # wall s at which it was sent, latency in s
        self.node.create_subscription(SwitchEvent, "policy_server/events", self._hear, QoSProfile(depth=100))
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)

    def wait(self, switches: int, seconds: float) -> None:
        """Until so many were heard."""
        deadline = time.monotonic() + seconds
        while len(self.switches) < switches:
            if time.monotonic() > deadline:
                raise RuntimeError(f"switch {switches} was not acknowledged in {seconds:g} s")
            self._executor.spin_once(timeout_sec=0.1)

    def close(self) -> None:
        """End."""
        self._executor.shutdown()
        self.node.destroy_node()

    def _hear(self, message: SwitchEvent, info: dict[str, int]) -> None:
        if message.kind == SwitchEvent.SWITCH:
            self.switches.append((1e-9 * info["source_timestamp"], message.latency))


def measure(feeder: Feeder, witness: Witness, switches: int) -> dict[str, float]:
    """Latencies in ms."""
    witness.wait(1, 30.0)  # the initial objective's
    sent, moments = [], random.Random(0)
    for k in range(switches):
        feeder.spin(moments.uniform(DWELL, DWELL + 2.0 / RATE))
        sent.append(time.time())
        feeder.ask(OBJECTIVES[(k + 1) % 2])
        witness.wait(k + 2, 5.0)
    arrived, reported = 1e3 * np.array(witness.switches[1:]).T
    figures = {}
    for name, values in (("end_to_end", arrived - 1e3 * np.array(sent)), ("reported", reported)):
        p50, p99 = np.percentile(values, (50, 99))
        figures |= {f"{name}_p50_ms": p50, f"{name}_p99_ms": p99, f"{name}_max_ms": float(values.max())}
    return figures | {"switches": float(len(reported))}


def main() -> None:
    """Measure, print, and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--switches", type=int, default=1000)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="pgx_switches_") as folder,
        feeding(FEEDS_PER_TICK * RATE, DOMAIN) as feeder,
    ):
        settings = {"autostart": True, "initial_objective": OBJECTIVES[0], "watchdog": "", "dwell_s": DWELL}
        settings["bundle_path"] = str(make_bundle(Path(folder, "bundle"), RATE))
        hog, witness = subprocess.Popen([sys.executable, "-c", HOG]), Witness()
        try:
            with running([executable("policy_server")], settings, Path(folder, "log")):
                figures = measure(feeder, witness, arguments.switches)
        finally:
            witness.close()
            hog.kill()
            hog.wait()
    for name, figure in figures.items():
        print(f"{name} {figure:.3g}")
    write_json(arguments.json, figures)


if __name__ == "__main__":
    main()
