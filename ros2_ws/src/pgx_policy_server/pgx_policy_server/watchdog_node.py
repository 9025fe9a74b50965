"""The node `watchdog`: a process of its own that commands the robot safely when the policy server falls silent."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, String

from pgx_core.errors import BundleError
from pgx_core.serving import Instant
from pgx_core.serving.manifest import MANIFEST_FILE, BundleManifest, decode_manifest
from pgx_policy_server.inputs import INPUT_QOS
from pgx_policy_server.outputs import CommandOut
from pgx_policy_server.parameters import WATCHDOG, declare, read
from pgx_policy_server.spinning import run
from pgx_policy_server.watchdog import Watchdog

HEARTBEAT_PERIOD = 0.1  # s
HEARTBEATS_PER_DIAGNOSTIC = 10
# As reliable as the heartbeat, or a lossy network makes a server look half dead. Its own commands come this way, too.
COMMANDS_QOS = QoSProfile(depth=10)


class WatchdogNode(Node):
    """Hears the server's heartbeat and commands, and publishes safe ones while they should be there and are not.

    It loads no policy: of the bundle it reads the contract alone. Its own heartbeat says what it is wired to, so that a
    server with another bundle or other settings does not rely on it.

    Raises:
        BundleError: the bundle's manifest is unusable.
        ConfigError: a parameter is.
    """

    def __init__(self) -> None:
        super().__init__("watchdog")
        declare(self, WATCHDOG)
        values = read(self, WATCHDOG)
        manifest = _read_manifest(Path(values["bundle_path"]))
        contract = manifest.contract
        self._watchdog = Watchdog(contract, values["timeout_s"], values["joint_state_age_s"])
        self._output = CommandOut(
            self, values["command_out_type"], values["controller"], contract, values["joint_order"]
        )
        self._simulated = bool(self.get_parameter("use_sim_time").value)
        self._elapsed = self._ros = 0.0
        self._reported, self._rounds = "", 0
        heartbeat = self._subscribe(values["server"])
        self._wiring = String(data=self._output.wiring(manifest.digest, values["timeout_s"], heartbeat))
        self._beat = self.create_publisher(String, "~/heartbeat", QoSProfile(depth=1))
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(1.0 / contract.control_rate, self._tick, clock=steady)
        self.create_timer(HEARTBEAT_PERIOD, self._live, clock=steady)

    @property
    def node(self) -> Node:
        """This node."""
        return self

    def check(self) -> None:
        """Nothing runs beside the callbacks."""

    def close(self, orderly: bool) -> None:
        """The robot keeps what it was last told."""

    def _subscribe(self, server: str) -> str:
        """Hear the server, the commands and the joints; the full name of the topic on which it hears the server."""

        def on_heartbeat(message: Bool) -> None:
            self._watchdog.heartbeat(message.data, self._now())

        def on_command(message: object) -> None:
            command = self._output.read(message)
            if command is not None:
                self._watchdog.command(command, self._now())

        def on_joints(message: JointState) -> None:
            numbers = np.frombuffer(message.position), np.frombuffer(message.velocity)
            now, stamp = self._now(), message.header.stamp
            self._watchdog.joint_state(message.name, *numbers, self._ros - stamp.sec - 1e-9 * stamp.nanosec, now)

        heard = self.create_subscription(Bool, f"{server}/heartbeat", on_heartbeat, QoSProfile(depth=1))
        self.create_subscription(self._output.message_type, self._output.topic, on_command, COMMANDS_QOS)
        self.create_subscription(JointState, "joint_states", on_joints, INPUT_QOS)
        return str(heard.topic_name)

    def _now(self) -> Instant:
        """The time; its ROS part forward only, since a simulator may start again."""
        ros = 1e-9 * self.get_clock().now().nanoseconds
        self._elapsed += max(0.0, ros - self._ros)
        now = Instant(time.monotonic(), self._elapsed)
        if ros < self._ros and self._simulated:  # the machine's own clock is set back now and then: that says nothing
            self._watchdog.simulator_restarted()
        self._ros = ros
        return now

    def _tick(self) -> None:
        command = self._watchdog.tick(self._now())
        if command is not None:
            self._output.publish(command)
        if self._watchdog.silence != self._reported:
            self._reported = self._watchdog.silence
            words = _acting(self._reported) if self._reported else "the server is back"
            self.get_logger().error(words) if self._reported else self.get_logger().info(words)
            self._report()

    def _live(self) -> None:
        self._beat.publish(self._wiring)
        self._rounds += 1
        if self._rounds % HEARTBEATS_PER_DIAGNOSTIC == 0:
            self._report()

    def _report(self) -> None:
        level, words = self._state()
        status = DiagnosticStatus(
            level=level,
            name=f"{self.get_fully_qualified_name().lstrip('/')}: watchdog",
            message=words,
            values=[KeyValue(key="intervening", value=str(bool(self._watchdog.silence)).lower())],
        )
        message = DiagnosticArray(status=[status])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)

    def _state(self) -> tuple[bytes, str]:
        """Level and words for diagnostics."""
        if self._watchdog.silence:
            return DiagnosticStatus.ERROR, _acting(self._watchdog.silence)
        if not self._watchdog.hears:
            return DiagnosticStatus.OK, "no active server is heard"
        if not self._watchdog.hears_commands:
            return DiagnosticStatus.WARN, f"nothing is heard on {self._output.topic}, though an active server is"
        return DiagnosticStatus.OK, "watching"


def _acting(silence: str) -> str:
    return f"{silence}: commanding the safe state"


def _read_manifest(folder: Path) -> BundleManifest:
    try:
        return decode_manifest((folder / MANIFEST_FILE).read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"bundle_path: cannot read {MANIFEST_FILE} in '{folder}': {error}") from error


def main() -> None:
    """Entry point of the executable `watchdog`."""
    run(WatchdogNode, outlives_terminal=True)  # the robot may move yet, and its server has just lost the terminal


if __name__ == "__main__":
    main()
