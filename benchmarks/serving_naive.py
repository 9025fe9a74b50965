"""How a policy is served in an afternoon: the peer of `benchmarks/serving.py`.

A timer on a MultiThreadedExecutor, ONNX Runtime as it comes, lists in messages; joints by name, the newest readings,
nothing checked. It measures itself as the policy server does and says so on `/diagnostics`.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import onnxruntime
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from pgx_policy_server.timing import TickTiming
from rclpy.executors import ExternalShutdownException, MultiThreadedExecutor
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Imu, JointState
from std_msgs.msg import Float64MultiArray


class NaiveServer(Node):
    """Runs the first policy of a bundle, and trusts it."""

    def __init__(self) -> None:
        super().__init__("naive_server")
        folder = Path(self.declare_parameter("bundle_path", "").value)
        contract = json.loads((folder / "bundle.json").read_text())["contract"]
        self.joints = contract["joints"]
        self.session = onnxruntime.InferenceSession(str(folder / "group_0.onnx"))
        self.joint_state: JointState | None = None
        self.imu: Imu | None = None
        self.action = [0.0] * len(self.joints)
        self.timing, self.ticks = TickTiming(), 0
        self.period = 1.0 / contract["control_rate"]
        self.deadline = time.monotonic()
        self.create_subscription(JointState, "joint_states", self.on_joint_state, qos_profile_sensor_data)
        self.create_subscription(Imu, "imu/data", self.on_imu, qos_profile_sensor_data)
        self.commands = self.create_publisher(Float64MultiArray, "naive/commands", 10)
        self.diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.create_timer(self.period, self.on_timer)
        self.create_timer(1.0, self.report)

    def on_joint_state(self, message: JointState) -> None:
        """Keep the newest."""
        self.joint_state = message

    def on_imu(self, message: Imu) -> None:
        """Keep the newest."""
        self.imu = message

    def on_timer(self) -> None:
        """One control tick."""
        start = time.monotonic()
        if self.joint_state is None or self.imu is None:
            return
        observation = np.array([self.observe(self.joint_state, self.imu)], dtype=np.float32)
        action, command = self.session.run(None, {"observation": observation})
        self.action = action[0].tolist()
        self.commands.publish(Float64MultiArray(data=command[0].tolist()))
        self.note(start)

    def observe(self, joint_state: JointState, imu: Imu) -> list[float]:
        """The observation, number by number."""
        places = [joint_state.name.index(joint["name"]) for joint in self.joints]
        positions = [joint_state.position[k] - joint["default"] for k, joint in zip(places, self.joints, strict=True)]
        velocities = [0.05 * joint_state.velocity[k] for k in places]
        q, rate = imu.orientation, imu.angular_velocity
        gravity = [
            2 * (q.w * q.y - q.x * q.z),
            -2 * (q.y * q.z + q.w * q.x),
            2 * (q.x * q.x + q.y * q.y) - 1,
        ]
        return [*positions, *velocities, *gravity, 0.25 * rate.x, 0.25 * rate.y, 0.25 * rate.z, *self.action]

    def note(self, start: float) -> None:
        """Measure the tick; deadlines that passed without one count as missed."""
        missed = max(0, int((start - self.deadline) / self.period))
        self.deadline += (1 + missed) * self.period
        self.timing.add(start, time.monotonic(), missed if self.ticks else 0)
        self.ticks += 1

    def report(self) -> None:
        """The figures, under the policy server's names."""
        timing = self.timing.report()
        values = {
            "tick_p50_ms": timing.p50,
            "tick_p99_ms": timing.p99,
            "tick_max_ms": timing.maximum,
            "period_sigma_ms": timing.period_sigma,
            "ticks": self.ticks,
            "overruns": timing.overruns,
        }
        pairs = [KeyValue(key=key, value=f"{value:.9g}") for key, value in values.items()]
        self.diagnostics.publish(DiagnosticArray(status=[DiagnosticStatus(name="naive_server: policy", values=pairs)]))


def main() -> None:
    """Spin until told to stop."""
    rclpy.init()
    executor = MultiThreadedExecutor()
    executor.add_node(NaiveServer())
    with suppress(KeyboardInterrupt, ExternalShutdownException):
        executor.spin()


if __name__ == "__main__":
    main()
