"""A robot and a clock by hand: sensors and time go on one control tick at a time, so that nothing depends on timing."""

from __future__ import annotations

import array
import time
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from nav_msgs.msg import Odometry
from pgx_msgs.msg import PolicyStatus
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Imu, JointState
from std_msgs.msg import String

from pgx_core.contract import PolicyContract
from pgx_core.serving import Controller, Instant

from .processes import wait_until
from .recorder import COMMANDS, Recorder

ACTIVE_POLICY, STATUS = "/policy_server/active_policy", "/policy_server/status"


class Rig:
    """A robot and a clock that go on one control tick at a time."""

    def __init__(self, recorder: Recorder, contract: PolicyContract) -> None:
        self._recorder, self.contract = recorder, contract
        self._random = np.random.default_rng(0)
        self._period = round(1e9 / contract.control_rate)
        self.ticks, self.covariance = 0, 0.0  # of the orientation, its first entry
        self.lean, self.speed = 0.0, 0.0  # rad about the y axis; rad/s of every joint: besides the noise
        node = recorder.node
        topics = {"/joint_states": JointState, "/imu/data": Imu, "/odom": Odometry, "/clock": Clock}
        self._publishers = {topic: node.create_publisher(kind, topic, 10) for topic, kind in topics.items()}
        recorder.listen(PolicyStatus, STATUS, reliable=True, latched=True)
        recorder.listen(String, ACTIVE_POLICY, reliable=True, latched=True)
        recorder.listen(DiagnosticArray, "/diagnostics", reliable=True)
        self.mirror: Controller | None = None  # gets everything that the server gets
        self.mirrored: list[np.ndarray | None] = []

    @property
    def commands(self) -> list[Any]:
        return self._recorder.heard[COMMANDS]

    @property
    def now(self) -> Instant:
        """As the server counts it: from its first clock message on."""
        return Instant(1e-9 * self._period * max(0, self.ticks - 1), 1e-9 * self._period * self.ticks)

    def connect(self) -> None:
        """Wait for the server's subscriptions, then give it the first readings."""
        # The server's node has a clock of its own besides the one it ticks by, and the recorder hears joint states.
        wanted = dict.fromkeys(self._publishers, 1) | {"/clock": 2, "/joint_states": 2}
        wait_until(
            lambda: all(p.get_subscription_count() >= wanted[topic] for topic, p in self._publishers.items()),
            15.0, "the server's subscriptions",
        )  # fmt: skip
        heard = self._recorder.heard[STATUS]
        told = len(heard)

        def ready() -> bool:
            self.step(commanded=False)  # again: what comes before a subscription knows its publisher is lost
            time.sleep(0.1)
            return any(status.message.ages and np.isfinite(status.message.ages).all() for status in heard[told:])

        wait_until(ready, 15.0, "the server to have heard everything")

    def disconnect(self) -> None:
        """Wait until a server that was cleaned up is seen to listen no more: its next session is then told from it."""
        publisher = self._publishers["/imu/data"]
        wait_until(lambda: publisher.get_subscription_count() == 0, 15.0, "the server's subscriptions to go")

    def step(self, ticks: int = 1, commanded: bool = True) -> None:
        """Sensors, then the clock; wait for the command that answers."""
        for _ in range(ticks):
            before, heard = self.now, len(self.commands)
            self.ticks += 1
            self._say(before)
            if commanded:
                wait_until(lambda heard=heard: len(self.commands) > heard, 5.0, f"the command of tick {self.ticks}")
            if self.mirror is not None:
                self.mirrored.append(self.mirror.tick(self.now).command)

    def _say(self, before: Instant) -> None:
        n = len(self.contract.joints)
        positions = [joint.default for joint in self.contract.joints] + 0.05 * self._random.normal(size=n)
        velocities, spin, velocity = (0.1 * self._random.normal(size=size) for size in (n, 3, 3))
        velocities += self.speed
        names = [joint.name for joint in self.contract.joints]
        stamp = self.ticks * self._period
        order = self._random.permutation(n)  # a robot lists its joints as it likes
        joints = JointState(name=[names[i] for i in order])
        joints.position = array.array("d", positions[order])
        joints.velocity = array.array("d", velocities[order])
        imu, odom, clock = Imu(), Odometry(), Clock()
        imu.orientation_covariance[0] = self.covariance
        orientation = np.array([np.cos(self.lean / 2), *(0.1 * self._random.normal(size=3))])
        orientation[2] += np.sin(self.lean / 2)
        orientation /= np.linalg.norm(orientation)
        turn = imu.orientation
        turn.w, turn.x, turn.y, turn.z = orientation
        imu.angular_velocity.x, imu.angular_velocity.y, imu.angular_velocity.z = spin
        linear = odom.twist.twist.linear
        linear.x, linear.y, linear.z = velocity
        for part in (joints.header.stamp, imu.header.stamp, odom.header.stamp, clock.clock):
            part.sec, part.nanosec = divmod(stamp, 1_000_000_000)
        for topic, message in zip(self._publishers, (joints, imu, odom, clock), strict=True):
            self._publishers[topic].publish(message)
        if self.mirror is not None:
            self.mirror.joint_state(names, positions, velocities, self.now.ros, before)
            self.mirror.imu(orientation, spin, self.now.ros, before)
            self.mirror.odometry(velocity, self.now.ros, before)
