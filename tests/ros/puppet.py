"""A robot on the machine's clock: its joints follow what is commanded, and sink where nobody holds them."""

from __future__ import annotations

import threading
import time

import numpy as np
from nav_msgs.msg import Odometry
from sensor_msgs.msg import Imu, JointState

from .recorder import COMMANDS, Recorder

PERIOD = 0.01  # s between two readings
FOLLOW, SAG = 0.5, 0.8  # share of the way to the command that a joint goes in a period; rad per s that it sinks


class Puppet:
    """A robot of which the joints follow their commands, and sink while a command is only where they are."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self.kinds = {"/joint_states": JointState, "/imu/data": Imu, "/odom": Odometry}
        node = recorder.node
        self._publishers = {topic: node.create_publisher(kind, topic, 10) for topic, kind in self.kinds.items()}
        joints = recorder.contract.joints
        self._names = [joint.name for joint in joints]
        self.positions = np.array([joint.default for joint in joints])
        self.mute: tuple[str, ...] = ()  # topics on which it says nothing
        self.said: dict[str, float] = {}  # the last stamp of each topic, s
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
        for topic, kind in self.kinds.items():
            if topic in self.mute:
                continue
            message, now = kind(), time.time_ns()
            self.said[topic] = 1e-9 * now
            message.header.stamp.sec, message.header.stamp.nanosec = divmod(now, 1_000_000_000)
            if kind is JointState:
                message.name, message.position = self._names, self.positions.tolist()
                message.velocity = [0.0] * len(self._names)
            elif kind is Imu:
                message.orientation.w = 1.0
            self._publishers[topic].publish(message)
