"""How long a publisher waits when one of its listeners is killed: through Fast DDS's shared memory, and by UDP.

A node publishes at 500 Hz to four listeners, each a process of its own. Three of them are killed with SIGKILL in random
order, one about every half second, and started again. What is timed is the call of `publish`.

    python benchmarks/killed_listener.py [--seconds 120] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

from common import write_json

DOMAIN = 103
RATE = 500.0  # Hz
HELD_UP = 0.2  # s: no busy machine keeps a process waiting so long
PAUSE = (0.4, 0.6)  # s from one kill to the next
TRANSPORTS = {"shared_memory": "DEFAULT", "udp": "UDPv4"}
LISTENER = """
import rclpy
from std_msgs.msg import Float64MultiArray
rclpy.init()
node = rclpy.create_node("listener")
node.create_subscription(Float64MultiArray, "commands", lambda message: None, 10)
rclpy.spin(node)
"""


def main() -> None:
    """Measure both transports, print, and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120.0, help="of each transport")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        print(json.dumps(measure(arguments.seconds)), flush=True)
        os._exit(0)  # a transport that hangs must not keep the figures back
    figures = {}
    for name, transports in TRANSPORTS.items():
        environment = os.environ | {
            "AMENT_PREFIX_PATH": sys.prefix,
            "ROS_DOMAIN_ID": str(DOMAIN),
            "ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET",
            "FASTDDS_BUILTIN_TRANSPORTS": transports,
        }
        environment.pop("FASTDDS_DEFAULT_PROFILES_FILE", None)
        command = [sys.executable, __file__, "--inside", "--seconds", str(arguments.seconds)]
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        figures |= {f"{name}_{key}": value for key, value in json.loads(done.stdout).items()}
    for name, figure in figures.items():
        print(f"{name:28} {figure:g}")
    write_json(arguments.json, figures)


def measure(seconds: float) -> dict[str, float]:
    """Kills, publications that were held up, and the longest, in seconds."""
    import rclpy
    from std_msgs.msg import Float64MultiArray

    rclpy.init()
    node = rclpy.create_node("publisher")
    publisher = node.create_publisher(Float64MultiArray, "commands", 10)
    waits: list[float] = []
    stopping = threading.Event()

    def publish() -> None:
        while not stopping.wait(1.0 / RATE):
            began = time.monotonic()
            publisher.publish(Float64MultiArray(data=[0.0] * 12))
            waits.append(time.monotonic() - began)

    thread = threading.Thread(target=publish, daemon=True)
    thread.start()
    listeners = [_listen() for _ in range(4)]
    time.sleep(2.0)
    chance, end, kills = random.Random(0), time.monotonic() + seconds, 0
    while time.monotonic() < end:
        time.sleep(chance.uniform(*PAUSE))
        place = chance.randrange(3)
        listeners[place].kill()
        listeners[place].wait()
        listeners[place] = _listen()
        kills += 1
    stopping.set()
    thread.join(5.0)
    for listener in listeners:
        listener.kill()
        listener.wait()
    return {"kills": kills, "held_up": sum(wait > HELD_UP for wait in waits), "longest_s": max(waits)}


def _listen() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", LISTENER])


if __name__ == "__main__":
    main()
