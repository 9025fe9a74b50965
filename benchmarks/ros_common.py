"""What the ROS benchmarks share: a 12-joint bundle, a feeder that plays its robot, and nodes as processes."""

from __future__ import annotations

import array
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import rclpy
import torch
from ament_index_python.packages import get_package_prefix
from diagnostic_msgs.msg import DiagnosticArray
from pgx_policy_server.metronome import WallMetronome
from pgx_policy_server.spinning import SWITCH, QuickestExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Imu, JointState
from std_msgs.msg import String

from pgx_core.contract import JointContract, ObjectiveContract, ObservationTerm, PolicyContract
from pgx_core.export.bundle import BundleContents, GroupPolicy, write_bundle
from pgx_core.learning.network import GaussianPolicy
from pgx_core.serving import Instant

ENVIRONMENT = {
    "AMENT_PREFIX_PATH": sys.prefix,
    "FASTDDS_DEFAULT_PROFILES_FILE": str(Path(__file__).parents[1] / "ros2_ws/src/pgx_sim/config/fastdds.xml"),
}
for _name, _value in ENVIRONMENT.items():
    os.environ.setdefault(_name, _value)
JOINTS = tuple(f"leg_{leg}_{part}" for leg in ("fl", "fr", "rl", "rr") for part in ("hip", "thigh", "calf"))
HIDDEN = (256, 128, 64)
GROUPS = ("calm", "quick")
OBJECTIVES = ("walk", "run")  # one of each group
FEEDS_PER_TICK = 2  # joint states and IMU readings per control tick
FRAMES = 1000  # of the recording that the feeder plays again and again
SENSOR_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
STOP_TIME = 5.0  # s a process may take to end


def make_bundle(folder: Path, rate: float) -> Path:
    """A bundle of two untrained policies of a 12-joint robot, to be served at a rate in Hz."""
    joint = JointContract("", 0.0, 0.5, -1.0, 1.0, -1.5, 1.5, 10.0, 30.0, 30.0, 1.0)
    terms = (
        ObservationTerm("joint_positions", len(JOINTS)),
        ObservationTerm("joint_velocities", len(JOINTS), scale=0.05),
        ObservationTerm("projected_gravity", 3),
        ObservationTerm("angular_velocity", 3, scale=0.25),
        ObservationTerm("last_action", len(JOINTS)),
    )
    joints = tuple(JointContract(**{**vars(joint), "name": name}) for name in JOINTS)
    contract = PolicyContract("quadruped", rate, "position", joints, terms, "damp", maximum_tilt=None)
    n = contract.observation_size + len(OBJECTIVES)
    groups = []
    for k, name in enumerate(GROUPS):
        torch.manual_seed(k)
        observations = np.random.default_rng(k).normal(size=(8, n)).astype(np.float32)
        observations[:, -len(OBJECTIVES) :] = 0.0
        groups.append(GroupPolicy(name, GaussianPolicy(n, len(JOINTS), HIDDEN), observations))
    contents = BundleContents(
        name="benchmark",
        contract=contract,
        objectives=tuple(ObjectiveContract(*row, score=0.5) for row in zip(OBJECTIVES, ({}, {}), GROUPS, strict=True)),
        groups=tuple(groups),
        metrics={"steps": 0.0},
        config={},
        seed=0,
        rationale="For the benchmarks.",
    )
    return write_bundle(folder, contents)


class Feeder:
    """Plays the sensors of the robot, asks for objectives, and hears what nodes say of themselves.

    Args:
        rate: joint states and IMU readings per second.
    """

    def __init__(self, rate: float) -> None:
        self.node = Node("feeder")
        self.reports: dict[str, list[dict[str, str]]] = {}  # the values of every diagnostic heard, by node
        angles = 2.0 * np.pi * (np.arange(FRAMES)[:, None] / FRAMES + np.arange(len(JOINTS)) / len(JOINTS))
        self._frames = [array.array("d", frame.tobytes()) for frame in 0.3 * np.sin(angles)]
        self._joints, self._imu = JointState(name=list(JOINTS)), Imu()
        self._frame = 0
        self._joint_out = self.node.create_publisher(JointState, "joint_states", SENSOR_QOS)
        self._imu_out = self.node.create_publisher(Imu, "imu/data", SENSOR_QOS)
        self._wish = self.node.create_publisher(String, "policy_server/objective_name", 1)
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._hear, 10)
        self._executor = QuickestExecutor()
        self._executor.add_node(self.node)
        self._metronome = WallMetronome(rate)
        self._metronome.start(self._feed)

    def spin(self, seconds: float, until: Callable[[], object] = lambda: False) -> bool:
        """Hear for some time, or until a condition holds; the answer is whether it does."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not until():
            self._executor.spin_once(timeout_sec=0.1)
        return bool(until())

    def ask(self, objective: str) -> None:
        """Command an objective."""
        self._wish.publish(String(data=objective))

    def close(self) -> None:
        """End."""
        self._metronome.stop()
        self._executor.shutdown()
        self.node.destroy_node()

    def _hear(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self.reports.setdefault(status.name.split(":")[0], []).append({v.key: v.value for v in status.values})

    def _feed(self, now: Instant, missed: int) -> None:
        seconds, fraction = divmod(now.ros, 1.0)
        for message in (self._joints, self._imu):
            message.header.stamp.sec, message.header.stamp.nanosec = int(seconds), int(1e9 * fraction)
        frame = self._frames[self._frame % FRAMES]
        self._joints.position = self._joints.velocity = frame
        self._joint_out.publish(self._joints)
        self._imu.angular_velocity.x, self._imu.angular_velocity.y = frame[0], frame[1]
        self._imu_out.publish(self._imu)
        self._frame += 1


@contextmanager
def feeding(rate: float, domain: int) -> Iterator[Feeder]:
    """A feeder in a ROS context of this process, on a ROS domain of its own; the tests use those below 100."""
    os.environ.setdefault("ROS_DOMAIN_ID", str(domain))
    sys.setswitchinterval(SWITCH)
    for number in (signal.SIGINT, signal.SIGTERM):  # stop the nodes too, even in the background of a shell
        signal.signal(number, signal.default_int_handler)
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    feeder = Feeder(rate)
    try:
        yield feeder
    finally:
        feeder.close()
        rclpy.shutdown()


@contextmanager
def running(command: list[str], parameters: dict[str, object], log: Path) -> Iterator[psutil.Process]:
    """A node as a process, stopped at the end."""
    values = log.with_suffix(".yaml")
    values.write_text(json.dumps({"/**": {"ros__parameters": parameters}}))  # JSON is YAML
    with log.open("ab") as file:
        words = [*command, "--ros-args", "--params-file", str(values)]
        process = psutil.Popen(
            words, stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, preexec_fn=_give_way
        )
    try:
        yield process
        if process.poll() is not None:
            raise RuntimeError(f"{command[-1]} ended with {process.returncode}:\n{log.read_text()}")
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_TIME)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait()


def _give_way() -> None:
    """At a real-time priority a node that spins would starve the feeder."""
    policy, priority = os.sched_getscheduler(0), os.sched_getparam(0).sched_priority
    if priority > 1:
        os.sched_setscheduler(0, policy, os.sched_param(priority - 1))


def executable(name: str) -> str:
    """One of the policy server's package, as it was installed."""
    return str(Path(get_package_prefix("pgx_policy_server"), "lib/pgx_policy_server", name))
