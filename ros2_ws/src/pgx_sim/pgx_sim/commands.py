"""Commands that come as any of the messages controllers take."""

from __future__ import annotations

import time

from pgx_policy_server.outputs import FIELDS, TOPICS
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from pgx_core.errors import ConfigError
from pgx_sim.robot import SimulatedRobot


class CommandIn:
    """Hears commands and gives them to the robot.

    Args:
        node: hears.
        robot: obeys, or refuses and counts.
        kind: a key of `TOPICS`.
        controller: name of the controller it stands for; unused for joint_state.

    Raises:
        ConfigError: the kind is unknown.
    """

    def __init__(self, node: Node, robot: SimulatedRobot, kind: str, controller: str) -> None:
        if kind not in TOPICS:
            raise ConfigError(f"command_out_type: expected one of {', '.join(TOPICS)}, got '{kind}'")
        self._robot = robot
        self._logger = node.get_logger()
        self._point_field, self._state_field = FIELDS[robot.command_type]
        hear = {"forward": self._on_forward, "trajectory": self._on_trajectory, "joint_state": self._on_joint_state}
        message_type, topic = TOPICS[kind]
        node.create_subscription(message_type, topic.format(controller=controller), hear[kind], QoSProfile(depth=1))

    def _on_forward(self, message: Float64MultiArray) -> None:
        self._obey(message.data, ())

    def _on_trajectory(self, message: JointTrajectory) -> None:
        # The last point is the target: a policy sends one that is due within a control tick.
        values = getattr(message.points[-1], self._point_field) if message.points else ()
        self._obey(values, message.joint_names)

    def _on_joint_state(self, message: JointState) -> None:
        self._obey(getattr(message, self._state_field), message.name)

    def _obey(self, values: object, names: object) -> None:
        if refusal := self._robot.command(values, time.monotonic(), names):
            self._logger.warning(f"command refused: {refusal}", throttle_duration_sec=1.0)
