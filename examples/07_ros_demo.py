"""Serve a bundle over ROS 2, switch its objectives on a topic, and draw what the robot's topics say of it.

python examples/07_ros_demo.py [BUNDLE] [SECONDS_EACH]    needs `make ros`; writes ros_tracking.png beside the bundle
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

from pgx_core.commands.play import gentle_schedule
from pgx_core.report.render import plot_tracking
from pgx_core.serving import load_bundle
from pgx_core.serving.manifest import BundleManifest

try:
    from nav_msgs.msg import Odometry
    from pgx_bringup.monitor import Monitor
    from pgx_bringup.up import UpConfig, require_alive, serving, stopping
    from rclpy.qos import qos_profile_sensor_data
    from std_msgs.msg import String
except ImportError as error:
    sys.exit(print(f"no ROS here ({error.name} is missing): `make ros` adds it, where there are wheels for it"))


PATIENCE = 30.0  # s until a commanded objective must be pursued: at first the processes start, discover and verify


class Diary:
    """What the topics said: time (s), forward velocity of the base in the world (m/s), active policy."""

    def __init__(self, node) -> None:
        self.rows: list[tuple[float, float, str]] = []
        self._active = ""
        node.create_subscription(String, "policy_server/active_policy", self._on_active, 10)
        node.create_subscription(Odometry, "odom", self._on_odom, qos_profile_sensor_data)

    @property
    def time(self) -> float:
        """Of the last row, s."""
        return self.rows[-1][0]

    @property
    def pursued(self) -> str:
        """The objective of the last row."""
        return self.rows[-1][2].split("/", 1)[1] if self.rows else ""

    def _on_active(self, message: String) -> None:
        self._active = message.data

    def _on_odom(self, message: Odometry) -> None:
        q, v = message.pose.pose.orientation, message.twist.twist.linear  # the twist is in the base's frame
        forward = np.dot(
            (1 - 2 * (q.y**2 + q.z**2), 2 * (q.x * q.y - q.w * q.z), 2 * (q.x * q.z + q.w * q.y)), (v.x, v.y, v.z)
        )
        stamp = message.header.stamp
        if self._active:
            self.rows.append((stamp.sec + 1e-9 * stamp.nanosec, float(forward), self._active))


def main(folder: str = "runs/demo/bundle", seconds: str = "4") -> None:
    """Pursue every objective in turn, commanded over a topic."""
    manifest = load_bundle(folder).manifest
    schedule = gentle_schedule(manifest)
    with stopping() as stopped, serving(UpConfig(Path(folder))) as (stack, node, executor):

        def listen() -> None:
            executor.spin_once(timeout_sec=0.1)
            require_alive(stack)
            if stopped:
                sys.exit("interrupted")

        diary, monitor, stopped_in = Diary(node), Monitor(node), dict[str, str]()
        publisher = node.create_publisher(String, "policy_server/objective_name", 1)
        for objective in schedule:
            asked = time.monotonic()
            while diary.pursued != objective and time.monotonic() < asked + PATIENCE:
                publisher.publish(String(data=objective))  # again and again: until the robot is up nobody hears it
                listen()
            if diary.pursued != objective:
                print(f"{objective} is not pursued; {monitor.headline()}")
                break
            began = diary.time
            while diary.time < began + float(seconds):
                listen()
            if monitor.values.get("mode") != "RUN":
                stopped_in[objective] = monitor.headline()
    if not diary.rows:
        sys.exit("the robot did not start; `pgx up` shows more")
    draw(diary, manifest, stopped_in, Path(folder).resolve().parent / "ros_tracking.png")


def draw(diary: Diary, manifest: BundleManifest, stopped_in: dict[str, str], path: Path) -> None:
    """Commanded against achieved velocity; a line for every objective, with the reason if the robot was stopped."""
    times, achieved, active = zip(*diary.rows, strict=True)
    groups, names = zip(*(policy.split("/", 1) for policy in active), strict=True)
    commands = {objective.name: objective.command.get("velocity", np.nan) for objective in manifest.objectives}
    commanded = np.array([commands[name] for name in names])
    order = {group.name: index for index, group in enumerate(manifest.groups)}
    tracks = {"velocity, m/s": (commanded, np.array(achieved))}
    figure = plot_tracking(np.array(times) - times[0], tracks, names, [order[group] for group in groups])
    figure.savefig(path, dpi=150)
    for name in dict.fromkeys(names):
        speeds = [speed for speed, other in zip(achieved, names, strict=True) if other == name]
        late = np.mean(speeds[len(speeds) // 2 :])
        line = f"{name:<16} commanded {commands[name]:6.2f} m/s   achieved {late:6.2f} m/s   over ROS"
        print(line, stopped_in.get(name, ""), sep="   ")
    print("picture", path)


if __name__ == "__main__":
    main(*sys.argv[1:])
