"""What the robot says: messages into the controller's readings. Only what the contract needs is subscribed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from nav_msgs.msg import Odometry
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Imu, JointState
from std_msgs.msg import Float64MultiArray, Header

from pgx_core.contract import SENSOR_PREFIX
from pgx_core.serving import Controller, Instant

# A queue is shared by all who publish on a topic: with room for one, a gripper's joints would push out the legs'.
DEPTH = 10
INPUT_QOS = QoSProfile(depth=DEPTH, reliability=ReliabilityPolicy.BEST_EFFORT)
NONE_MEASURED = -1.0  # first entry of the covariance of what an IMU does not measure (sensor_msgs/Imu)


def stamp_of(header: Header) -> float:
    """Seconds on the ROS clock."""
    return float(header.stamp.sec + 1e-9 * header.stamp.nanosec)


class RobotInputs:
    """Subscriptions that feed a controller.

    Args:
        node: hears.
        controller: takes the readings.
        now: the time of arrival.
        depth: messages a queue keeps.
    """

    def __init__(self, node: Node, controller: Controller, now: Callable[[], Instant], depth: int = DEPTH) -> None:
        self._node = node
        self._controller = controller
        self._now = now
        self.refusals: dict[str, str] = {}  # by input: why its last message was refused; empty if it was not
        topics = {
            "joint_states": (JointState, "joint_states", self._on_joint_state),
            "imu": (Imu, "imu/data", self._on_imu),
            "odometry": (Odometry, "odom", self._on_odometry),
        }
        qos = QoSProfile(depth=depth, reliability=ReliabilityPolicy.BEST_EFFORT)
        self._subscriptions = []
        for name in controller.required_inputs():
            message_type, topic, callback = topics.get(name) or self._sensor(name)
            self._subscriptions.append(node.create_subscription(message_type, topic, callback, qos))

    def close(self) -> None:
        """Hear no more."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def _sensor(self, source: str) -> tuple[type, str, Callable[[Float64MultiArray], None]]:
        name = source.removeprefix(SENSOR_PREFIX)

        def on_sensor(message: Float64MultiArray) -> None:
            now = self._now()  # the message has no stamp
            self.refusals[source] = self._controller.sensor(name, np.frombuffer(message.data), now.ros, now)

        return Float64MultiArray, f"sensors/{name}", on_sensor

    def _on_joint_state(self, message: JointState) -> None:
        positions, velocities = np.frombuffer(message.position), np.frombuffer(message.velocity)
        stamp = stamp_of(message.header)
        refusal = self._controller.joint_state(message.name, positions, velocities, stamp, self._now())
        self.refusals["joint_states"] = refusal

    def _on_imu(self, message: Imu) -> None:
        turn, rate = message.orientation, message.angular_velocity
        orientation = np.array((turn.w, turn.x, turn.y, turn.z))
        velocity = np.array((rate.x, rate.y, rate.z))
        if message.orientation_covariance[0] == NONE_MEASURED:
            orientation = None  # the message then holds a level one
        if message.angular_velocity_covariance[0] == NONE_MEASURED:
            velocity = None
        self.refusals["imu"] = self._controller.imu(orientation, velocity, stamp_of(message.header), self._now())

    def _on_odometry(self, message: Odometry) -> None:
        linear = message.twist.twist.linear  # in the child frame, which is the base
        velocity = np.array((linear.x, linear.y, linear.z))
        self.refusals["odometry"] = self._controller.odometry(velocity, stamp_of(message.header), self._now())
