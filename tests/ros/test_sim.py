"""The simulated robot as a process: its topics, its commands, its faults, its end."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from nav_msgs.msg import Odometry
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Imu, JointState
from std_msgs.msg import Float64MultiArray, String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from pgx_core.serving.manifest import BundleManifest

from .processes import Process, wait_until
from .recorder import COMMANDS, Heard, Recorder

RATE = 100.0  # Hz of the runner's physics, below 4 x 25 Hz
STAMPED = {"/joint_states": JointState, "/imu/data": Imu, "/odom": Odometry}


def nanoseconds(stamp: Any) -> int:
    return 1_000_000_000 * stamp.sec + stamp.nanosec


def stamp_of(message: Any) -> int:
    return nanoseconds(message.clock if isinstance(message, Clock) else message.header.stamp)


def newest(listener: Recorder, topic: str) -> float:
    """The last stamp heard on a topic, s."""
    return 1e-9 * stamp_of(listener.heard[topic][-1].message)


def longest_omission(heard: list[Heard]) -> tuple[float, Heard]:
    """The longest silence so far and what ended it; by the sender's clock, s: however late this process hears."""
    heard = heard[:]
    silences = np.diff([1e-9 * stamp_of(item.message) for item in heard], prepend=np.nan)
    silences[0] = 0.0
    return float(silences.max()), heard[int(silences.argmax())]


@pytest.fixture
def sim(listener: Recorder, start_sim: Callable[..., Process]) -> Process:
    """A running simulation of which everything is heard."""
    for topic, message_type in STAMPED.items():
        if topic != "/joint_states":
            listener.listen(message_type, topic)
    listener.listen(Clock, "/clock")
    process = start_sim()
    wait_until(lambda: all(listener.heard[topic] for topic in (*STAMPED, "/clock")), 20.0, "every topic")
    return process


@pytest.fixture
def inject(listener: Recorder, sim: Process) -> Callable[..., Any]:
    """Ask for a fault; the answer of the service."""
    srvs = pytest.importorskip("pgx_msgs.srv", reason="typed interfaces are not built: `make ros` with g++ and cmake")

    def ask(kind: str, target: str = "", value: float = 0.0, duration: float = 0.0) -> Any:
        request = srvs.InjectFault.Request(kind=kind, target=target, value=value, duration=duration)
        return listener.call(srvs.InjectFault, "/pgx_sim/inject_fault", request)

    return ask


@pytest.fixture
def drive_until(listener: Recorder, sim: Process) -> Callable[..., None]:
    """Command all joints alike, as a policy would, until a condition on the joint states holds."""
    publisher = listener.talk(Float64MultiArray, COMMANDS)

    def publish(value: float, condition: Callable[[JointState], object]) -> None:
        message = Float64MultiArray(data=[value] * len(listener.contract.joints))

        def reached() -> object:
            publisher.publish(message)
            time.sleep(0.02)
            return condition(listener.heard["/joint_states"][-1].message)

        wait_until(reached, 10.0, f"the joints to reach {value}")

    return publish


def test_sensors_come_at_their_rate_and_not_faster_than_real_time(listener: Recorder, sim: Process) -> None:
    listener.listen(DiagnosticArray, "/diagnostics")
    first, start = stamp_of(listener.heard["/clock"][-1].message), time.monotonic()
    time.sleep(3.0)
    passed, now = 1e-9 * (stamp_of(listener.heard["/clock"][-1].message) - first), time.monotonic()
    assert 0.1 < passed / (now - start) < 1.05  # how much slower says something of a busy machine, not of the node
    for topic in (*STAMPED, "/clock"):
        later = sum(stamp_of(item.message) > first for item in listener.heard[topic][:])
        assert later == pytest.approx(RATE * passed, rel=0.05), topic
    status = listener.wait_for("/diagnostics", lambda m: m.status[0].name == "pgx_sim: simulation").message.status[0]
    values = {item.key: item.value for item in status.values}
    assert 0.1 < float(values["real_time_factor"]) < 1.05


def test_all_sensors_of_an_instant_carry_its_stamp_and_come_before_its_clock(
    listener: Recorder, sim: Process, manifest: BundleManifest
) -> None:
    wait_until(lambda: len(listener.heard["/clock"]) > 100, 20.0, "a second of the clock")
    arrivals = {topic: {stamp_of(h.message): h.arrival for h in listener.heard[topic][:]} for topic in listener.heard}
    clock = arrivals["/clock"]
    instants = sorted(clock)[20:-5]  # the first ones come before everybody is known
    assert len(instants) > 50
    for topic in STAMPED:
        there = [stamp for stamp in instants if stamp in arrivals[topic]]
        assert len(there) >= 0.98 * len(instants), topic  # best effort: some may be lost
        early = sum(arrivals[topic][stamp] < clock[stamp] for stamp in there)
        assert early >= 0.98 * len(there), topic
    message = listener.heard["/joint_states"][-1].message
    assert list(message.name) == [joint.name for joint in manifest.contract.joints]
    imu = listener.heard["/imu/data"][-1].message
    assert math.hypot(imu.orientation.x, imu.orientation.y, imu.orientation.z, imu.orientation.w) == pytest.approx(1.0)
    assert abs(imu.orientation.w) > 0.9  # upright: (w, x, y, z) in the wrong order would show here
    assert imu.linear_acceleration_covariance[0] == -1.0  # not measured


def test_commands_move_the_joints_and_their_silence_lets_go(
    listener: Recorder, sim: Process, drive_until: Callable[..., None]
) -> None:
    def near(target: float) -> Callable[[JointState], object]:
        return lambda state: np.median(np.abs(np.array(state.position) - target)) < 0.1  # some bear the weight

    def slack(state: JointState) -> object:
        return np.abs(state.effort).max() < 1.0

    assert not near(0.3)(listener.heard["/joint_states"][-1].message)
    drive_until(0.3, near(0.3))
    drive_until(0.3, lambda state: np.abs(state.effort).max() > 5.0)  # it carries the robot
    sim.wait_for("no commands")
    listener.wait_for("/joint_states", slack, after=len(listener.heard["/joint_states"]))
    drive_until(-0.3, near(-0.3))  # and takes hold again


def test_unusable_commands_are_refused_and_counted(listener: Recorder, sim: Process) -> None:
    listener.listen(DiagnosticArray, "/diagnostics")
    publisher = listener.talk(Float64MultiArray, COMMANDS)
    for refused, data in enumerate(([0.1] * 5, [], [0.1] * 5 + [math.nan], [math.inf] * 6), 1):
        publisher.publish(Float64MultiArray(data=data))

        def counted(message: DiagnosticArray, refused: int = refused) -> bool:
            values = {item.key: item.value for item in message.status[0].values}
            return values["refused_commands"] == str(refused) and values["commands"] == "0"

        listener.wait_for("/diagnostics", counted)
    assert "command refused" in sim.log


@pytest.mark.parametrize("kind", ["trajectory", "joint_state"])
def test_the_other_command_types_go_by_joint_name(
    listener: Recorder, start_sim: Callable[..., Process], kind: str
) -> None:
    start_sim(command_out_type=kind)
    names = [joint.name for joint in listener.contract.joints][::-1]
    raised = names[3]
    targets = [1.0 if name == raised else 0.0 for name in names]
    if kind == "trajectory":
        message: Any = JointTrajectory(joint_names=names, points=[JointTrajectoryPoint(positions=targets)])
        publisher = listener.talk(JointTrajectory, "/forward_position_controller/joint_trajectory")
    else:
        message = JointState(name=names, position=targets)
        publisher = listener.talk(JointState, "/joint_commands")
    wait_until(lambda: listener.heard["/joint_states"], 30.0, "joint states")

    def raised_alone() -> bool:
        publisher.publish(message)
        time.sleep(0.02)
        state = listener.heard["/joint_states"][-1].message
        positions = dict(zip(state.name, state.position, strict=True))
        return bool(positions.pop(raised) > 0.6 > max(positions.values()))

    wait_until(raised_alone, 10.0, f"{raised} to rise")


def test_drop_silences_one_topic_for_its_duration(listener: Recorder, inject: Callable[..., Any]) -> None:
    """Of the machine's time: a simulator that is kept waiting goes through less of its own, and never through more."""
    duration = 1.5
    assert inject("clear").accepted  # the first call waits until it is known
    for topic, path in (
        ("joint_states", "/joint_states"),
        ("imu", "/imu/data"),
        ("odom", "/odom"),
        ("clock", "/clock"),
    ):
        marks = {path: len(listener.heard[path]) - 1 for path in (*STAMPED, "/clock")}
        asked = time.monotonic()
        assert inject("drop", topic, duration=duration).accepted
        again = asked + duration
        wait_until(lambda: listener.heard[path][-1].arrival >= again, 15.0, f"{topic} to be heard again")  # noqa: B023
        omitted, ended = longest_omission(listener.heard[path][marks.pop(path) :])
        assert omitted < duration + 0.2 and ended.arrival >= again
        others = [listener.heard[other][mark:] for other, mark in marks.items()]
        passed = [1e-9 * stamp_of(h.message) for h in others[0] if asked <= h.arrival <= again]
        assert omitted > 0.5 * (passed[-1] - passed[0]) > 0.0, "it was silent most of that time"
        assert all(longest_omission(heard)[0] < min(0.5, 0.5 * omitted) for heard in others)


def test_delay_makes_a_topic_late(listener: Recorder, inject: Callable[..., Any]) -> None:
    assert inject("delay", "imu", value=0.3).accepted
    time.sleep(1.0)
    mark = len(listener.heard["/imu/data"])
    # Seconds of them: one stall of a busy machine must not be the median.
    wait_until(lambda: len(listener.heard["/imu/data"]) > mark + 300, 30.0, "late messages")
    # In seconds of the machine, as the fault: a simulator that is kept waiting goes through fewer of its own.
    came = {stamp_of(item.message): item.arrival for item in listener.heard["/clock"][:]}
    late = [item for item in listener.heard["/imu/data"][mark:] if stamp_of(item.message) in came]
    due = np.array([came[stamp_of(item.message)] for item in late]) + 0.3
    arrived = np.array([item.arrival for item in late])
    # A simulator that is kept waiting says them when it says anything again, and that is its clock first.
    spoke = np.sort([item.arrival for item in listener.heard["/clock"]])
    again = spoke[np.minimum(np.searchsorted(spoke, due), len(spoke) - 1)]
    assert len(late) > 150 and np.median(arrived - due) > -0.04
    assert np.median(arrived - np.maximum(due, again)) < 0.04


def test_nan_frozen_shuffle_and_missing_say_what_they_should(
    listener: Recorder, inject: Callable[..., Any], manifest: BundleManifest
) -> None:
    names = [joint.name for joint in manifest.contract.joints]
    heard = listener.heard["/joint_states"]

    def next_one(condition: Callable[[Any], object]) -> Any:
        return listener.wait_for("/joint_states", condition, after=len(heard)).message

    inject("nan", "joint_states", duration=1.0)
    assert np.isnan(next_one(lambda m: np.isnan(m.position).all()).velocity).all()
    next_one(lambda m: np.isfinite(m.position).all())
    inject("nan", "odom", duration=1.0)
    listener.wait_for("/odom", lambda m: math.isnan(m.twist.twist.linear.x), after=len(listener.heard["/odom"]))
    inject("shuffle", duration=1.0)
    assert sorted(next_one(lambda m: list(m.name) != names).name) == sorted(names)
    inject("missing", names[2], duration=1.0)
    missing = next_one(lambda m: names[2] not in m.name)
    assert len(missing.name) == len(missing.position) == len(missing.velocity) == len(names) - 1
    inject("clear")
    inject("frozen", "joint_states")
    mark = len(heard)
    wait_until(lambda: len(heard) > mark + 30, 5.0, "the frozen topic to go on")
    last = [stamp_of(item.message) for item in heard[-10:]]
    assert len(set(last)) == 1
    inject("clear")
    next_one(lambda m: stamp_of(m) > last[0] and list(m.name) == names)


ONE_SENSOR = """
<mujoco><worldbody><body name="trunk" pos="0 0 1"><freejoint/><geom size=".1"/><site name="imu"/>
  <body pos=".1 0 0"><joint name="arm" axis="0 1 0"/><geom size=".05" pos=".2 0 0"/></body></body></worldbody>
<actuator><motor joint="arm"/></actuator><sensor>{}</sensor></mujoco>
"""


@pytest.mark.parametrize(
    ("sensor", "topic", "measured"),
    [
        ('<framequat name="orientation" objtype="site" objname="imu"/>', "/imu/data", "orientation"),
        ('<gyro name="angular_velocity" site="imu"/>', "/imu/data", "angular_velocity"),
        ('<velocimeter name="linear_velocity" site="imu"/>', "/odom", ""),
    ],
)
def test_a_robot_says_what_it_measures_and_that_it_measures_no_more(
    listener: Recorder, start: Callable[..., Process], tmp_path: Path, sensor: str, topic: str, measured: str
) -> None:
    mjcf = tmp_path / "robot.xml"
    mjcf.write_text(ONE_SENSOR.format(sensor))
    listener.listen(STAMPED[topic], topic)
    start("pgx_sim", "sim", mjcf=str(mjcf))
    message = listener.wait_for(topic, lambda m: True, 20.0).message
    if measured:
        for field in ("orientation", "angular_velocity", "linear_acceleration"):
            assert (getattr(message, f"{field}_covariance")[0] == -1.0) == (field != measured)
    else:
        listener.wait_for(topic, lambda m: m.twist.twist.linear.z < -0.01)  # it falls


def test_a_push_moves_the_base(listener: Recorder, inject: Callable[..., Any]) -> None:
    time.sleep(0.5)
    mark = len(listener.heard["/odom"])
    assert inject("push", "x", value=2.0).accepted
    listener.wait_for("/odom", lambda m: m.twist.twist.linear.x > 1.0, after=mark)
    answer = inject("push", "y", value=2.0)  # the runner lives in a plane
    assert not answer.accepted and "along y" in answer.reason


def test_the_clock_jumps_back_and_goes_on(listener: Recorder, inject: Callable[..., Any]) -> None:
    time.sleep(1.0)
    heard = listener.heard["/clock"]
    mark = len(heard)
    assert inject("clock_back", value=0.8).accepted

    def steps() -> np.ndarray:
        return 1e-9 * np.diff([stamp_of(item.message) for item in heard[mark - 1 :]])

    wait_until(lambda: (steps() < 0.0).any(), 10.0, "the jump")
    there = len(heard)
    wait_until(lambda: len(heard) > there + 30, 10.0, "the clock to go on")
    assert (steps() < 0.0).sum() == 1 and steps().min() == pytest.approx(-0.8, abs=0.05)
    # The sensors follow the clock.
    wait_until(lambda: abs(newest(listener, "/joint_states") - newest(listener, "/clock")) < 0.05, 5.0, "the sensors")


def test_a_fault_that_makes_no_sense_is_refused(inject: Callable[..., Any]) -> None:
    for kind, target, value, reason in (
        ("explode", "", 0.0, "kind: expected one of drop, delay"),
        ("drop", "lidar", 0.0, "target: expected one of joint_states, imu, odom, clock"),
        ("missing", "tail", 0.0, "target: expected a joint"),
        ("delay", "imu", -1.0, "value: expected a number, 0 or more"),
        ("push", "x", math.nan, "value: expected a number"),
    ):
        answer = inject(kind, target, value)
        assert not answer.accepted and reason in answer.reason


def test_faults_as_plain_text_and_reset(listener: Recorder, sim: Process) -> None:
    publisher = listener.talk(String, "/pgx_sim/inject")
    publisher.publish(String(data="drop imu"))
    sim.wait_for("fault: drop imu")
    wait_until(lambda: newest(listener, "/clock") - newest(listener, "/imu/data") > 0.3, 10.0, "the silence")
    publisher.publish(String(data="clear"))
    listener.wait_for("/imu/data", lambda message: True, after=len(listener.heard["/imu/data"]))
    publisher.publish(String(data="drop imu soon"))
    sim.wait_for("expected 'kind target value duration'")
    publisher.publish(String(data="push x 3"))
    listener.wait_for("/odom", lambda m: m.pose.pose.position.x > 0.3, after=len(listener.heard["/odom"]))
    assert listener.call(Trigger, "/pgx_sim/reset", Trigger.Request()).success
    listener.wait_for("/odom", lambda m: abs(m.pose.pose.position.x) < 0.05, after=len(listener.heard["/odom"]))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly(sim: Process, number: int) -> None:
    start = time.monotonic()
    assert sim.stop(number) == 0
    assert time.monotonic() - start < 10.0
    assert "Traceback" not in sim.log


def test_a_faster_clock_and_another_sensor_rate(listener: Recorder, start_sim: Callable[..., Process]) -> None:
    heard = listener.listen(Clock, "/clock")
    start_sim(real_time_factor=2.0, sensor_rate=50.0)

    def speed() -> float:
        first, last = heard[-100], heard[-1]
        return 1e-9 * (stamp_of(last.message) - stamp_of(first.message)) / (last.arrival - first.arrival)

    # A busy machine slows it now and then.
    wait_until(lambda: len(heard) > 100 and abs(speed() - 2.0) < 0.1, 30.0, "the clock at twice its speed")
    assert np.median(np.diff([stamp_of(item.message) for item in heard[-100:]])) == 20_000_000


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"bundle_path": ""}, "expected the parameter bundle_path"),
        ({"bundle_path": "/nowhere"}, "'/nowhere' is no folder"),
        ({"command_out_type": "telepathy"}, "command_out_type: expected one of forward"),
        ({"real_time_factor": -1.0}, "real_time_factor"),
    ],
)
def test_a_mistake_ends_it_in_one_line(
    start_sim: Callable[..., Process], parameters: dict[str, Any], reason: str
) -> None:
    process = start_sim(**parameters)
    assert process.popen.wait(20.0) == 1
    assert reason in process.log and "Traceback" not in process.log
