"""The node that is the robot: a clock of its own, sensors out, commands in, faults on demand."""

from __future__ import annotations

import os
import time

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from pgx_policy_server.metronome import WallMetronome
from pgx_policy_server.parameters import Row, declare, read
from pgx_policy_server.spinning import run
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger

from pgx_core.errors import ConfigError
from pgx_core.serving import Instant
from pgx_sim.commands import CommandIn
from pgx_sim.faults import Fault
from pgx_sim.messages import Publishers
from pgx_sim.robot import Report, RobotConfig, SimulatedRobot
from pgx_sim.world import World, open_world

try:
    from pgx_msgs.srv import InjectFault
except ImportError:  # built without a compiler: faults come as text alone
    InjectFault = None

CATCH_UP = 0.1  # s of simulated time that may be caught up at once; a longer lag slows the simulation
FRAMES_PER_SECOND = 30.0  # of the viewer
DEFAULT_WORDS = ("", "-", "0", "0")  # of a fault given as text
SLOW = 0.95  # of the wanted real-time factor
PARAMETERS = (
    Row("bundle_path", "", "Folder of the bundle whose robot this is.", read_only=True),
    Row("mjcf", "", "Another MJCF of that robot, or of a robot without a bundle.", read_only=True),
    Row(
        "objective", "", "Objective whose scene is drawn at the start; the bundle's first where empty.", read_only=True
    ),
    Row("command_out_type", "forward", "Message of the commands: forward, trajectory, joint_state.", read_only=True),
    Row("controller", "forward_position_controller", "Controller that takes the commands.", read_only=True),
    Row("sensor_rate", 0.0, "Hz; 0: 4 per control tick, at most the physics rate.", 0.0, 10000.0, read_only=True),
    Row("command_timeout_s", 0.5, "Silence until the joints only damp, s; 0: never.", 0.0, 60.0, read_only=True),
    Row("real_time_factor", 1.0, "Simulated seconds per second.", 0.01, 100.0, read_only=True),
    Row("viewer", False, "Show the robot in a window.", read_only=True),
)


class SimNode:
    """Adapter of a SimulatedRobot to ROS."""

    def __init__(self) -> None:
        self.node = Node("pgx_sim")
        declare(self.node, PARAMETERS)
        values = read(self.node, PARAMETERS)
        world = open_world(values["bundle_path"], values["mjcf"], values["objective"])
        self._robot = SimulatedRobot(world, RobotConfig(values["sensor_rate"], values["command_timeout_s"]))
        self._wanted = values["real_time_factor"]
        self._viewer = _open_viewer(world) if values["viewer"] else None
        self._publishers = Publishers(self.node, self._robot)
        self._commands = CommandIn(self.node, self._robot, values["command_out_type"], values["controller"])
        self._diagnostics = self.node.create_publisher(DiagnosticArray, "/diagnostics", 1)
        self._limp = False
        self._listen()
        self._frame_rate = self._wanted / self._robot.frame_period
        self._metronome = WallMetronome(self._frame_rate)
        self._metronome.start(self._beat)
        self.node.get_logger().info(
            f"robot with {len(self._robot.joints)} joints, sensors at {1.0 / self._robot.frame_period:g} Hz"
        )

    def check(self) -> None:
        """See Served."""
        if self._metronome.failure:
            raise self._metronome.failure
        self._tell_limp()

    def close(self, orderly: bool) -> None:
        """See Served."""
        self._metronome.stop()
        if self._viewer:
            self._viewer.close()

    def _listen(self) -> None:
        node = self.node
        node.create_service(Trigger, "~/reset", self._on_reset)
        node.create_subscription(String, "~/inject", self._on_inject_text, 10)
        node.create_subscription(JointState, "~/scene", self._on_scene, 10)
        if InjectFault:
            node.create_service(InjectFault, "~/inject_fault", self._on_inject)
        node.create_timer(1.0, self._diagnose)

    def _beat(self, now: Instant, missed: int) -> None:
        """Advance to the present, on the metronome's thread."""
        late = min(missed, int(CATCH_UP / self._robot.frame_period))
        for _ in range(1 + late):
            self._publishers.publish(self._robot.advance(time.monotonic()))
        if self._viewer:
            self._viewer.show(now.monotonic)

    def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._robot.reset()
        response.success = True
        return response

    def _on_scene(self, message: JointState) -> None:
        """Joints that nothing drives, by name; velocities may lack, and are then 0."""
        velocities = message.velocity or [0.0] * len(message.name)
        if len(message.name) == len(message.position) == len(velocities):
            values = zip(message.position, velocities, strict=True)
            refusal = self._robot.place(dict(zip(message.name, values, strict=True)))
        else:
            refusal = "scene: expected a position for every name, and a velocity for every one or none"
        if refusal:
            self.node.get_logger().warning(refusal)

    def _on_inject(self, request: object, response: object) -> object:
        response.reason = self._inject(Fault(request.kind, request.target, request.value, request.duration))
        response.accepted = not response.reason
        return response

    def _on_inject_text(self, message: String) -> None:
        """The same four words as text: "kind target value duration", a dash for no target, the last two may lack."""
        words = message.data.split()
        kind, target, value, duration = [*words, *DEFAULT_WORDS[len(words) :]][: len(DEFAULT_WORDS)]
        try:
            self._inject(Fault(kind, "" if target == "-" else target, float(value), float(duration)))
        except ValueError:
            self.node.get_logger().warning(f"fault: expected 'kind target value duration', got '{message.data}'")

    def _inject(self, fault: Fault) -> str:
        refusal = self._robot.inject(fault, time.monotonic())
        say = self.node.get_logger()
        if refusal:
            say.warning(f"fault refused: {refusal}")
        else:
            say.info(f"fault: {_describe(fault)}")
        return refusal

    def _tell_limp(self) -> None:
        limp = self._robot.report(time.monotonic()).limp
        if limp and not self._limp:
            self.node.get_logger().warning("no commands: the joints are only damped")
        self._limp = limp

    def _diagnose(self) -> None:
        report = self._robot.report(time.monotonic())
        array = DiagnosticArray(status=[diagnose(report, self._wanted, self.node.get_fully_qualified_name())])
        array.header.stamp = self.node.get_clock().now().to_msg()
        self._diagnostics.publish(array)


class _Viewer:
    """MuJoCo's window."""

    def __init__(self, world: World) -> None:
        import mujoco.viewer  # needs a display

        self._window = mujoco.viewer.launch_passive(world.model, world.data)
        self._shown = 0.0

    def show(self, now: float) -> None:
        """Draw, where it is time to."""
        if now - self._shown >= 1.0 / FRAMES_PER_SECOND and self._window.is_running():
            self._window.sync()
            self._shown = now

    def close(self) -> None:
        """Close the window."""
        self._window.close()


def diagnose(report: Report, wanted: float, name: str) -> DiagnosticStatus:
    """The report as one diagnostic status."""
    complaints = [
        *(["no commands: joints damped"] if report.limp else []),
        *([f"slow: {report.real_time_factor:.2f}"] if report.real_time_factor < SLOW * wanted else []),
        *(["faults injected"] if report.faults else []),
    ]
    values = {
        "real_time_factor": f"{report.real_time_factor:.3f}",
        "sensor_rate": f"{report.sensor_rate:g}",
        "commands": str(report.commands),
        "refused_commands": str(report.refused),
        "last_refusal": report.refusal,
        "breakdowns": str(report.breakdowns),
        "faults": ", ".join(_describe(fault) for fault in report.faults),
    }
    return DiagnosticStatus(
        level=DiagnosticStatus.WARN if complaints else DiagnosticStatus.OK,
        name=f"{name.strip('/')}: simulation",
        message=", ".join(complaints) or "running",
        hardware_id="mujoco",
        values=[KeyValue(key=key, value=value) for key, value in values.items()],
    )


def _open_viewer(world: World) -> _Viewer:
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise ConfigError("viewer: expected a display, there is none; leave the parameter false")
    return _Viewer(world)


def _describe(fault: Fault) -> str:
    return f"{fault.kind} {fault.target} {fault.value:g} for {fault.duration:g} s".replace("  ", " ")


def main() -> None:
    """The executable."""
    run(SimNode)
