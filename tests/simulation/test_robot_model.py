"""The contract derived from an MJCF, and what is said about an MJCF that cannot serve."""

from __future__ import annotations

from pathlib import Path

import mujoco
import numpy as np
import pytest

from pgx_core.contract import JointContract, ObservationTerm
from pgx_core.errors import SuiteError
from pgx_core.objectives.suites import RUNNER, SLIDER
from pgx_core.simulation.robot_model import compile_robot, standalone_mjcf

SHOULDER = '<position name="s" joint="shoulder" kp="20" kv="2" ctrlrange="-1 1"/>'
ELBOW = '<position name="e" joint="elbow" kp="10" ctrlrange="-2 0.5" forcerange="-3 3"/>'
MOTORS = (
    (SHOULDER, '<motor joint="shoulder" ctrlrange="-3 2"/>'),
    (ELBOW, '<motor joint="elbow" ctrlrange="0 5"/>'),
)
VELOCITY = tuple((old, new.replace("<motor", '<velocity kv="4"')) for old, new in MOTORS)
HOME = 'qpos="0.2 -0.4"'
FLOATING = (('<body name="base">', '<body name="base"><freejoint/>'), (HOME, 'qpos="0 0 1 1 0 0 0 0.2 -0.4"'))


def test_a_position_robot_in_full(make_robot):
    robot = compile_robot(make_robot())
    assert robot.contract.command_type == "position"
    assert robot.contract.joints == (
        JointContract("shoulder", 0.2, 0.5, -1.0, 1.0, -1.5, 1.5, 20.0, 20.0, 20.0, 2.0),
        JointContract("elbow", -0.4, 0.5, -2.0, 0.5, None, None, 20.0, 3.0, 10.0, 0.0),
    )
    assert robot.contract.observation == (
        ObservationTerm("joint_positions", 2),
        ObservationTerm("joint_velocities", 2),
        ObservationTerm("projected_gravity", 3),
        ObservationTerm("sensor:touch", 1),
    )
    assert (robot.contract.safe_state, robot.contract.maximum_tilt) == ("hold", None)
    assert robot.substeps == 10 and robot.contract.control_rate == 50.0
    assert dict(robot.sensors) == {"orientation": slice(0, 4), "touch": slice(4, 5)}
    np.testing.assert_array_equal(robot.home_qpos, [0.2, -0.4])


def test_the_safe_state_and_the_tilt_reach_the_contract(make_robot):
    contract = compile_robot(make_robot(safe_state="damp", maximum_tilt=0.9)).contract
    assert (contract.safe_state, contract.maximum_tilt) == ("damp", 0.9)


@pytest.mark.parametrize(("changes", "kind", "damping"), [(MOTORS, "effort", 0.0), (VELOCITY, "velocity", 4.0)])
def test_other_kinds_of_command_are_shares_of_their_range(make_robot, changes, kind, damping):
    contract = compile_robot(make_robot(*changes, action_scale=0.5)).contract
    assert contract.command_type == kind
    assert [(j.default, j.scale, j.lower, j.upper) for j in contract.joints] == [(0, 1.5, -3, 2), (0, 2.5, 0, 5)]
    assert all(j.stiffness == 0.0 and j.damping == damping for j in contract.joints)
    assert not any(np.signbit(j.damping) for j in contract.joints)  # a card that says -0 raises questions


def test_a_position_servo_without_ctrlrange_moves_within_its_joint(make_robot):
    joint = compile_robot(make_robot((' kp="20" kv="2" ctrlrange="-1 1"', ' kp="20"'))).contract.joints[0]
    assert (joint.lower, joint.upper) == (-1.5, 1.5)


def test_without_a_home_keyframe_home_is_the_reference_pose(make_robot):
    robot = compile_robot(make_robot(('<key name="home"', '<key name="folded"')))
    np.testing.assert_array_equal(robot.home_qpos, [0.0, 0.0])


def test_addresses_follow_the_actuators_not_the_joints(make_robot):
    robot = compile_robot(make_robot((SHOULDER, "<first/>"), (ELBOW, SHOULDER), ("<first/>", ELBOW)))
    assert [j.name for j in robot.contract.joints] == ["elbow", "shoulder"]
    assert robot.joint_qpos.tolist() == robot.joint_qvel.tolist() == [1, 0]
    assert [j.default for j in robot.contract.joints] == [-0.4, 0.2]


def test_joints_behind_a_floating_base_are_found(make_robot):
    robot = compile_robot(make_robot(*FLOATING))
    assert robot.joint_qpos.tolist() == [7, 8] and robot.joint_qvel.tolist() == [6, 7]
    assert [j.default for j in robot.contract.joints] == [0.2, -0.4]


ON_A_SITE = ELBOW.replace('joint="elbow"', 'site="imu"')
BALL = (('name="elbow" axis="0 1 0"', 'name="elbow" type="ball"'), (HOME, 'qpos="0 1 0 0 0"'))
BAD = {
    "no actuators": (((SHOULDER, ""), (ELBOW, "")), "expected actuators in"),
    "malformed": ((("</worldbody>", ""),), "MuJoCo cannot load"),
    "an unknown element": ((("<touch ", "<tuch "),), "MuJoCo cannot load"),
    "a motor without ctrlrange": (
        (*MOTORS, (' ctrlrange="0 5"', "")),
        "the actuator of joint 'elbow': expected a ctrlrange",
    ),
    "a servo without any range": (
        ((' ctrlrange="-2 0.5"', ""),),
        "actuator 'e': expected a ctrlrange .or, for positions, a range",
    ),
    "a gear": ((('joint="elbow"', 'joint="elbow" gear="3"'),), "actuator 'e': expected gear 1, got 3"),
    "a motor with a gain": (
        (*MOTORS, ('<motor joint="shoulder"', '<general gainprm="2" joint="shoulder"')),
        "actuator of joint 'shoulder': expected gain 1, got 2",
    ),
    "two actuators on one joint": ((('joint="elbow"', 'joint="shoulder"'),), "one actuator per joint, two drive"),
    "a filtered actuator": (
        ((' kp="10"', ' kp="10" timeconst="0.1"'),),
        "without a state of their own, got activation",
    ),
    "mixed actuators": (MOTORS[:1], "one kind of actuator, got effort and position"),
    "an actuator on a site": (((ELBOW, ON_A_SITE),), "'e' must drive one hinge or slide joint"),
    "a ball joint": (BALL, "'e' must drive one hinge or slide joint"),
    "a missing sensor": (
        (('"orientation"', '"attitude"'),),
        r"needs the sensor 'orientation' .*it has: attitude, touch",
    ),
    "a sensor of another kind": ((("<framequat", "<framepos"),), "'orientation' of size 4, got size 3"),
    "a home beyond the command's range": (
        ((HOME, 'qpos="0.2 0.9"'),),
        r"joint 'elbow': expected the default within -2.0 to 0.5, got 0.9 \(of position commands it is the home pose\)",
    ),
    "a home beyond the joint's range": (
        ((' ctrlrange="-1 1"', ""), (HOME, 'qpos="2 -0.4"')),
        "joint 'shoulder': expected the default within -1.5 to 1.5, got 2.0",
    ),
    "a motor that cannot rest": ((*MOTORS, ('"0 5"', '"1 5"')), "joint 'elbow': .* within 1.0 to 5.0, got 0.0"),
    "a servo without a gain": (((' kp="10"', ' kp="-10"'),), "joint 'elbow': expected gains for position commands"),
}


@pytest.mark.parametrize(("changes", "message"), BAD.values(), ids=BAD)
def test_every_fault_in_the_mjcf_is_named_in_one_line(make_robot, changes, message):
    with pytest.raises(SuiteError, match=message) as caught:
        compile_robot(make_robot(*changes))
    assert "\n" not in str(caught.value) and str(caught.value).startswith("robot 'arm': ")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"maximum_tilt": 0.0}, "expected maximum_tilt in 0 to pi rad, got 0"),
        ({"maximum_tilt": float("nan")}, "expected maximum_tilt in 0 to pi rad, got nan"),
        ({"maximum_tilt": 1.0, "observation": ("joint_positions",)}, "needs the observation 'projected_gravity'"),
        ({"mjcf": Path("nowhere.xml")}, "MuJoCo cannot load 'nowhere.xml'"),
        ({"control_rate": 30.0}, "30 Hz must divide the physics rate 500 Hz"),
        ({"control_rate": 1000.0}, "1000 Hz must divide the physics rate 500 Hz"),
        ({"observation": ("joint_angles",)}, "unknown observation 'joint_angles'; known: joint_positions, "),
        ({"observation": ("objective",)}, "unknown observation 'objective'"),
        ({"observation": ("sensor:contact",)}, r"needs the sensor 'contact' .*it has: orientation, touch"),
        ({"observation": ("linear_velocity",)}, "needs the sensor 'linear_velocity'"),
        ({"observation": ("joint_positions",) * 2}, "robot 'arm': observation term 'joint_positions' occurs twice"),
        ({"observation": ()}, "robot 'arm': expected at least one observation term, got none"),
        ({"action_scale": 0.0}, "robot 'arm': joint 'shoulder': expected scale above 0, got 0.0"),
        ({"velocity_limit": 0.0}, "robot 'arm': joint 'shoulder': expected velocity_limit above 0, got 0.0"),
        ({"velocity_limit": float("inf")}, "robot 'arm': joint 'shoulder': velocity_limit is not finite"),
    ],
)
def test_every_fault_in_the_robot_is_named_in_one_line(make_robot, fields, message):
    with pytest.raises(SuiteError, match=message) as caught:
        compile_robot(make_robot(**fields))
    assert "\n" not in str(caught.value)


def test_a_safe_state_that_there_is_not_is_refused_without_a_type_checker_too(make_robot):
    robot = make_robot()
    object.__setattr__(robot, "safe_state", "stop")
    with pytest.raises(SuiteError, match="robot 'arm': expected safe_state 'hold' or 'damp', got 'stop'"):
        robot.__post_init__()


@pytest.mark.parametrize("robot", [RUNNER, SLIDER], ids=lambda robot: robot.name)
def test_a_standalone_mjcf_is_the_same_robot(robot, tmp_path):
    text, files = standalone_mjcf(robot)
    assert not files
    one, other = mujoco.MjModel.from_xml_path(str(robot.mjcf)), mujoco.MjModel.from_xml_string(text)
    datas = []
    for model in (one, other):
        data = mujoco.MjData(model)
        data.ctrl[:] = 0.3
        mujoco.mj_step(model, data, nstep=50)
        datas.append(data)
    np.testing.assert_allclose(datas[0].qpos, datas[1].qpos, atol=1e-6)


TETRAHEDRON = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n"
MESHES = (
    ("<worldbody>", '<compiler meshdir="left"/><asset><mesh file="part.obj"/>'
     '<mesh name="other" file="../right/part.obj"/></asset><worldbody>'),
    ('<body name="base">', '<body name="base"><geom type="mesh" mesh="part"/><geom type="mesh" mesh="other"/>'),
)  # fmt: skip


def test_a_robot_takes_its_meshes_along(make_robot, tmp_path):
    """Two files of one name, one of them a mesh that is named after its file."""
    for side, size in (("left", 1), ("right", 2)):
        (tmp_path / side).mkdir()
        (tmp_path / side / "part.obj").write_text(TETRAHEDRON.replace("1 0 0", f"{size} 0 0", 1))
    robot = make_robot(*MESHES)
    original = mujoco.MjModel.from_xml_path(str(robot.mjcf))
    text, files = standalone_mjcf(robot)
    assert len(files) == 2 and all(name.startswith("assets/") and name.endswith("_part.obj") for name in files)
    elsewhere = tmp_path / "bundle"
    for name, content in {"robot.xml": text.encode(), **files}.items():
        (elsewhere / name).parent.mkdir(parents=True, exist_ok=True)
        (elsewhere / name).write_bytes(content)
    for side in ("left", "right"):
        (tmp_path / side / "part.obj").unlink()
    moved = mujoco.MjModel.from_xml_path(str(elsewhere / "robot.xml"))
    assert [moved.mesh(i).name for i in range(2)] == ["part", "other"]
    np.testing.assert_allclose(moved.mesh_vert, original.mesh_vert, atol=1e-6)
    np.testing.assert_allclose(moved.body_inertia, original.body_inertia, rtol=1e-6)
    with pytest.raises(SuiteError, match=r"cannot read 'left/part\.obj': No such file"):
        standalone_mjcf(robot)
