"""Physics per objective, and the threaded engine against plain `mj_step`."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest
import torch

from pgx_core.objectives.objective import Physics
from pgx_core.objectives.suites import SIGNS, SUITES, TINY
from pgx_core.simulation.engines import make_engine
from pgx_core.simulation.robot_model import compile_robot, vary_physics
from pgx_core.simulation.simulation import SimulationConfig

HIERARCHY = SUITES["hierarchy"]
BOX = """\
<mujoco>
  <option timestep="0.002"/>
  <worldbody>
    <geom type="plane" size="50 50 1" friction="0.4"/>
    <body pos="0 0 0.1"><freejoint/><geom type="box" size="0.2 0.2 0.1" mass="2" friction="0.4"/></body>
  </worldbody>
</mujoco>
"""


def start(engine, qpos, qvel):
    engine.reset(torch.ones(len(qpos), dtype=torch.bool), torch.from_numpy(qpos), torch.from_numpy(qvel))


def test_stepping_on_threads_equals_plain_mujoco():
    robot = compile_robot(SIGNS.robot)
    engine = make_engine(HIERARCHY, robot, np.array([0, 11, 6, 3, 8]), SimulationConfig(threads=2))
    rng = np.random.default_rng(0)
    qpos = rng.uniform(-0.2, 0.2, (5, robot.model.nq))
    qvel = rng.normal(size=(5, robot.model.nv))
    commands = torch.from_numpy(rng.uniform(-0.7, 0.7, (8, 5, 6))).float()
    start(engine, qpos, qvel)
    for command in commands:
        engine.step(command)
    came = engine.read()
    for world, objective in enumerate([0, 11, 6, 3, 8]):
        model = vary_physics(robot.model, HIERARCHY.objectives[objective].physics)
        data = mujoco.MjData(model)
        data.qpos[:], data.qvel[:] = qpos[world], qvel[world]
        for command in commands:
            data.ctrl[:] = command[world]
            data.qacc_warmstart[:] = 0.0
            for _ in range(robot.substeps):
                mujoco.mj_step(model, data)
        for ours, oracle in zip(came, (data.qpos, data.qvel, data.sensordata), strict=True):
            np.testing.assert_allclose(ours[world], oracle, atol=1e-4)


def test_the_number_of_threads_changes_nothing():
    robot = compile_robot(SIGNS.robot)
    results = []
    for threads in (1, 2, 3):
        engine = make_engine(SIGNS, robot, np.arange(6), SimulationConfig(threads=threads))
        start(engine, np.tile(robot.home_qpos, (6, 1)), np.zeros((6, robot.model.nv)))
        for k in range(10):
            engine.step(torch.sin(torch.arange(36.0) + k).view(6, 6))
        results.append(torch.cat(engine.read(), 1))
    assert torch.equal(results[0], results[1]) and torch.equal(results[0], results[2])


def test_light_gravity_falls_slower():
    robot = compile_robot(HIERARCHY.robot)
    pair = np.array([HIERARCHY.names.index("forward_1"), HIERARCHY.names.index("forward_1_light")])
    engine = make_engine(HIERARCHY, robot, pair, SimulationConfig())
    high = robot.home_qpos + 3.0 * (np.arange(robot.model.nq) == 1)
    start(engine, np.tile(high, (2, 1)), np.zeros((2, robot.model.nv)))
    for _ in range(10):
        engine.step(torch.zeros(2, 6))
    velocity = engine.read()[2][:, robot.sensors["com_velocity"]][:, 2]
    seconds = 10 / HIERARCHY.robot.control_rate - robot.model.opt.timestep  # sensors lag one physics step
    torch.testing.assert_close(velocity, torch.tensor([-9.81, -0.4 * 9.81]) * seconds, rtol=1e-4, atol=0)


@pytest.mark.parametrize("factor", [0.5, 3.0])
def test_mass_divides_the_acceleration_and_strength_multiplies_it(factor):
    model = compile_robot(TINY.robot).model
    model.dof_damping[:] = 0.0
    for physics, expected in ((Physics(mass=factor), 2.0 / factor), (Physics(actuator_strength=factor), 2.0 * factor)):
        varied = vary_physics(model, physics)
        data = mujoco.MjData(varied)
        data.ctrl[:] = 2.0
        mujoco.mj_forward(varied, data)
        assert data.qacc[0] == pytest.approx(expected)  # a cart of 1 kg under 2 N


def test_mass_scales_every_body_and_what_follows_from_it():
    model = compile_robot(SIGNS.robot).model
    varied = vary_physics(model, Physics(mass=2.0))
    np.testing.assert_allclose(varied.body_mass, 2 * model.body_mass)
    np.testing.assert_allclose(varied.body_inertia, 2 * model.body_inertia)
    np.testing.assert_allclose(varied.body_subtreemass, 2 * model.body_subtreemass)
    np.testing.assert_allclose(varied.dof_M0[:2], 2 * model.dof_M0[:2])


@pytest.mark.parametrize("position", [0.0, 3.0])
def test_strength_scales_servo_and_force_limit(position):
    model = compile_robot(SIGNS.robot).model
    forces = []
    for strength in (1.0, 0.25):
        varied = vary_physics(model, Physics(actuator_strength=strength))
        data = mujoco.MjData(varied)
        data.qpos[3:], data.qvel[3:], data.ctrl[:] = position, 0.3, 0.4
        mujoco.mj_forward(varied, data)
        forces.append(data.actuator_force.copy())
    np.testing.assert_allclose(forces[1], 0.25 * forces[0])
    if position == 3.0:
        np.testing.assert_allclose(forces[0], [-140, -100, -60] * 2)  # at the limit


@pytest.mark.parametrize("factor", [1.0, 0.5])
def test_friction_decides_how_a_box_slows_down(factor):
    model = vary_physics(mujoco.MjModel.from_xml_string(BOX), Physics(friction=factor))
    data = mujoco.MjData(model)
    mujoco.mj_step(model, data, nstep=100)
    data.qvel[0] = 3.0
    mujoco.mj_step(model, data, nstep=200)
    assert 3.0 - data.qvel[0] == pytest.approx(0.4 * factor * 9.81 * 0.4, rel=0.05)


def test_varying_leaves_the_model_alone():
    model = compile_robot(SIGNS.robot).model
    fields = (
        "body_mass",
        "body_inertia",
        "geom_friction",
        "actuator_gainprm",
        "actuator_biasprm",
        "actuator_forcerange",
    )
    before = {name: getattr(model, name).copy() for name in fields}
    varied = vary_physics(model, Physics(0.4, 0.5, 2.0, 3.0))
    assert model.opt.gravity[2] == -9.81 and varied.opt.gravity[2] == pytest.approx(0.4 * -9.81)
    for name in fields:
        np.testing.assert_array_equal(getattr(model, name), before[name])
        assert not np.array_equal(getattr(varied, name), before[name])


def test_default_physics_is_the_robots_own():
    model = compile_robot(SIGNS.robot).model
    same = vary_physics(model, Physics())
    for name in ("body_mass", "geom_friction", "actuator_gainprm", "actuator_biasprm", "dof_M0", "body_invweight0"):
        np.testing.assert_array_equal(getattr(same, name), getattr(model, name))


def test_a_quaternion_disturbed_at_reset_is_a_unit_quaternion(make_robot):
    floating = ('<body name="base">', '<body name="base"><freejoint/>')
    robot = compile_robot(make_robot(floating, ('qpos="0.2 -0.4"', 'qpos="0 0 1 1 0 0 0 0.2 -0.4"')))
    engine = make_engine(TINY, robot, np.array([0, 1]), SimulationConfig())
    qpos = np.tile(robot.home_qpos, (2, 1)) + np.random.default_rng(0).uniform(-0.1, 0.1, (2, robot.model.nq))
    start(engine, qpos, np.zeros((2, robot.model.nv)))
    came, _, sensordata = engine.read()
    torch.testing.assert_close(came[:, 3:7].norm(dim=1), torch.ones(2))
    torch.testing.assert_close(sensordata[:, robot.sensors["orientation"]], came[:, 3:7])


def test_sensors_after_a_reset_feel_the_worlds_own_physics(make_robot):
    robot = compile_robot(make_robot(("<touch ", "<accelerometer ")))
    objectives = np.array([HIERARCHY.names.index(name) for name in ("forward_1", "forward_1_light")])
    engine = make_engine(HIERARCHY, robot, objectives, SimulationConfig())
    start(engine, np.tile(robot.home_qpos, (2, 1)), np.zeros((2, robot.model.nv)))
    acceleration = engine.read()[2][:, robot.sensors["touch"]]  # of a base bolted to the world: gravity, felt upwards
    torch.testing.assert_close(acceleration, torch.tensor([[0.0, 0.0, 9.81], [0.0, 0.0, 0.4 * 9.81]]))
