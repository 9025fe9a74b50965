"""A server that stands still for a while, on the machine's clock: the watchdog moves the robot, and keeps it."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

pytest.importorskip("pgx_msgs", reason="pgx_msgs is not built: it needs a C++ compiler")
from nav_msgs.msg import Odometry
from pgx_msgs.msg import PolicyStatus
from sensor_msgs.msg import Imu, JointState
from std_msgs.msg import String

from .processes import Process, wait_until
from .recorder import COMMANDS, Recorder

EVENTS, STATUS = "/policy_server/events", "/policy_server/status"
PERIOD = 0.01  # s between two readings
FOLLOW, SAG = 0.5, 0.4  # share of the way to the command that a joint goes in a period; rad per s that it sinks
SUNK = 0.3  # rad
AGES = dict.fromkeys(("joint_state_age_s", "imu_age_s", "odometry_age_s"), 5.0)  # a busy machine makes no fault


class Puppet:
    """A robot of which the joints follow their commands, and sink while a command is only where they are."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._kinds = {"/joint_states": JointState, "/imu/data": Imu, "/odom": Odometry}
        node = recorder.node
        self._publishers = {topic: node.create_publisher(kind, topic, 10) for topic, kind in self._kinds.items()}
        joints = recorder.contract.joints
        self._names = [joint.name for joint in joints]
        self.positions = np.array([joint.default for joint in joints])
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._live)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _live(self) -> None:
        while not self._stopping.wait(PERIOD):
            heard = self._recorder.heard[COMMANDS]
            if heard:
                self.positions += FOLLOW * (np.array(heard[-1].message.data) - self.positions) - SAG * PERIOD
            self._say()

    def _say(self) -> None:
        for topic, kind in self._kinds.items():
            message = kind()
            message.header.stamp.sec, message.header.stamp.nanosec = divmod(time.time_ns(), 1_000_000_000)
            if kind is JointState:
                message.name, message.position = self._names, self.positions.tolist()
                message.velocity = [0.0] * len(self._names)
            elif kind is Imu:
                message.orientation.w = 1.0
            self._publishers[topic].publish(message)


@pytest.fixture
def puppet(recorder: Recorder) -> Iterator[Puppet]:
    puppet = Puppet(recorder)
    yield puppet
    puppet.stop()


def test_a_server_that_hangs_comes_back_where_the_watchdog_left_the_robot(
    start_server: Callable[..., Process], start_watchdog: Callable[..., Process], recorder: Recorder, puppet: Puppet
) -> None:
    """The fixture `recorder` holds all commands to the law: from the server's to the watchdog's and back, no jump."""
    recorder.listen(PolicyStatus, STATUS, reliable=True)
    start_watchdog(joint_state_age_s=5.0)
    server = start_server(autostart=True, initial_objective="walk", **AGES)
    wish = recorder.talk(String, "/policy_server/objective_name")

    def running() -> bool:
        """A busy machine may stop its loop in the first moments: then too it waits for a request."""
        told = recorder.heard[STATUS]
        if told and told[-1].message.mode == "RUN":
            return True
        time.sleep(2.5)  # it wants a second without requests, or they count as one that is repeated
        wish.publish(String(data="walk"))
        time.sleep(0.5)
        return False

    wait_until(running, 30.0, "the mode RUN")
    left = puppet.positions.copy()
    server.popen.send_signal(signal.SIGSTOP)
    try:
        wait_until(lambda: np.abs(puppet.positions - left).min() > SUNK, 20.0, "the robot, damped, to sink")
        events = len(recorder.heard[EVENTS])
    finally:
        server.popen.send_signal(signal.SIGCONT)
    event = recorder.wait_for(EVENTS, lambda m: m.kind == "mode", after=events).message
    assert event.target == "DAMP" and event.reason.startswith("the loop stood still for "), event
    counted = len(recorder.heard[COMMANDS])
    wait_until(lambda: len(recorder.heard[COMMANDS]) > counted + 25, 10.0, "a second's commands")
    assert recorder.heard[STATUS][-1].message.mode == "DAMP", "it waits for a request"
    wish.publish(String(data="run"))
    recorder.wait_for(EVENTS, lambda m: m.kind == "mode" and m.target == "RUN", after=events)
