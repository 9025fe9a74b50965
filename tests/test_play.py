"""A bundle in MuJoCo: two hand-made policies for the slider, one that pushes right and one that pushes left."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
import pytest

from pgx_core.commands.play import _draw, _stretch
from pgx_core.contract import ObservationTerm
from pgx_core.errors import BundleError, ConfigError
from pgx_core.objectives.suites import SLIDER
from pgx_core.play import SimulatedRobot, load_model, play, read
from pgx_core.serving import Bundle, ServingConfig, load_bundle

MJCF = Path(SLIDER.mjcf).read_text()


@pytest.fixture
def bundle(pushers) -> Bundle:
    return pushers


@pytest.fixture
def model(bundle) -> mujoco.MjModel:
    return load_model(bundle, None)


def test_each_objective_is_pursued_by_its_group(bundle, model) -> None:
    episode = play(bundle, model, ("right", "left", "right"), 2.0)
    assert episode.objectives == ("right",) * 50 + ("left",) * 50 + ("right",) * 50
    assert episode.groups == ("pushers",) * 50 + ("pullers",) * 50 + ("pushers",) * 50
    np.testing.assert_allclose(episode.times, np.arange(1, 151) / 25.0)
    assert episode.refusals == 0
    np.testing.assert_allclose(episode.commands[[49, 99, 149], 0], [2.0, -2.0, 2.0])  # half of the 4 N
    gain = np.diff(episode.velocity[:, 0])
    assert (gain[10:49] > 0).all() and (gain[60:99] < 0).all() and not episode.velocity[:, 1:].any()
    assert episode.target[:, 0].tolist() == [1.0] * 50 + [-1.0] * 50 + [1.0] * 50
    assert np.isnan(episode.target[:, 1:]).all()
    assert np.isnan(play(bundle, model, ("away",), 0.04).target).all()


def test_a_robot_that_runs_away_is_damped_and_says_when_and_why(bundle, model) -> None:
    contract = bundle.manifest.contract
    slow = replace(contract, joints=(replace(contract.joints[0], velocity_limit=0.2),))  # overspeed: 0.6 m/s
    timid = replace(bundle, manifest=replace(bundle.manifest, contract=slow))
    episode = play(timid, model, ("right",), 2.0)
    (stop,) = episode.stops
    assert "joint 'rail' moves at 0.6" in stop and 0 < episode.refusals < 50
    at = round(float(stop.split()[0]) * contract.control_rate)
    assert (episode.commands[at - 1] != 0).all() and (episode.commands[at + 8 :] == 0).all()
    assert play(bundle, model, ("right",), 2.0).stops == ()


def test_it_moves_as_mujoco_moves_under_its_commands(bundle, model) -> None:
    episode = play(bundle, model, ("left", "right"), 1.0, seed=3)
    data = mujoco.MjData(model)
    data.qvel[:] = 0.05 * np.random.default_rng(3).standard_normal(1)
    for command, qpos, velocity in zip(episode.commands, episode.qpos, episode.velocity, strict=True):
        data.ctrl[:] = command
        mujoco.mj_step(model, data)  # the physics runs at 50 Hz
        before = data.qvel[0]
        mujoco.mj_step(model, data)
        np.testing.assert_array_equal(qpos, data.qpos)
        np.testing.assert_allclose(velocity, [before, 0.0, 0.0], atol=1e-9)


def test_motion_is_told_in_the_heading_of_a_floating_base() -> None:
    bundle = load_bundle(Path(__file__).parents[1] / "models" / "quadruped")
    robot = SimulatedRobot(bundle, load_model(bundle, None), ServingConfig(initial_objective="stand"), 0)
    half = np.sqrt(0.5)
    robot.data.qpos[3:7], robot.data.qvel[:] = (half, 0.0, 0.0, half), 0.0  # it looks along the world's y axis
    robot.data.qvel[:2], robot.data.qvel[5] = (-0.3, 0.7), 0.4
    mujoco.mj_forward(robot.model, robot.data)
    mujoco.mj_subtreeVel(robot.model, robot.data)
    np.testing.assert_allclose(
        robot.velocity(), [0.7, 0.3, 0.4], atol=0.02
    )  # turning moves the centre of mass a little


def test_the_seed_decides_the_start(bundle, model) -> None:
    first, again, other = (play(bundle, model, ("right",), 0.4, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.qpos, again.qpos)
    assert (first.qpos != other.qpos).any()


def test_readings_come_in_the_order_of_the_contract(bundle, tmp_path) -> None:
    """A robot of two carts whose actuators and joints stand in opposite orders."""
    contract = bundle.manifest.contract
    joints = tuple(replace(contract.joints[0], name=name) for name in ("first", "second"))
    mjcf = """<mujoco><worldbody>
        <body><joint name="second" type="slide"/><geom size="1" mass="1"/></body>
        <body><joint name="first" type="slide"/><geom size="1" mass="1"/></body>
      </worldbody><actuator><motor joint="first"/><motor joint="second"/></actuator>
      <sensor><jointpos name="angle" joint="second"/></sensor></mujoco>"""
    model = mujoco.MjModel.from_xml_string(mjcf)
    data = mujoco.MjData(model)
    data.qpos[:], data.qvel[:] = (2.0, 1.0), (0.2, 0.1)
    mujoco.mj_forward(model, data)
    readings = read(model, data, replace(contract, joints=joints))
    assert readings.joint_positions.tolist() == [1.0, 2.0]
    assert readings.joint_velocities.tolist() == [0.1, 0.2]
    assert readings.sensors["angle"].tolist() == [2.0]
    data.qpos[:] = 5.0
    assert readings.joint_positions.tolist() == [1.0, 2.0], "aliased"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('name="rail"', 'name="track"', "the robot lacks rail; the bundle does not command track"),
        ("</worldbody>", '<body><joint name="x"/><geom size="1"/></body></worldbody>', ""),  # a free joint is no matter
        ('timestep="0.02"', 'timestep="0.03"', "its timestep 0.03 s must divide 1/25 s"),
        ('timestep="0.02"', 'timestep="0.1"', "its timestep 0.1 s must divide"),
        ("<mujoco", "<robot", "MuJoCo cannot load"),
    ],
)
def test_another_mjcf_must_fit(old, new, words, bundle, tmp_path) -> None:
    path = tmp_path / "other.xml"
    path.write_text(
        MJCF.replace(old, new).replace('joint="rail"', 'joint="track"' if "track" in new else 'joint="rail"')
    )
    if not words:
        assert load_model(bundle, path).njnt == 2
        return
    with pytest.raises(BundleError) as caught:
        load_model(bundle, path)
    assert words in str(caught.value) and str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_actuators_that_drive_no_joint_are_refused(bundle, tmp_path) -> None:
    path = tmp_path / "other.xml"
    path.write_text(
        MJCF.replace('<geom name="cart"', '<site name="hook"/><geom name="cart"').replace(
            "</actuator>", '<general name="winch" site="hook"/></actuator>'
        )
    )
    with pytest.raises(BundleError, match="expected every actuator to drive a joint"):
        load_model(bundle, path)


@pytest.mark.parametrize(
    ("source", "words"),
    [("sensor:range", "a sensor 'range'"), ("projected_gravity", "a sensor 'orientation'")],
)
def test_a_sensor_that_the_contract_needs_must_be_there(source, words, bundle) -> None:
    terms = (*bundle.manifest.contract.observation, ObservationTerm(source, 3))
    contract = replace(bundle.manifest.contract, observation=terms)
    blind = replace(bundle, manifest=replace(bundle.manifest, contract=contract))
    with pytest.raises(BundleError, match=f"needs {words}"):
        load_model(blind, None)


def test_a_bundle_without_a_robot_asks_for_one(bundle) -> None:
    bare = replace(bundle, manifest=replace(bundle.manifest, robot_file=None))
    with pytest.raises(BundleError, match="give its MJCF with --mjcf"):
        load_model(bare, None)
    assert load_model(bare, Path(SLIDER.mjcf)).nu == 1


def test_an_unknown_objective_is_refused_before_the_start(bundle, model) -> None:
    with pytest.raises(BundleError, match="did you mean 'right'"):
        play(bundle, model, ("left", "rigth"), 1.0)


@pytest.mark.parametrize("seconds", [0.0, 0.01, -1.0, float("nan"), float("inf")])
def test_a_time_without_a_tick_is_refused(seconds, bundle, model) -> None:
    with pytest.raises(ConfigError, match=r"seconds: expected 0.04 s \(a control tick\) or more"):
        play(bundle, model, ("left",), seconds)


def test_the_motion_of_a_base_is_kept_where_it_is_observed() -> None:
    bundle = load_bundle(Path(__file__).parents[1] / "models" / "quadruped")
    episode = play(bundle, load_model(bundle, None), ("turn_left",), 0.2)
    assert list(episode.observed) == ["turn, rad/s"]  # it has a gyroscope, and no odometry
    np.testing.assert_array_equal(episode.observed["turn, rad/s"], episode.velocity[:, 2])


def test_who_commands_no_motion_is_shown_by_what_it_observes(tmp_path) -> None:
    bundle = load_bundle(Path(__file__).parents[1] / "models" / "quadruped")
    model = load_model(bundle, None)
    told = play(bundle, model, ("turn_left",), 0.2)
    episode = replace(told, target=np.full_like(told.target, np.nan))
    late = told.velocity[5:, 2].mean()
    assert _stretch(episode, 0, 10).endswith(f"   turn, rad/s {late:.3g}") and "achieved" in _stretch(told, 0, 10)
    assert [path.name for path in _draw(tmp_path, model, episode, 50.0)] == ["play.gif", "tracking.png"]


def test_what_a_policy_observes_by_name_is_kept_value_by_value() -> None:
    bundle = load_bundle(Path(__file__).parents[1] / "models" / "arm")
    model = load_model(bundle, None)
    episode = play(bundle, model, ("reach_left",), 0.1)
    assert list(episode.observed) == [f"{name} {axis}" for name in ("tool", "target") for axis in range(3)]
    tool, target = (
        np.stack([episode.observed[f"{name} {axis}"] for axis in range(3)], 1) for name in ("tool", "target")
    )
    np.testing.assert_allclose(np.linalg.norm(tool - target, axis=1), episode.distance)
    assert (np.ptp(tool, axis=0) > 0).any() and not np.ptp(target, axis=0).any()
