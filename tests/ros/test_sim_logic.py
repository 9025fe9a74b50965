"""The simulated robot without ROS: body, faults, controller with a timeout, clock."""

from __future__ import annotations

from pathlib import Path

import mujoco
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pgx_sim.faults import CLOCK, JOINT_STATES, ON_A_TOPIC, Fault, Faults, Reading
from pgx_sim.robot import RobotConfig, SimulatedRobot
from pgx_sim.world import World, open_world

from pgx_core.errors import BundleError, ConfigError, PgxError
from pgx_core.objectives.arm import ARM
from pgx_core.objectives.suites import RUNNER, SLIDER

TOPICS = (JOINT_STATES, "imu", CLOCK)
JOINTS = ("hip", "knee", "ankle")
FREE_BODY = """
<mujoco><option gravity="0 0 0"/><worldbody><body name="trunk" pos="0 0 1"><freejoint/>
  <geom size=".1" mass="1"/><site name="imu"/>
  <body pos=".1 0 0"><joint name="arm" axis="0 1 0"/><geom size=".05" mass=".3" pos=".2 0 0"/></body></body></worldbody>
<actuator><motor joint="arm" ctrlrange="-1 1"/></actuator>
<sensor><framequat name="orientation" objtype="site" objname="imu"/><gyro name="angular_velocity" site="imu"/>
  <velocimeter name="linear_velocity" site="imu"/></sensor></mujoco>
"""


def frame(stamp: int) -> list[Reading]:
    numbers = np.arange(3.0) + stamp
    return [
        Reading(JOINT_STATES, stamp, {"position": numbers, "velocity": 10 * numbers}, JOINTS),
        Reading("imu", stamp, {"orientation": np.array([1.0, 0.0, 0.0, stamp])}),
        Reading(CLOCK, stamp, {}),
    ]


def runner(**config: float) -> SimulatedRobot:
    model = mujoco.MjModel.from_xml_path(str(RUNNER.mjcf))
    joints = [model.joint(int(joint)).name for joint in model.actuator_trnid[:, 0]]
    return SimulatedRobot(World(model, joints, RUNNER.control_rate), RobotConfig(**config))


def positions(robot: SimulatedRobot, now: float) -> np.ndarray:
    return robot.advance(now)[0].values["position"]


def test_without_faults_everything_is_said_as_it_is() -> None:
    faults = Faults(TOPICS, JOINTS)
    readings = frame(1)
    assert faults.apply(readings, 0.0) == readings


@given(
    kind=st.sampled_from(ON_A_TOPIC), target=st.sampled_from((JOINT_STATES, "imu")), value=st.floats(0.0, 3.0),
    duration=st.floats(0.1, 5.0),
)  # fmt: skip
def test_a_fault_touches_its_topic_alone_and_ends(kind: str, target: str, value: float, duration: float) -> None:
    faults = Faults(TOPICS, JOINTS)
    faults.apply(frame(0), 0.0)
    faults.add(Fault(kind, target, value, duration), 0.0)
    for step in range(1, 8):
        said = faults.apply(frame(step), 0.1 * step)
        others = [reading for reading in frame(step) if reading.topic != target]
        assert [(r.topic, r.stamp) for r in said if r.topic != target] == [(r.topic, r.stamp) for r in others]
        assert said[-1].topic == CLOCK
    faults.apply([], 1e6)  # what is late comes at last
    after = frame(9)
    assert faults.apply(after, 1e6) == after


def test_delayed_readings_all_come_in_their_order() -> None:
    faults = Faults(TOPICS, JOINTS)
    faults.add(Fault("delay", "imu", 0.25), 0.0)
    stamps = [r.stamp for k in range(20) for r in faults.apply(frame(k), 0.1 * k) if r.topic == "imu"]
    assert stamps == list(range(17))


@given(st.permutations(range(3)), st.sampled_from(JOINTS))
def test_joints_keep_their_values_whatever_their_order(order: list[int], missing: str) -> None:
    faults = Faults(TOPICS, JOINTS)
    faults.add(Fault("shuffle"), 0.0)
    faults.add(Fault("missing", missing), 0.0)
    names = tuple(JOINTS[k] for k in order)
    said = faults.apply([Reading(JOINT_STATES, 1, {"position": np.array(order, float)}, names)], 0.0)[0]
    assert missing not in said.names and len(said.names) == 2
    for name, position in zip(said.names, said.values["position"], strict=True):
        assert JOINTS[int(position)] == name


def test_two_drops_are_one_and_clear_ends_all() -> None:
    faults = Faults(TOPICS, JOINTS)
    faults.add(Fault("drop", "imu", duration=1.0), 0.0)
    faults.add(Fault("drop", "imu", duration=5.0), 0.5)
    assert [fault.duration for fault in faults.active(3.0)] == [5.0]
    faults.clear()
    assert faults.active(3.0) == ()


def test_the_home_pose_is_held_until_the_first_command() -> None:
    robot = runner()
    for step in range(300):
        last = positions(robot, 0.01 * step)
    assert np.abs(last).max() < 0.5 and not robot.report(3.0).limp


def test_commands_are_followed_and_silence_is_noticed() -> None:
    robot = runner(command_timeout_s=0.5)
    assert robot.command([0.0, 1.0, 0.0, 0.0, 0.0, 0.0], now=1.0) == ""
    for step in range(49):
        last = positions(robot, 1.0 + 0.01 * step)
    assert last[1] > 0.5 and not robot.report(1.5).limp
    robot.advance(1.51)
    assert robot.report(1.51).limp
    efforts = robot.advance(1.6)[0].values["effort"]
    assert np.abs(efforts).max() < 0.2 * RUNNER.velocity_limit  # damping alone
    robot.command(np.zeros(6), now=2.0)
    robot.advance(2.0)
    assert not robot.report(2.0).limp


@pytest.mark.parametrize(
    ("values", "names", "reason"),
    [
        ([0.0] * 5, (), "for 6 joints, got 5"),
        ([np.nan] * 6, (), "finite"),
        ([0.0] * 6, ("a", "b", "c", "d", "e", "f"), "expected the joints hind_hip"),
        ([0.0] * 6, ("hind_hip",) * 6, "expected the joints hind_hip"),
    ],
)
def test_unusable_commands_change_nothing(values: list[float], names: tuple[str, ...], reason: str) -> None:
    robot, same = runner(), runner()
    assert reason in robot.command(values, 0.0, names)
    assert (robot.report(0.0).refused, robot.report(0.0).commands) == (1, 0)
    assert (positions(robot, 0.0) == positions(same, 0.0)).all()


def test_the_clock_is_last_and_all_readings_share_its_stamp() -> None:
    robot = runner(sensor_rate=50.0)
    for step in range(1, 4):
        readings = robot.advance(0.0)
        assert readings[-1].topic == CLOCK and {reading.stamp for reading in readings} == {20_000_000 * step}
    robot.inject(Fault("clock_back", value=0.05), 0.0)
    assert {reading.stamp for reading in robot.advance(0.0)} == {30_000_000}


@pytest.mark.parametrize(("rate", "period"), [(0.0, 0.01), (100.0, 0.01), (34.0, 0.03), (1e4, 0.01), (10.0, 0.1)])
def test_the_sensor_rate_is_the_nearest_possible(rate: float, period: float) -> None:
    assert runner(sensor_rate=rate).frame_period == pytest.approx(period)


def test_what_is_over_at_once_is_not_in_force() -> None:
    robot = SimulatedRobot(World(mujoco.MjModel.from_xml_string(FREE_BODY), ["arm"]), RobotConfig())
    for fault in (Fault("push", "x", 1.0), Fault("clock_back", value=0.01), Fault("drop", "imu")):
        assert robot.inject(fault, 0.0) == ""
    assert robot.inject(Fault("push", "sideways", 1.0), 0.0)
    assert [fault.kind for fault in robot.report(0.0).faults] == ["drop"]


def test_a_sensor_of_the_base_is_said_by_its_name_too_where_the_policy_reads_it() -> None:
    model = mujoco.MjModel.from_xml_string(FREE_BODY)
    robot = SimulatedRobot(World(model, ["arm"], observed=["orientation"]), RobotConfig())
    readings = {reading.topic: reading.values for reading in robot.advance(0.0)}
    np.testing.assert_array_equal(readings["orientation"]["data"], readings["imu"]["orientation"])
    assert SimulatedRobot(World(model, ["arm"]), RobotConfig()).sensors == ()


@pytest.mark.parametrize("axis", ["x", "y", "z"])
def test_a_push_changes_the_base_velocity_by_just_that(axis: str) -> None:
    world = World(mujoco.MjModel.from_xml_string(FREE_BODY), ["arm"])
    before = world.data.qvel.copy()
    world.push(axis, 1.5)
    change = world.data.qvel - before
    expected = np.zeros(world.model.nv)
    expected["xyz".index(axis)] = 1.5
    assert change == pytest.approx(expected, abs=1e-9)


def test_a_robot_that_is_bolted_down_cannot_be_pushed() -> None:
    world = open_world("", str(SLIDER.mjcf))
    with pytest.raises(ConfigError, match="expected a base that moves along x"):
        world.push("x", 1.0)


def test_broken_physics_are_reported_and_mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # MuJoCo leaves a file of warnings
    robot = runner()
    robot._world.data.qvel[:] = 1e200
    readings = robot.advance(0.0)
    assert robot.report(0.0).breakdowns == 1
    assert all(np.isfinite(value).all() for reading in readings for value in reading.values.values())


@pytest.mark.parametrize(
    ("bundle", "mjcf", "error"), [("", "", ConfigError), ("", "/nowhere.xml", BundleError), ("/nowhere", "", PgxError)]
)
def test_a_world_that_cannot_be_opened_says_so(bundle: str, mjcf: str, error: type[PgxError]) -> None:
    with pytest.raises(error):
        open_world(bundle, mjcf)


def test_the_bundle_gives_joints_and_rate(runner_bundle: Path) -> None:
    world = open_world(str(runner_bundle), "")
    assert world.control_rate == 25.0 and world.joints[0] == "hind_hip" and world.command_type == "position"


def test_a_target_is_moved_by_name_and_stays_there_after_a_reset() -> None:
    model = mujoco.MjModel.from_xml_path(str(ARM.mjcf))
    joints = [model.joint(int(joint)).name for joint in model.actuator_trnid[:, 0]]
    world = World(model, joints, ARM.control_rate, {"target_x": (0.2, 0.0)})
    robot = SimulatedRobot(world, RobotConfig())
    before = world.read()
    assert before.named["target"] == pytest.approx([0.3, -0.13, 0.35])  # 0.1 m beside its axis
    assert robot.place({"target_y": (0.4, 0.0), "target_turn": (0.0, 1.5)}) == ""
    assert world.read().named["target"] == pytest.approx([0.3, 0.4, 0.35])
    assert (world.read().positions == before.positions).all()
    robot.reset()
    assert world.read().named["target"] == pytest.approx([0.3, 0.4, 0.35])
    for scene in ({"elbow_joint": (0.0, 0.0)}, {"nowhere": (0.0, 0.0)}, {"target_x": (float("nan"), 0.0)}):
        assert "scene: expected" in robot.place(scene)
