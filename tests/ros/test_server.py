"""The policy server as a real process: its lifecycle, its interfaces, and its commands against the pure controller.

Most tests give it sensors and clock by hand, one control tick at a time: nothing then depends on timing.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import Twist
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from pgx_msgs.msg import ObjectiveCommand
from pgx_msgs.srv import ListObjectives, SetObjective
from pgx_policy_server.claim import Claim
from pgx_policy_server.inputs import stamp_of
from pgx_policy_server.parameters import SERVER
from pgx_policy_server.server_node import without_ages
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from std_msgs.msg import Bool, Float64MultiArray, String
from std_srvs.srv import SetBool

from pgx_core.serving import Controller, Request, ServingConfig, load_bundle
from pgx_core.serving.manifest import BundleManifest

from .conftest import write_runner
from .processes import Process, wait_until
from .recorder import COMMANDS, Recorder
from .rig import ACTIVE_POLICY, STATUS, Rig
from .system import DIAGNOSTIC_PERIOD, DISCOVERY, SCHEDULING

EVENTS = "/policy_server/events"
BEST_EFFORT = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
CONFIGURE, ACTIVATE = Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE
DEACTIVATE, CLEANUP = Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP


@pytest.fixture
def rig(recorder: Recorder, manifest: BundleManifest) -> Rig:
    return Rig(recorder, manifest.contract)


@pytest.fixture
def change(recorder: Recorder) -> Callable[[int], bool]:
    """Ask for a transition; whether it succeeded."""

    def ask(transition: int) -> bool:
        request = ChangeState.Request(transition=Transition(id=transition))
        return bool(recorder.call(ChangeState, "/policy_server/change_state", request).success)

    return ask


@pytest.fixture
def state(recorder: Recorder) -> Callable[[], str]:
    """The lifecycle state."""
    return lambda: recorder.call(GetState, "/policy_server/get_state", GetState.Request()).current_state.label


@pytest.fixture
def active(rig: Rig, start_server: Callable[..., Process], change: Callable[[int], bool]) -> Process:
    """An active server that holds; the rig goes on by hand."""
    server = start_server(use_sim_time=True, watchdog="")
    assert change(CONFIGURE)
    rig.connect()
    assert change(ACTIVATE)
    return server


@pytest.fixture
def ask(recorder: Recorder) -> Callable[..., Any]:
    """The answer of the service `set_objective`."""

    def call(**fields: Any) -> Any:
        request = SetObjective.Request(command=ObjectiveCommand(**fields))
        return recorder.call(SetObjective, "/policy_server/set_objective", request)

    return call


def set_parameter(recorder: Recorder, name: str, value: str) -> Any:
    wanted = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=value)
    request = SetParameters.Request(parameters=[Parameter(name=name, value=wanted)])
    return recorder.call(SetParameters, "/policy_server/set_parameters", request).results[0]


def the_policy(level: bytes, words: str) -> Callable[[DiagnosticArray], bool]:
    """A condition on /diagnostics."""
    return lambda m: any(
        s.name == "policy_server: policy" and s.level == level and words in s.message for s in m.status
    )


def test_a_broken_bundle_is_refused_in_one_line(start_server, bundle_copy: Path, change, state, recorder) -> None:
    (bundle_copy / "golden.npz").write_bytes(b"broken")
    server = start_server(bundle_path=str(bundle_copy))
    assert not change(CONFIGURE)
    assert state() == "unconfigured"
    (line,) = server.log.splitlines()
    assert "configuration refused: file 'golden.npz' is damaged or was altered" in line
    recorder.listen(DiagnosticArray, "/diagnostics", reliable=True)
    recorder.wait_for("/diagnostics", the_policy(DiagnosticStatus.ERROR, "configuration refused"))
    assert server.stop() == 0


def test_without_inputs_activation_is_refused(start_server, change, state) -> None:
    server = start_server(watchdog="")
    assert change(CONFIGURE)
    assert not change(ACTIVATE)
    assert state() == "inactive"
    assert "activation refused: joint_states: nothing has come yet" in server.log


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"blend_s": 9.0}, "parameter 'blend_s'"),
        ({"blend_s": 1}, "write a number with a point"),
        ({"bad_ticks": 0}, "parameter 'bad_ticks'"),
        ({"timout_s": 0.2}, "parameter 'timout_s': expected a parameter of policy_server; is 'timeout_s' meant?"),
    ],
)
def test_a_wrong_parameter_ends_the_process_in_one_line(start_server, parameters, words: str) -> None:
    server = start_server(**parameters)
    assert server.popen.wait(15) == 1
    (line,) = server.log.splitlines()
    assert words in line


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"initial_objective": "fly"}, "unknown objective 'fly'"),
        ({"command_out_type": "smoke"}, "command_out_type: expected one of forward, trajectory, joint_state"),
        ({"joint_order": ["a", "b"]}, "joint_order: expected the bundle's joints"),
        ({"require_provider": "TensorrtExecutionProvider"}, "runs on CPUExecutionProvider, not on Tensorrt"),
        ({"providers": ["Nonsense"]}, "providers: ONNX Runtime has none of them"),
        ({"bundle_path": ""}, "bundle_path: expected the folder of a bundle"),
        ({"timeout_s": 0.05}, "timeout_s: expected 0.12 s or more, 3 heartbeats at 25 Hz, got 0.05 s"),
        ({"cmd_vel_command": "spin", "neutral_objective": "stand"}, "cmd_vel_command: expected what commands"),
        ({"cmd_vel_command": "velocity"}, "expected a neutral_objective too"),
        ({"cmd_vel_command": "velocity", "neutral_objective": "stand"}, "expected a command_timeout_s above 0 too"),
        ({"cmd_vel_command": ",,,velocity", "neutral_objective": "stand"}, "cmd_vel_command: expected what commands"),
        ({"controller": "left-arm"}, "configuration refused: Invalid topic name"),
    ],
)
def test_a_wrong_setting_is_refused_by_configure(start_server, change, state, parameters, words: str) -> None:
    server = start_server(**parameters)
    assert not change(CONFIGURE)
    assert state() == "unconfigured"
    assert words in server.log


def test_a_refused_configuration_leaves_nothing_open(start_server, rig: Rig, change, recorder) -> None:
    start_server(use_sim_time=True, watchdog="", neutral_objective="stand", cmd_vel_command="spin")
    assert not change(CONFIGURE)
    assert set_parameter(recorder, "cmd_vel_command", "").successful
    assert change(CONFIGURE)
    rig.connect()
    assert change(ACTIVATE), "its own publisher of before would be another who commands the robot"


def test_autostart_ends_with_a_cleanup(start_server, change, state, recorder, bundle_copy: Path) -> None:
    server = start_server(autostart=True, watchdog="")
    wait_until(lambda: state() == "inactive", 15.0, "it to configure itself")
    assert change(CLEANUP)
    assert set_parameter(recorder, "bundle_path", str(bundle_copy)).successful
    time.sleep(1.0)
    assert state() == "unconfigured", "the operator has taken over"
    assert change(CONFIGURE)
    assert not set_parameter(recorder, "bundle_path", "").successful, "it was read in configure"
    assert change(Transition.TRANSITION_INACTIVE_SHUTDOWN)
    time.sleep(0.5)
    assert server.alive and "Traceback" not in server.log


def test_autostart_ends_with_a_press_of_the_stop(start_server, rig: Rig, change, state, recorder) -> None:
    """Whoever releases it does not expect the robot to start."""
    server = start_server(autostart=True, use_sim_time=True, watchdog="", initial_objective="walk")
    server.wait_for("objectives in", 30.0)  # configured: a busy machine takes its time to start it
    button = recorder.talk(Bool, "/policy_server/estop")

    def refused() -> bool:
        button.publish(Bool(data=True))  # again: what comes before a server knows the button is lost
        time.sleep(0.1)
        return "the e-stop is pressed" in server.log

    wait_until(refused, 15.0, "activation to be refused")
    rig.connect()
    button.publish(Bool(data=False))
    for _ in range(20):  # several of its tries
        rig.step(commanded=False)
        time.sleep(0.1)
    assert state() == "inactive" and not recorder.heard[COMMANDS]
    assert change(ACTIVATE), "by hand"


def test_every_setting_of_the_controller_is_a_parameter() -> None:
    rows = {row.name: row for row in SERVER}
    for name, default in vars(ServingConfig()).items():
        assert rows[name].default == default
        low, high = rows[name].low, rows[name].high
        assert isinstance(default, str) or low <= default <= high
        if low is not None:
            ServingConfig(**{name: type(default)(low)}), ServingConfig(**{name: type(default)(high)})


def test_the_whole_cycle_and_a_hot_reload(
    active: Process, rig: Rig, change, state, recorder, ask, tmp_path: Path
) -> None:
    rig.step(5)
    other = write_runner(tmp_path / "other", {"stand": (0.0, "calm"), "dash": (4.0, "quick")})
    assert not set_parameter(recorder, "bundle_path", str(other)).successful, "not while active"
    assert change(DEACTIVATE)
    quiet = len(rig.commands)
    rig.step(5, commanded=False)
    time.sleep(0.2)
    assert len(rig.commands) == quiet, "an inactive server commands nothing"
    assert change(CLEANUP)
    rig.disconnect()
    assert set_parameter(recorder, "bundle_path", str(other)).successful
    assert change(CONFIGURE)
    rig.connect()
    assert change(ACTIVATE)
    rig.step(5)
    assert state() == "active"
    listed = recorder.call(ListObjectives, "/policy_server/list_objectives", ListObjectives.Request()).objectives
    assert list(listed) == ["stand", "dash"]
    assert ask(name="dash").accepted and not ask(name="sprint").accepted
    rig.step(5)
    assert active.stop() == 0


def test_no_module_is_imported_while_the_loop_runs(
    monkeypatch: pytest.MonkeyPatch, start_server, rig: Rig, change, ask, recorder
) -> None:
    """The loop would stand still until it is: 40 ms at least, and longer than the watchdog waits on a busy machine."""
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")  # each import is a line of the log
    server = start_server(use_sim_time=True, watchdog="")
    assert change(CONFIGURE)
    rig.connect()
    assert "import time:" in server.log
    assert change(ACTIVATE)
    before, told = server.log, len(recorder.heard[STATUS])
    assert ask(name="run").accepted
    rig.step(60)
    assert not ask(name="fly").accepted
    assert recorder.call(SetBool, "/policy_server/estop", SetBool.Request(data=True)).success
    rig.step(3)
    mode = recorder.wait_for(STATUS, lambda m: m.mode == "ESTOP", after=told).message
    assert mode.tick_p99_ms > 0.0
    assert "import time:" not in server.log.removeprefix(before), server.log.removeprefix(before)


def test_an_objective_by_service(active: Process, rig: Rig, ask, recorder) -> None:
    answer = ask(name="run")
    assert (answer.accepted, answer.objective, answer.group) == (True, "run", "quick")
    rig.step(60)
    event = recorder.wait_for(EVENTS, lambda m: m.kind == "switch").message
    assert (event.source, event.target, event.group) == ("", "run", "quick")
    recorder.wait_for(STATUS, lambda m: (m.mode, m.objective, m.group) == ("RUN", "run", "quick"))
    recorder.wait_for(ACTIVE_POLICY, lambda m: m.data == "quick/run")
    answer = ask(command_names=["velocity"], command_values=[9.0])
    assert answer.accepted and answer.objective == "sprint" and "clipped" in answer.reason
    assert ask(objectives=["walk", "run"], weights=[1.0, 0.0]).objective == "walk"


def test_an_objective_by_topic(active: Process, rig: Rig, recorder) -> None:
    recorder.talk(ObjectiveCommand, "/policy_server/objective").publish(ObjectiveCommand(name="walk"))
    step_until(rig, lambda: pursued(recorder) == "calm/walk")
    recorder.talk(String, "/policy_server/objective_name").publish(String(data="sprint"))
    step_until(rig, lambda: pursued(recorder) == "quick/sprint")


def pursued(recorder: Recorder) -> str:
    """The active policy, as last heard."""
    heard = recorder.heard[ACTIVE_POLICY]
    return str(heard[-1].message.data) if heard else ""


def step_until(rig: Rig, condition: Callable[[], bool], most: int = 300) -> None:
    for _ in range(most):
        if condition():
            return
        rig.step()
    pytest.fail(f"it did not come about in {most} ticks")


def test_the_list_of_objectives(active: Process, rig: Rig, ask, recorder) -> None:
    ask(name="run")
    rig.step(3)
    answer = recorder.call(ListObjectives, "/policy_server/list_objectives", ListObjectives.Request())
    assert (answer.objectives, answer.groups) == (
        ["stand", "walk", "run", "sprint"],
        ["calm", "calm", "quick", "quick"],
    )
    assert answer.active == "run" and list(answer.scores) == [0.5] * 4


def test_a_wrong_objective_changes_nothing(active: Process, rig: Rig, ask, recorder) -> None:
    assert ask(name="walk").accepted
    rig.step(3)
    for fields, words in (
        ({"name": "fly"}, "unknown objective 'fly'"),
        ({}, "got 0"),
        ({"name": "run", "command_names": ["velocity"], "command_values": [1.0]}, "got 2"),
        ({"objectives": ["run"], "weights": []}, "as many weights as objectives"),
        ({"command_names": ["velocity"] * 2, "command_values": [1.0, 2.0]}, "each may be named once"),
        ({"command_names": ["velocity"], "command_values": [float("nan")]}, "finite"),
        ({"objectives": ["run"], "weights": [-1.0]}, "weights of 0 or more"),
    ):
        mark = len(recorder.heard[EVENTS])
        answer = ask(**fields)
        assert not answer.accepted and words in answer.reason
        rig.step(3)
        event = recorder.wait_for(EVENTS, lambda m: m.kind == "refused", after=mark).message
        assert words in event.reason
        assert pursued(recorder) == "calm/walk"


def test_an_objective_that_is_old_or_from_the_future_is_refused(active: Process, rig: Rig, ask) -> None:
    rig.step(3)
    assert ask(name="walk").accepted
    rig.step(100)  # 2 s and more
    header = ObjectiveCommand().header
    header.stamp.nanosec = 1
    answer = ask(name="run", header=header)
    assert not answer.accepted and "s old" in answer.reason
    header.stamp.sec = 10_000_000
    answer = ask(name="run", header=header)
    assert not answer.accepted and "s ahead of the clock" in answer.reason
    assert (answer.objective, answer.group) == ("walk", "calm"), "it is still pursued"


def test_the_stop_is_latched(active: Process, rig: Rig, ask, change, recorder) -> None:
    ask(name="run")
    rig.step(5)
    stop = recorder.talk(Bool, "/policy_server/estop")
    mark = len(recorder.heard[EVENTS])
    stop.publish(Bool(data=True))
    time.sleep(1.0)  # on its way
    rig.step()
    event = recorder.wait_for(EVENTS, lambda m: m.kind == "mode", after=mark).message
    assert event.target == "ESTOP", "in the tick after it"
    stop.publish(Bool(data=False))
    rig.step(20)
    answer = ask(name="walk")
    assert not answer.accepted and "e-stop" in answer.reason
    assert recorder.heard[STATUS][-1].message.mode == "ESTOP"
    recorder.wait_for("/diagnostics", the_policy(DiagnosticStatus.ERROR, "ESTOP"))
    assert change(DEACTIVATE) and change(ACTIVATE)
    rig.step(3)
    assert ask(name="walk").accepted
    assert "incompatible QoS" not in active.log, "a button of any kind is heard"


def test_the_stop_as_a_service(active: Process, rig: Rig, change, recorder) -> None:
    press = lambda pressed: recorder.call(SetBool, "/policy_server/estop", SetBool.Request(data=pressed))  # noqa: E731
    assert press(True).success
    rig.step(2)
    recorder.wait_for(EVENTS, lambda m: m.target == "ESTOP")
    assert change(DEACTIVATE)
    assert not change(ACTIVATE), "while it is pressed"
    assert change(CLEANUP)
    rig.disconnect()
    assert change(CONFIGURE)
    rig.connect()
    assert not change(ACTIVATE), "and another bundle does not release it"
    button = recorder.talk(Bool, "/policy_server/estop")
    button.publish(Bool(data=False))
    rig.step(2, commanded=False)
    assert not change(ACTIVATE), "nor does the button on the topic"
    press(False)
    rig.step(2, commanded=False)
    assert change(ACTIVATE)


def test_twist_sets_the_commanded_velocity(start_server, rig: Rig, change, recorder) -> None:
    start_server(
        use_sim_time=True,
        watchdog="",
        cmd_vel_command=", , velocity",
        neutral_objective="stand",
        command_timeout_s=60.0,
    )
    assert change(CONFIGURE)
    rig.connect()
    assert change(ACTIVATE)
    twist = Twist()
    stick = recorder.node.create_publisher(Twist, "/cmd_vel", BEST_EFFORT)  # as some sticks are
    wait_until(lambda: stick.get_subscription_count() > 0, 10.0, "the server")
    for velocity, served in ((2.1, "quick/run"), (1.3, "calm/stand"), (2.1, "quick/run"), (0.0, "calm/stand")):
        twist.angular.z = velocity  # 1.3 is near no objective; the other axes command nothing here

        def obeyed(served: str = served) -> bool:
            stick.publish(twist)  # again and again, as such a stick does: one may be lost
            return pursued(recorder) == served

        step_until(rig, obeyed)


def test_an_imu_without_orientation_is_refused_however_level_it_is(active: Process, rig: Rig, ask, recorder) -> None:
    rig.step(3)
    assert ask(name="walk").accepted
    rig.step(3)
    rig.covariance = -1.0
    rig.step(10)
    recorder.wait_for(STATUS, lambda m: m.mode in ("HOLD", "DAMP") and "measures none" in m.reason)


@pytest.mark.parametrize(("danger", "words"), [("lean", "the base leans by"), ("speed", "moves at")])
def test_a_robot_that_falls_or_runs_away_is_damped_in_the_same_tick(
    active: Process, rig: Rig, ask, recorder, danger: str, words: str
) -> None:
    contract = rig.contract
    limits = {"lean": contract.maximum_tilt, "speed": ServingConfig().overspeed * contract.joints[0].velocity_limit}
    assert ask(name="walk").accepted
    rig.step(60)
    mark = len(recorder.heard[EVENTS])
    setattr(rig, danger, 0.7 * limits[danger])
    rig.step(10)
    assert len(recorder.heard[EVENTS]) == mark, "it is not there yet"
    setattr(rig, danger, 1.3 * limits[danger])
    rig.step()
    event = recorder.wait_for(EVENTS, lambda m: m.kind == "mode", after=mark).message
    assert event.target == "DAMP" and words in event.reason
    assert stamp_of(event.header) == pytest.approx(rig.now.ros)
    setattr(rig, danger, 0.0)
    rig.step(60)
    assert recorder.heard[STATUS][-1].message.mode == "DAMP", "it waits to be asked"


def test_a_button_that_was_pressed_before_is_heard(start_server, rig: Rig, change, recorder) -> None:
    """One that speaks on change, and is latched."""
    qos = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    button = recorder.node.create_publisher(Bool, "/policy_server/estop", qos)
    button.publish(Bool(data=True))
    server = start_server(use_sim_time=True, watchdog="")
    assert change(CONFIGURE)
    rig.connect()
    rig.step(2, commanded=False)
    assert not change(ACTIVATE) and "the e-stop is pressed" in server.log


def test_a_best_effort_button_is_heard(active: Process, rig: Rig, recorder) -> None:
    rig.step(3)
    button = recorder.node.create_publisher(Bool, "/policy_server/estop", BEST_EFFORT)
    wait_until(lambda: button.get_subscription_count() > 0, 10.0, "the server")

    def stopped() -> bool:
        button.publish(Bool(data=True))  # again and again, as such a button does: one press may be lost
        return recorder.heard[STATUS][-1].message.mode == "ESTOP"

    step_until(rig, stopped)


def test_the_commands_are_the_controllers_own(start_server, rig: Rig, change, ask, runner_bundle: Path) -> None:
    """Parity of the served node with `Controller` on the same inputs, over switches and joints in any order."""
    start_server(use_sim_time=True, watchdog="")
    assert change(CONFIGURE)
    rig.mirror = Controller(load_bundle(runner_bundle))
    rig.connect()
    rig.mirrored.clear()
    assert change(ACTIVATE) and not rig.mirror.activate(rig.now)
    for objective in ("walk", "run", "sprint", "walk", "stand"):
        assert ask(name=objective).accepted and rig.mirror.request(Request(name=objective), rig.now).accepted
        rig.step(25)
    served = np.array([heard.message.data for heard in rig.commands])
    np.testing.assert_allclose(served, rig.mirrored, rtol=0.0, atol=1e-5)
    assert np.ptp(served, axis=0).min() > 0.01, "they moved"


def test_a_second_server_is_refused(active: Process, rig: Rig, start_server, recorder) -> None:
    second = start_server(name="second", use_sim_time=True, watchdog="")
    request = ChangeState.Request(transition=Transition(id=CONFIGURE))
    assert recorder.call(ChangeState, "/second/change_state", request).success
    request, asked = ChangeState.Request(transition=Transition(id=ACTIVATE)), time.monotonic()
    assert not recorder.call(ChangeState, "/second/change_state", request).success
    assert time.monotonic() - asked < SCHEDULING
    assert "two nodes must not command one robot" in second.log


def test_another_commander_is_reported(active: Process, rig: Rig, recorder) -> None:
    recorder.node.create_publisher(Float64MultiArray, COMMANDS, 10)
    told = the_policy(DiagnosticStatus.ERROR, "is published by /recorder too")
    recorder.wait_for("/diagnostics", told, timeout=DISCOVERY + DIAGNOSTIC_PERIOD + SCHEDULING)


def test_a_commander_that_discovery_misses_is_refused_too(rig: Rig, start_server, change, recorder) -> None:
    server = start_server(use_sim_time=True, watchdog="")
    assert change(CONFIGURE)
    rig.connect()
    other = Claim(recorder.node, COMMANDS)
    assert other.take() and not change(ACTIVATE)
    assert "another process of this machine: two nodes must not command one robot" in server.log
    other.release()
    assert change(ACTIVATE) and not other.take(), "the server has it now"
    assert change(DEACTIVATE) and other.take(), "and gives it back"
    other.release()


def test_namespace_and_remapping(start_server, recorder) -> None:
    start_server(name="brain", namespace="/left", remap={"joint_states": "measured"}, watchdog="")
    request = ChangeState.Request(transition=Transition(id=CONFIGURE))
    assert recorder.call(ChangeState, "/left/brain/change_state", request).success
    topics = dict(recorder.node.get_topic_names_and_types())
    expected = ("forward_position_controller/commands", "measured", "brain/status", "brain/objective", "imu/data")
    assert {f"/left/{name}" for name in expected} <= topics.keys()
    assert ("brain", "/left") in recorder.node.get_node_names_and_namespaces()
    assert "policy_server" not in recorder.node.get_node_names()


WITHOUT_CHECKS = """
import sys, numpy, rclpy
from pgx_core.serving import load_bundle
from pgx_policy_server.outputs import TOPICS, CommandOut
rclpy.init()
node, contract = rclpy.create_node("out"), load_bundle(sys.argv[1]).manifest.contract
wanted = 0.01 * numpy.arange(float(contract.action_size))
order = [joint.name for joint in contract.joints][::-1]
for kind in TOPICS:
    out = CommandOut(node, kind, "c", contract, order)
    out.publish(wanted)
    assert (out.read(out._message) == wanted).all(), kind
    field = out._source(out._message)
    assert list(getattr(field, out._field)) == list(wanted[::-1]), kind
"""


@pytest.mark.parametrize("checks", ["", "1"])
def test_every_kind_of_command_carries_the_numbers(runner_bundle: Path, checks: str) -> None:
    """With and without the message checks, which keep the array that they are given or copy it."""
    environment = os.environ | {"ROS_PYTHON_CHECK_FIELDS": checks}
    command = [sys.executable, "-c", WITHOUT_CHECKS, str(runner_bundle)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_a_refusal_is_the_same_however_old_the_reading_is_by_now() -> None:
    late = "imu: {:.3f} s since it arrived, {:.3f} s since its stamp, expected at most 0.1 s".format
    assert without_ages(late(0.2, 0.31)) == without_ages(late(12.345, 7.0))
    assert without_ages("joint 'leg_1' lacks a position") != without_ages("joint 'leg_2' lacks a position")


def test_the_last_command_of_a_stopped_server_is_the_held_one(active: Process, rig: Rig) -> None:
    rig.step(5)
    began = time.monotonic()
    assert active.stop() == 0
    assert time.monotonic() - began < 10.0
    np.testing.assert_array_equal(rig.commands[-1].message.data, rig.commands[-2].message.data)
