"""The quadruped and the arm are those their makers publish: mass, reach, limits; and their URDF twins are equal."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from pgx_core.objectives.arm import ARM
from pgx_core.objectives.quadruped import LEGS, QUADRUPED
from pgx_core.simulation.robot_model import compile_robot
from pgx_core.simulation.urdf import to_urdf

ROOTS = {"quadruped": "base", "arm": "base_link"}
every_robot = pytest.mark.parametrize("robot", [QUADRUPED, ARM], ids=ROOTS)
# The UR5e's published Denavit-Hartenberg parameters: a (m), d (m), alpha (rad).
DH = ((0, 0.1625, np.pi / 2), (-0.425, 0, 0), (-0.3922, 0, 0), (0, 0.1333, np.pi / 2), (0, 0.0997, -np.pi / 2),
      (0, 0.0996, 0))  # fmt: skip


def home(model):
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, model.key("home").id)
    return data


def subtree_mass(model, root):
    return model.body_subtreemass[model.body(root).id]


def denavit_hartenberg(angles):
    """Pose of the tool: the product of the table's transforms."""
    pose = np.eye(4)
    for theta, (a, d, alpha) in zip(angles, DH, strict=True):
        c, s, ca, sa = np.cos(theta), np.sin(theta), np.cos(alpha), np.sin(alpha)
        pose = pose @ [[c, -s * ca, s * sa, a * c], [s, c * ca, -c * sa, a * s], [0, sa, ca, d], [0, 0, 0, 1]]
    return pose


def test_masses_are_the_makers():
    assert subtree_mass(compile_robot(QUADRUPED).model, "base") == pytest.approx(15.0, abs=0.1)
    assert subtree_mass(compile_robot(ARM).model, "base_link") == pytest.approx(20.6, abs=0.01)


@pytest.mark.parametrize("seed", range(5))
def test_the_arm_reaches_where_the_makers_table_says(seed):
    model = compile_robot(ARM).model
    data = mujoco.MjData(model)
    data.qpos[:6] = np.random.default_rng(seed).uniform(-3, 3, 6)
    mujoco.mj_forward(model, data)
    expected = denavit_hartenberg(data.qpos[:6])
    np.testing.assert_allclose(data.site("tool").xpos, expected[:3, 3], atol=1e-6)
    np.testing.assert_allclose(data.site("tool").xmat.reshape(3, 3), expected[:3, :3], atol=1e-6)


def test_legs_mirror_each_other():
    model = compile_robot(QUADRUPED).model
    for left, right in (("FL", "FR"), ("RL", "RR")):
        for part in ("hip", "thigh", "calf", "foot"):
            one, other = model.body(f"{left}_{part}").id, model.body(f"{right}_{part}").id
            for field in ("body_pos", "body_ipos"):
                np.testing.assert_allclose(getattr(model, field)[one] * [1, -1, 1], getattr(model, field)[other])
            tensors = [inertia(model, body) for body in (one, other)]
            flip = np.diag([1.0, -1.0, 1.0])
            np.testing.assert_allclose(flip @ tensors[0] @ flip, tensors[1], atol=1e-9)


def inertia(model, body):
    axes = np.zeros(9)
    mujoco.mju_quat2Mat(axes, model.body_iquat[body])
    return axes.reshape(3, 3) @ np.diag(model.body_inertia[body]) @ axes.reshape(3, 3).T


def test_the_quadruped_stands_under_its_home_pose():
    model = compile_robot(QUADRUPED).model
    data = home(model)
    mujoco.mj_step(model, data, nstep=600)
    start = data.qpos.copy()
    mujoco.mj_step(model, data, nstep=400)
    assert all(data.sensor(f"{leg}_contact").data[0] > 10.0 for leg in LEGS)  # N
    assert 0.25 < data.qpos[2] < 0.33 and data.qpos[3] > 0.999
    assert np.abs(data.qvel).max() < 0.02 and np.abs(data.qpos - start)[:3].max() < 0.01


def test_the_arm_holds_its_home_pose():
    model = compile_robot(ARM).model
    data = home(model)
    mujoco.mj_step(model, data, nstep=500)
    assert np.abs(data.qpos[:6] - model.key("home").qpos[:6]).max() < 0.03
    assert np.abs(data.qvel).max() < 1e-3


@every_robot
def test_random_commands_neither_explode_nor_pass_the_limits(robot):
    compiled = compile_robot(robot)
    model, contract, rng = compiled.model, compiled.contract, np.random.default_rng(0)
    data = home(model)
    command = np.array([joint.default for joint in contract.joints])
    step = np.array([joint.velocity_limit for joint in contract.joints]) / contract.control_rate
    lower, upper = (
        np.array([getattr(joint, f"position_{end}") for joint in contract.joints]) for end in ("lower", "upper")
    )
    for _ in range(400):
        wanted = np.array([joint.default for joint in contract.joints]) + robot.action_scale * rng.uniform(
            -1, 1, model.nu
        )
        command = np.clip(command + np.clip(wanted - command, -step, step), lower, upper)
        data.ctrl[:] = command
        mujoco.mj_step(model, data, nstep=compiled.substeps)
        angles = data.qpos[compiled.joint_qpos]
        assert np.abs(data.qvel).max() < 40.0 and np.isfinite(data.qpos).all()
        assert (angles > lower - 0.1).all() and (angles < upper + 0.1).all()
        assert (np.abs(data.actuator_force) <= [joint.effort_limit + 1e-9 for joint in contract.joints]).all()


def test_an_arm_that_overshoots_is_commanded_below_what_its_joints_may_do():
    for joint in compile_robot(ARM).contract.joints:
        assert (joint.fastest, joint.velocity_limit) == (3.14, pytest.approx(0.95 * 3.14))
    for joint in compile_robot(QUADRUPED).contract.joints:
        assert joint.fastest == joint.velocity_limit == QUADRUPED.velocity_limit


@every_robot
def test_the_urdf_twin_is_up_to_date(robot):
    text = to_urdf(compile_robot(robot).model, robot.name, ROOTS[robot.name], robot.velocity_limit)
    assert robot.mjcf.with_suffix(".urdf").read_text() == text, "write what to_urdf returns into the file"


@every_robot
def test_the_urdf_twin_has_the_same_masses_limits_and_kinematics(robot):
    model = compile_robot(robot).model
    twin = mujoco.MjModel.from_xml_path(str(robot.mjcf.with_suffix(".urdf")))
    root = ROOTS[robot.name]
    joints = [twin.joint(i).name for i in range(twin.njnt)]
    assert joints == [model.joint(int(i)).name for i in model.actuator_trnid[:, 0]]
    for name in joints:
        np.testing.assert_allclose(twin.joint(name).range, model.joint(name).range, atol=1e-9)
    one, other, rng = home(model), mujoco.MjData(twin), np.random.default_rng(0)
    links = [twin.body(i).name for i in range(1, twin.nbody)]
    assert links[0] == root and subtree_mass(twin, root) == pytest.approx(subtree_mass(model, root))
    for _ in range(3):
        angles = rng.uniform(*twin.jnt_range.T)
        other.qpos[:] = angles
        for name, angle in zip(joints, angles, strict=True):
            one.joint(name).qpos = angle
        for m, data in ((model, one), (twin, other)):
            mujoco.mj_forward(m, data)
        for link in links:
            a, b = model.body(link).id, twin.body(link).id
            assert twin.body_mass[b] == pytest.approx(model.body_mass[a])
            np.testing.assert_allclose(twin.body_ipos[b], model.body_ipos[a], atol=1e-8)
            np.testing.assert_allclose(inertia(twin, b), inertia(model, a), atol=1e-8)
            offset = one.body(root).xpos
            np.testing.assert_allclose(other.body(link).xpos, one.body(link).xpos - offset, atol=1e-6)
            np.testing.assert_allclose(other.body(link).xmat, one.body(link).xmat, atol=1e-6)
