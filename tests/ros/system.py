"""A robot, its server and its watchdog, all running, and everything they say heard: for tests that break one of them.

The robot's joints are slow and its two policies far apart, so that the rate limit is at work at every switch. Nothing
watches its tilt: it may lie down while it is damped, and get on with it afterwards.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
import torch
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from nav_msgs.msg import Odometry
from pgx_msgs.msg import ObjectiveCommand, PolicyStatus, SwitchEvent
from pgx_msgs.srv import InjectFault, SetObjective
from pgx_policy_server.outputs import TOPICS as COMMAND_TOPICS
from pgx_policy_server.spinning import QuickestExecutor
from rclpy.executors import Executor, SingleThreadedExecutor
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Imu, JointState
from std_msgs.msg import Bool, String

from pgx_core.contract import ObjectiveContract, PolicyContract
from pgx_core.export.bundle import BundleContents, GroupPolicy, write_bundle
from pgx_core.learning.network import GaussianPolicy
from pgx_core.objectives.objective import Robot
from pgx_core.objectives.suites import RUNNER
from pgx_core.serving.modes import PAUSE
from pgx_core.simulation.robot_model import compile_robot, standalone_mjcf

from .law import Law
from .processes import Launcher, Process, wait_until
from .recorder import Heard, Recorder

RATE = 50.0  # Hz
TICK = 1.0 / RATE
FRAME = 0.01  # s of simulated time between two readings
VELOCITY_LIMIT = 3.0  # rad/s: the policies are 12 ticks apart
SLOW_RUNNER = replace(RUNNER, control_rate=RATE, velocity_limit=VELOCITY_LIMIT, maximum_tilt=None)
ACTIONS = {"calm": 0.5, "quick": -0.5}  # of every joint
OBJECTIVES = {"stand": (0.0, "calm"), "walk": (0.5, "calm"), "run": (2.0, "quick"), "sprint": (3.0, "quick")}
SCHEDULING = 1.0  # s that a busy machine may keep a process waiting; added to deadlines on the machine's clock
PRIORITY = -15  # nice value of the processes of a system
CONTROLLER = "forward_position_controller"
EVENTS, STATUS = "/policy_server/events", "/policy_server/status"
INPUTS = {"joint_states": "/joint_states", "imu": "/imu/data", "odometry": "/odom"}
TOPICS = {"/joint_states": JointState, "/imu/data": Imu, "/odom": Odometry}
DISCOVERY = 3.0  # s until a process that starts is known to the others
DIAGNOSTIC_PERIOD = 1.0  # s
FLUSH = 0.2  # s for the last commands to arrive
LOST = 3  # ticks that a message lost or late on the way may cost
TIMEOUT = 0.5  # s of silence, of the watchdog: more than a busy machine keeps a server waiting
SERVER = {
    "timeout_s": TIMEOUT,
    "use_sim_time": True,
    "autostart": True,
    "initial_objective": "walk",
    "blend_s": 0.1,
    "overspeed": 100.0,
}


def make_bundle(folder: Path, robot: Robot = SLOW_RUNNER) -> Path:
    """Two untrained policies of a robot: each wants a pose of its own, and hardly looks at the robot."""
    contract = compile_robot(robot).contract
    objectives = tuple(
        ObjectiveContract(name, {"velocity": velocity}, group, score=0.5)
        for name, (velocity, group) in OBJECTIVES.items()
    )
    contents = BundleContents(
        name="faults",
        contract=contract,
        objectives=objectives,
        groups=tuple(_policy(name, contract, action) for name, action in ACTIONS.items()),
        metrics={"steps": 0.0},
        config={},
        seed=0,
        rationale="For the tests.",
        robot_xml=standalone_mjcf(robot)[0],
    )
    return write_bundle(folder, contents)


def _policy(name: str, contract: PolicyContract, action: float) -> GroupPolicy:
    torch.manual_seed(0)
    n = contract.observation_size + len(OBJECTIVES)
    policy = GaussianPolicy(n, contract.action_size, (16,))
    with torch.no_grad():
        policy.layers[-1].weight.mul_(0.01)
        policy.layers[-1].bias.fill_(action)
    observations = np.random.default_rng(0).normal(size=(8, n)).astype(np.float32)
    observations[:, -len(OBJECTIVES) :] = 0.0
    return GroupPolicy(name, policy, observations)


def seconds(stamp: Any) -> float:
    """Of the ROS clock."""
    return float(stamp.sec + 1e-9 * stamp.nanosec)


class Witness(Recorder):
    """A recorder of which the arrivals are the moments of sending: a busy machine hears late, but stamps early."""

    def listen(self, message_type: type, topic: str, reliable: bool = True, latched: bool = False) -> list[Heard]:
        heard, later = self.heard[topic], time.time() - time.monotonic()  # the writers stamp by the former

        def hear(message: Any, info: dict[str, int]) -> None:
            heard.append(Heard(1e-9 * info["source_timestamp"] - later, message))

        reliability = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
        self.node.create_subscription(message_type, topic, hear, QoSProfile(depth=1000, reliability=reliability))
        return heard


class System:
    """Three processes and what they say.

    Args:
        recorder: hears sensors and reports, and calls.
        witness: hears what is timed: commands, events, diagnostics and the clock.
        launcher: starts processes.
        bundle: served.
        message: of the commands, as all three know it.
        settings: of the server, besides `SERVER`.
    """

    def __init__(
        self,
        recorder: Recorder,
        witness: Witness,
        launcher: Launcher,
        bundle: Path,
        message: str,
        settings: dict[str, Any],
    ) -> None:
        self.recorder, self.heard, self.bundle = recorder, recorder.heard, bundle
        self._launcher, self._message, self.settings = launcher, message, SERVER | settings
        kind, topic = COMMAND_TOPICS[message]
        self.commands = witness.listen(kind, "/" + topic.format(controller=CONTROLLER))
        self.listen = witness.listen
        witness.listen(SwitchEvent, EVENTS)
        witness.listen(DiagnosticArray, "/diagnostics")
        witness.listen(Clock, "/clock", reliable=False)
        recorder.listen(PolicyStatus, STATUS, reliable=True)
        for topic, kind in TOPICS.items():
            recorder.listen(kind, topic)
        self.wish = recorder.node.create_publisher(String, "/policy_server/objective_name", 10)
        self.stop_button = recorder.node.create_publisher(Bool, "/policy_server/estop", 10)
        self.start_sim()
        self.start_server()
        self.start_watchdog()
        self._began = 0

    def start(self, executable: str, **parameters: Any) -> Process:
        package = "pgx_sim" if executable == "sim" else "pgx_policy_server"
        shared = {"bundle_path": str(self.bundle), "command_out_type": self._message, "controller": CONTROLLER}
        process = self._launcher(package, executable, **shared, **parameters)
        hurry(process.popen.pid)
        return process

    def start_sim(self) -> None:
        self.sim = self.start("sim", command_timeout_s=3.0 * TIMEOUT)

    def start_server(self, **settings: Any) -> Process:
        """The answer is that server, which is `server` too."""
        self.server = self.start("policy_server", **(self.settings | settings))
        return self.server

    def start_watchdog(self) -> None:
        self.watchdog = self.start("watchdog", use_sim_time=True, timeout_s=TIMEOUT)

    @property
    def clock(self) -> float:
        """The ROS time that was heard last, s."""
        return seconds(self.heard["/clock"][-1].message.clock)

    def clock_at(self, arrival: float) -> float:
        """The ROS time that the simulator had told by some moment, s."""
        wait_until(lambda: self.heard["/clock"][-1].arrival >= arrival, 10.0, "the clock of that moment to be heard")
        return max(seconds(heard.message.clock) for heard in self.heard["/clock"] if heard.arrival <= arrival)

    def mark(self, topic: str = EVENTS) -> int:
        """How much of a topic was heard: `after` it something may come."""
        return len(self.heard[topic])

    def inject(self, kind: str, target: str = "", value: float = 0.0, duration: float = 0.0) -> None:
        request = InjectFault.Request(kind=kind, target=target, value=value, duration=duration)
        answer = self.recorder.call(InjectFault, "/pgx_sim/inject_fault", request)
        assert answer.accepted, answer.reason

    def ask(self, **fields: Any) -> Any:
        """The answer of the service `set_objective`."""
        request = SetObjective.Request(command=ObjectiveCommand(**fields))
        return self.recorder.call(SetObjective, "/policy_server/set_objective", request)

    def change(self, transition: int) -> bool:
        """Ask the server for a transition; whether it succeeded."""
        request = ChangeState.Request(transition=Transition(id=transition))
        return bool(self.recorder.call(ChangeState, "/policy_server/change_state", request).success)

    def event(self, after: int, timeout: float = 10.0, **fields: str) -> Heard:
        """The first event with these fields."""
        matches = lambda m: all(getattr(m, name) == value for name, value in fields.items())  # noqa: E731
        return self.recorder.wait_for(EVENTS, matches, timeout, after)

    def diagnosis(self, node: str, level: bytes, words: str, after: int, timeout: float = 10.0) -> Heard:
        """The first diagnostic of a node with that level and words."""

        def found(message: DiagnosticArray) -> bool:
            return any(
                s.name.startswith(f"{node}:") and s.level == level and words in s.message for s in message.status
            )

        return self.recorder.wait_for("/diagnostics", found, timeout, after)

    def mode_events(self, after: int) -> list[str]:
        """Modes that were entered."""
        return [h.message.target for h in self.heard[EVENTS][after:] if h.message.kind == "mode"]

    def joint_positions(self) -> np.ndarray:
        """The last ones heard, in the contract's order."""
        message = self.heard["/joint_states"][-1].message
        positions = dict(zip(message.name, message.position, strict=True))
        return np.array([positions[joint.name] for joint in self.recorder.contract.joints])

    def takeover(self, dead_since: float) -> float:
        """Seconds from the last command before `dead_since` to the first after it, which can only be the watchdog's."""
        wait_until(lambda: self.commands[-1].arrival > dead_since, 5.0, "a command of the watchdog")
        arrivals = np.array([h.arrival for h in self.commands])
        place = int(np.searchsorted(arrivals, dead_since, side="right"))
        return float(arrivals[place] - arrivals[place - 1])

    def heal(self) -> None:
        """All three run, nothing is broken, and the robot walks."""
        for name in ("sim", "server", "watchdog"):
            if not getattr(self, name).alive:
                getattr(self, f"start_{name}")()
        self.inject("clear")
        self._wait_for_status(lambda m: True)
        if self.heard[STATUS][-1].message.mode == "ESTOP":
            self.stop_button.publish(Bool(data=False))
            assert self.change(Transition.TRANSITION_DEACTIVATE)
            wait_until(lambda: self.change(Transition.TRANSITION_ACTIVATE), 10.0, "the server to be activated")
        walks = lambda m: m.mode == "RUN" and m.objective == "walk"  # noqa: E731
        wait_until(lambda: self._walks_or_asks(walks), 30.0, "the robot to walk")

    def _walks_or_asks(self, walks: Callable[[PolicyStatus], bool]) -> bool:
        status = self._wait_for_status(lambda m: True)
        if status.mode in ("RUN", "DAMP") and not walks(status):
            time.sleep(1.2 * PAUSE)  # a stream of requests would never end DAMP
            self.ask(name="walk")
        return walks(status)

    def _wait_for_status(self, condition: Callable[[PolicyStatus], bool]) -> PolicyStatus:
        message: PolicyStatus = self.recorder.wait_for(STATUS, condition, 20.0, self.mark(STATUS)).message
        return message

    def begin(self) -> None:
        """A test begins."""
        self.heal()
        self._began = len(self.commands)

    def end(self) -> None:
        """A test ends: commands were heard."""
        assert len(self.commands) > self._began, "no command was heard: the law was not put to the test"


@contextmanager
def running_system(
    folder: Path, law: Law, robot: Robot = SLOW_RUNNER, message: str = "forward", **settings: Any
) -> Iterator[System]:
    """A system in full run, stopped at the end; its commands are under the law."""
    bundle = make_bundle(folder / "bundle", robot)
    launcher = Launcher(folder)
    before = os.getpriority(os.PRIO_PROCESS, 0)
    hurry(0)
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    contract, usual, judged = _contract_of(bundle), law.contract, law.judged
    law.hold(contract, settings.get("blend_s", SERVER["blend_s"]))
    recorder = Recorder(rclpy.create_node("recorder"), contract)
    witness = Witness(rclpy.create_node("witness"), contract, recorder.heard)
    stopping = threading.Event()
    # Only the single-threaded executor tells when a message was sent.
    spins = ((recorder.node, QuickestExecutor()), (witness.node, SingleThreadedExecutor()))
    threads = [threading.Thread(target=_spin, args=(*spin, stopping)) for spin in spins]
    for thread in threads:
        thread.start()
    try:
        yield System(recorder, witness, launcher, bundle, message, settings)
        launcher.stop_all()
        time.sleep(FLUSH)
        law.check()
        assert law.judged > judged, "the law heard no command"
        assert not launcher.stuck, f"had to be killed: {', '.join(launcher.stuck)}"
    finally:
        launcher.stop_all()
        law.hold(usual)
        launcher.print_logs()
        stopping.set()
        for thread in threads:
            thread.join()
        recorder.node.destroy_node()
        witness.node.destroy_node()
        rclpy.shutdown()
        with suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, 0, before)


def hurry(process: int) -> None:
    """Where it may be, a process of a system goes before the other programs of a busy machine, as on a robot."""
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, process, PRIORITY)


def _contract_of(bundle: Path) -> PolicyContract:
    from pgx_core.serving import load_bundle

    return load_bundle(bundle).manifest.contract


def _spin(node: Any, executor: Executor, stopping: threading.Event) -> None:
    executor.add_node(node)
    while not stopping.is_set():
        executor.spin_once(timeout_sec=0.05)
    executor.shutdown()
