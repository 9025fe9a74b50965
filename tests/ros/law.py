"""The law: whatever a test does, every published command is finite, in its range, and no faster than the joints may.

A node with a ROS context of its own hears all topics that carry commands, in every namespace, beside the tests.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
import rclpy
from pgx_policy_server.outputs import FIELDS
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from pgx_core.contract import PolicyContract

from .processes import wait_until

NODE = "law"
KINDS = {"/commands": Float64MultiArray, "/joint_trajectory": JointTrajectory, "/joint_commands": JointState}
USUAL = "/forward_position_controller/commands"  # heard from the start; others soon after they are there
SURVEY = 0.1  # s between two looks for other topics
STILL = 0.1  # s, less than the shortest silence that is a fault: a publisher that kept it may find the robot elsewhere
PROCESS = slice(8)  # of a sender's identity: its vendor, host and process


@dataclass(frozen=True)
class Sent:
    """One command as it was sent."""

    stamp: float  # s, by the sender
    sender: bytes
    number: int  # of the sender's, from 1 on
    values: np.ndarray


class Law:
    """Hears from `open` to `close`, and judges by the contract that it was given last.

    Args:
        contract: of the robot that is commanded.
        lenient: the nodes of this process, the tests' own, may command as they like.
    """

    def __init__(self, contract: PolicyContract, lenient: bool = True) -> None:
        self.judged = 0  # commands so far
        self._lenient = lenient
        self._heard: dict[str, list[Sent]] = defaultdict(list)
        self._last: dict[bytes, Sent] = {}  # of each sender
        self._stopping = threading.Event()
        self.hold(contract)

    def open(self) -> None:
        """Begin to hear."""
        self._context = rclpy.Context()
        rclpy.init(context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self._node = rclpy.create_node(NODE, context=self._context)
        wait_until(self._learn_process, 10.0, "the law to know itself")
        self._listen(USUAL, Float64MultiArray)
        self._node.create_timer(SURVEY, self._survey)
        self._thread = threading.Thread(target=self._spin)
        self._thread.start()

    def close(self) -> None:
        """End."""
        self._stopping.set()
        self._thread.join()
        self._node.destroy_node()
        rclpy.shutdown(context=self._context)

    def hold(self, contract: PolicyContract, blend_s: float = 0.0) -> None:
        """From now on commands are of this robot, of which velocities and efforts are blended for so long, s.

        A limit of speed is the same for all joints, and the range that of the widest: their order says nothing.
        """
        (speed,) = {joint.velocity_limit for joint in contract.joints}
        self._lower, self._upper = min(joint.lower for joint in contract.joints), max(j.upper for j in contract.joints)
        self._limit = speed / contract.control_rate
        if contract.command_type != "position":
            self._limit = (self._upper - self._lower) / (blend_s * contract.control_rate)
        self.contract, self._since = contract, time.time()

    def check(self) -> None:
        """Judge what was heard since the last time."""
        for topic, heard in list(self._heard.items()):  # more topics may come meanwhile
            count = len(heard)  # and more commands
            sent = sorted((one for one in heard[:count] if one.stamp >= self._since), key=lambda one: one.stamp)
            heard[:count] = sent[-1:]  # the next one follows it
            for one in sent:
                expected, came = len(self.contract.joints), len(one.values)
                assert came == expected, f"{topic}: expected a command for {expected} joints, got one for {came}"
                assert np.isfinite(one.values).all(), f"{topic}: NaN or infinity was published"
                inside = (self._lower <= one.values).all() and (one.values <= self._upper).all()
                assert inside, f"{topic}: {one.values} is out of range"
            for before, one in itertools.pairwise(sent):
                self._judge(topic, before, one)

    def _judge(self, topic: str, before: Sent, one: Sent) -> None:
        self.judged += 1
        self._last[before.sender] = before
        own = self._last.get(one.sender)
        ticks = 1.0 + max(0, one.number - (own.number if own else 0) - 1)  # some were sent, and not heard
        if own is None or one.stamp - own.stamp > STILL:  # the robot may be elsewhere: as far as the time allows
            ticks += max(0.0, round((one.stamp - before.stamp) * self.contract.control_rate) - 1.0)
        elif own is not before:  # two at once, as one hands over: the other may be a tick away from its own, too
            self._require(topic, own, one, ticks)
            ticks += 1.0
        self._require(topic, before, one, ticks)

    def _require(self, topic: str, before: Sent, one: Sent, ticks: float) -> None:
        jump = np.abs(one.values - before.values).max()
        told = f"{topic}: a command moved by {jump:.3f} in {ticks:g} ticks and {one.stamp - before.stamp:.3f} s"
        assert jump <= ticks * self._limit + 1e-6, f"{told}: {before}, {one}"

    def _listen(self, topic: str, kind: type) -> None:
        heard = self._heard[topic]

        def hear(message: Any, info: dict[str, Any]) -> None:
            sender = bytes(info["publisher_gid"]["data"])
            if not (self._lenient and sender[PROCESS] == self._own):
                stamp, number = 1e-9 * info["source_timestamp"], info["publication_sequence_number"]
                heard.append(Sent(stamp, sender, number, values_of(message, self.contract.command_type)))

        qos = QoSProfile(depth=1000, reliability=ReliabilityPolicy.RELIABLE)
        self._node.create_subscription(kind, topic, hear, qos)

    def _learn_process(self) -> bool:
        """By identity and not by name: nodes' names are heard later than their first messages."""
        own = [info for info in self._node.get_publishers_info_by_topic("/rosout") if info.node_name == NODE]
        self._own = bytes(own[0].endpoint_gid)[PROCESS] if own else b""
        return bool(own)

    def _survey(self) -> None:
        known = {subscription.topic_name for subscription in self._node.subscriptions}
        for topic, _ in self._node.get_topic_names_and_types():
            kind = next((kind for end, kind in KINDS.items() if topic.endswith(end)), None)
            if kind is not None and topic not in known:
                self._listen(topic, kind)

    def _spin(self) -> None:
        executor = SingleThreadedExecutor(context=self._context)  # the one that tells who sent a message, and when
        executor.add_node(self._node)
        while not self._stopping.is_set():
            executor.spin_once(timeout_sec=0.05)
        executor.shutdown()


def values_of(message: Float64MultiArray | JointTrajectory | JointState, command_type: str) -> np.ndarray:
    """The numbers of a command."""
    if isinstance(message, Float64MultiArray):
        return np.array(message.data)
    in_point, in_state = FIELDS[command_type]
    return np.array(
        getattr(message, in_state) if isinstance(message, JointState) else getattr(message.points[-1], in_point)
    )
