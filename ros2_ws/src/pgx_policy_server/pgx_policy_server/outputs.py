"""Joint commands as the message a robot's controller takes."""

from __future__ import annotations

import array
from collections.abc import Sequence
from typing import Any

import numpy as np
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from pgx_core.contract import PolicyContract
from pgx_core.errors import ConfigError

TOPICS = {
    "forward": (Float64MultiArray, "{controller}/commands"),
    "trajectory": (JointTrajectory, "{controller}/joint_trajectory"),
    "joint_state": (JointState, "joint_commands"),
}
FIELDS = {  # where a message carries each kind of command: JointTrajectoryPoint, JointState
    "position": ("positions", "position"),
    "velocity": ("velocities", "velocity"),
    "effort": ("effort", "effort"),
}
QOS = QoSProfile(depth=1)  # reliable: the last command must arrive


class CommandOut:
    """Publishes commands, and hears them again, in the order the controller expects.

    Args:
        node: publishes.
        kind: a key of `TOPICS`.
        controller: name of the controller; unused for joint_state.
        contract: joints in the policy's order.
        joint_order: the controller's joints in its order; empty: the contract's order.

    Raises:
        ConfigError: the kind is unknown, or the order is not one of the contract's joints.
    """

    def __init__(
        self, node: Node, kind: str, controller: str, contract: PolicyContract, joint_order: Sequence[str] = ()
    ) -> None:
        names = [joint.name for joint in contract.joints]
        order = list(joint_order) or names
        if sorted(order) != sorted(names):
            raise ConfigError(f"joint_order: expected the bundle's joints {', '.join(names)}, got {', '.join(order)}")
        if kind not in TOPICS:
            raise ConfigError(f"command_out_type: expected one of {', '.join(TOPICS)}, got '{kind}'")
        if kind == "trajectory" and contract.command_type != "position":
            # The controller refuses points without positions, and its last word on the robot is nobody's.
            got = f"a bundle that commands {contract.command_type}: use forward or joint_state"
            raise ConfigError(f"command_out_type: trajectory is for positions, got {got}")
        self._node = node
        self._kind = kind
        self._order = order
        self._field = "data" if kind == "forward" else FIELDS[contract.command_type][kind == "joint_state"]
        self._out = np.array([names.index(name) for name in order])  # contract order to the controller's
        self._back = np.argsort(self._out)
        self._message_type, topic = TOPICS[kind]
        # One message for all ticks: numbers are written through a view of its own array. It is taken from the message,
        # which may have copied the array it was given.
        self._message = self._make_message(order, contract.control_rate)
        self._view = np.frombuffer(getattr(self._source(self._message), self._field))
        self._publisher = node.create_publisher(self._message_type, topic.format(controller=controller), QOS)

    @property
    def topic(self) -> str:
        """Its full name."""
        return str(self._publisher.topic_name)

    def wiring(self, digest: str, timeout_s: float, heartbeat: str) -> str:
        """What the server and its watchdog must agree on, in words: both compare it.

        Args:
            digest: of the bundle.
            timeout_s: silence after which the watchdog commands the robot.
            heartbeat: full name of the topic on which the server is heard.
        """
        joints = " ".join(self._order)
        return f"bundle {digest[:12]}, {self._kind} on {self.topic}, joints {joints}, {timeout_s:g} s, {heartbeat}"

    @property
    def message_type(self) -> type:
        """Of the topic."""
        return self._message_type

    def publish(self, command: np.ndarray) -> None:
        """Send a command [joints], contract order. Not from two threads at once."""
        np.take(command, self._out, out=self._view)
        if self._kind == "joint_state":
            self._message.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(self._message)

    def read(self, message: Float64MultiArray | JointTrajectory | JointState) -> np.ndarray | None:
        """The command [joints] of a message, contract order; None where it has another length."""
        values = np.array(getattr(self._source(message), self._field, ()))
        return values[self._back] if values.shape == self._out.shape else None

    def flush(self, seconds: float) -> None:
        """Wait until everyone who listens has the last command."""
        self._publisher.wait_for_all_acked(Duration(seconds=seconds))

    def close(self) -> None:
        """End."""
        self._node.destroy_publisher(self._publisher)

    def _source(self, message: Any) -> Any:
        """The part of a message that has the numbers; a trajectory without points has none."""
        return message.points[-1] if self._kind == "trajectory" and message.points else message

    def _make_message(self, order: list[str], rate: float) -> Float64MultiArray | JointTrajectory | JointState:
        zeros = array.array("d", bytes(8 * len(order)))
        if self._kind == "forward":
            return Float64MultiArray(data=zeros)
        if self._kind == "joint_state":
            return JointState(name=order, **{self._field: zeros})
        # A stamp of zero starts the trajectory on arrival; the point is reached when the next one comes.
        point = JointTrajectoryPoint(time_from_start=Duration(seconds=1.0 / rate).to_msg(), **{self._field: zeros})
        return JointTrajectory(joint_names=order, points=[point])
