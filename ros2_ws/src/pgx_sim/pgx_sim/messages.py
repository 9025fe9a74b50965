"""Readings as ROS messages. Each topic has one message that is written again and again."""

from __future__ import annotations

import array
from collections.abc import Callable

import numpy as np
from geometry_msgs.msg import Quaternion, Vector3
from nav_msgs.msg import Odometry
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Imu, JointState
from std_msgs.msg import Float64MultiArray

from pgx_sim.faults import CLOCK, IMU, JOINT_STATES, ODOM, Reading
from pgx_sim.robot import NANO, SimulatedRobot

SENSOR_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
BASE_FRAME, WORLD_FRAME = "base_link", "odom"
UNKNOWN = -1.0  # as a covariance's first element: not measured


class Publishers:
    """Says readings on their topics.

    Args:
        node: publishes.
        robot: what it has decides the topics.
    """

    def __init__(self, node: Node, robot: SimulatedRobot) -> None:
        self._node = node
        self._joints = JointState()
        self._imu, self._odom = Imu(), Odometry()
        self._clock, self._data = Clock(), Float64MultiArray()
        self._imu.header.frame_id = self._odom.child_frame_id = BASE_FRAME
        self._odom.header.frame_id = WORLD_FRAME
        self._say: dict[str, Callable[[Reading], None]] = {CLOCK: self._topic("/clock", self._write_clock, Clock)}
        self._say[JOINT_STATES] = self._topic("joint_states", self._write_joints, JointState)
        if robot.has_imu:
            self._say[IMU] = self._topic("imu/data", self._write_imu, Imu)
        if robot.has_odom:
            self._say[ODOM] = self._topic("odom", self._write_odom, Odometry)
        for name in robot.sensors:
            self._say[name] = self._topic(f"sensors/{name}", self._write_data, Float64MultiArray)

    def publish(self, readings: list[Reading]) -> None:
        """Say them in their order. From one thread."""
        for reading in readings:
            self._say[reading.topic](reading)

    def _topic(self, name: str, write: Callable[[Reading], object], kind: type) -> Callable[[Reading], None]:
        publisher = self._node.create_publisher(kind, name, SENSOR_QOS)
        return lambda reading: publisher.publish(write(reading))

    def _write_joints(self, reading: Reading) -> JointState:
        message = self._joints
        _stamp(message.header.stamp, reading.stamp)
        message.name = list(reading.names)
        for field, values in reading.values.items():
            setattr(message, field, doubles(values))
        return message

    def _write_imu(self, reading: Reading) -> Imu:
        message, values = self._imu, reading.values
        _stamp(message.header.stamp, reading.stamp)
        for field, write in IMU_FIELDS.items():
            if field in values:
                write(getattr(message, field), values[field])
            else:
                getattr(message, f"{field}_covariance")[0] = UNKNOWN
        return message

    def _write_odom(self, reading: Reading) -> Odometry:
        message, values = self._odom, reading.values
        _stamp(message.header.stamp, reading.stamp)
        _write_vector(message.pose.pose.position, values["position"])
        _write_vector(message.twist.twist.linear, values["linear_velocity"])
        if "orientation" in values:
            _write_quaternion(message.pose.pose.orientation, values["orientation"])
        if "angular_velocity" in values:
            _write_vector(message.twist.twist.angular, values["angular_velocity"])
        return message

    def _write_data(self, reading: Reading) -> Float64MultiArray:
        self._data.data = doubles(reading.values["data"])
        return self._data

    def _write_clock(self, reading: Reading) -> Clock:
        _stamp(self._clock.clock, reading.stamp)
        return self._clock


def doubles(values: np.ndarray) -> array.array[float]:
    """As the only type that a float64[] field takes with all its checks on, and takes quickly."""
    return array.array("d", values.tobytes())


def _stamp(field: object, stamp: int) -> None:
    seconds, nanoseconds = divmod(max(0, stamp), NANO)
    field.sec, field.nanosec = seconds, nanoseconds


def _write_vector(field: Vector3, values: np.ndarray) -> None:
    field.x, field.y, field.z = values.tolist()


def _write_quaternion(field: Quaternion, wxyz: np.ndarray) -> None:
    field.w, field.x, field.y, field.z = wxyz.tolist()


IMU_FIELDS: dict[str, Callable[..., None]] = {
    "orientation": _write_quaternion,
    "angular_velocity": _write_vector,
    "linear_acceleration": _write_vector,
}
