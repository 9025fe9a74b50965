"""The engine on Isaac Gym, against a stand-in that checks every call by NVIDIA's type stubs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import mujoco
import numpy as np
import pytest
import torch

from pgx_core.errors import SuiteError
from pgx_core.objectives.objective import Physics
from pgx_core.objectives.quadruped import SUITE as QUADRUPED
from pgx_core.objectives.suites import SIGNS, SUITES, TINY
from pgx_core.simulation import isaacgym_api
from pgx_core.simulation.robot_model import compile_robot, vary_physics

from . import isaacgym_standin, isaacgym_stubs

ROBOTS = {suite.robot.name: suite.robot for suite in (TINY, SIGNS, QUADRUPED)}


@pytest.fixture(scope="module", autouse=True)
def isaacgym():
    if not isaacgym_stubs.folder().exists():
        pytest.skip("isaacgym-stubs is not installed")
    with isaacgym_standin.installed() as gymapi:
        yield gymapi


def make(name: str, *physics: Physics, n: int = 3):
    robot = compile_robot(ROBOTS[name])
    models = [vary_physics(robot.model, each) for each in physics or [Physics()] * n]
    return isaacgym_api.load(robot, models, ROBOTS[name].mjcf)


def states(engine, seed: int = 0):
    rng, model, n = np.random.default_rng(seed), engine.robot.model, len(engine.read()[0])
    qpos = engine.robot.home_qpos + rng.uniform(-0.2, 0.2, (n, model.nq))
    qvel = rng.normal(size=(n, model.nv))
    return torch.tensor(qpos, dtype=torch.float32), torch.tensor(qvel, dtype=torch.float32)


def commands(engine, n: int, steps: int = 4):
    rng = torch.Generator().manual_seed(1)
    return torch.rand(steps, n, engine.robot.contract.action_size, generator=rng) - 0.5


@pytest.mark.parametrize("name", ROBOTS)
def test_shapes_and_types(name):
    engine, model = make(name), compile_robot(ROBOTS[name]).model
    engine.step(torch.zeros(3, model.nu))
    sizes = [(3, model.nq), (3, model.nv), (3, model.nsensordata)]
    first = engine.read()
    assert [tensor.shape for tensor in first] == sizes and {tensor.dtype for tensor in first} == {torch.float32}
    kept = [tensor.clone() for tensor in first]
    engine.step(torch.ones(3, model.nu))
    assert all(torch.equal(one, other) for one, other in zip(first, kept, strict=True))


@pytest.mark.parametrize("name", ROBOTS)
def test_a_start_is_what_mujoco_makes_of_it_and_others_are_left_alone(name):
    engine = make(name)
    before, (qpos, qvel) = engine.read(), states(engine)
    qpos[2] = float("nan")
    engine.reset(torch.tensor([False, True, False]), qpos, qvel)
    came = engine.read()
    for row in (0, 2):
        assert all(torch.equal(one[row], other[row]) for one, other in zip(came, before, strict=True))
    data = mujoco.MjData(engine.robot.model)
    data.qpos[:], data.qvel[:] = qpos[1], qvel[1]
    mujoco.mj_normalizeQuat(engine.robot.model, data.qpos)
    mujoco.mj_forward(engine.robot.model, data)
    for ours, oracle in zip(came, (data.qpos, data.qvel, data.sensordata), strict=True):
        np.testing.assert_allclose(ours[1], oracle, atol=1e-5)


@pytest.mark.parametrize("name", ROBOTS)
def test_sensors_after_a_step_are_mujocos_at_that_state(name):
    engine = make(name)
    engine.reset(torch.ones(3, dtype=torch.bool), *states(engine))
    for command in commands(engine, 3):
        engine.step(command)
    qpos, qvel, sensordata = engine.read()
    model = engine.robot.model
    for world in range(3):
        data = mujoco.MjData(model)
        data.qpos[:], data.qvel[:], data.ctrl[:] = qpos[world], qvel[world], command[world]
        mujoco.mj_forward(model, data)
        touches = [int(address) for address in engine.robot.touches]  # of a whole body, not of a site's surroundings
        others = np.setdiff1d(np.arange(model.nsensordata), touches)
        np.testing.assert_allclose(sensordata[world, others], data.sensordata[others], atol=2e-3, rtol=1e-3)
        assert ((sensordata[world, touches].numpy() > 0) >= (data.sensordata[touches] > 0)).all()


def test_a_free_body_moves_as_its_velocity_says():
    """In MuJoCo's terms throughout: the frame's own point, and the body's own axes."""
    engine = make("quadruped")
    qpos, qvel = states(engine)
    qpos[:, 2] += 5.0
    engine.reset(torch.ones(3, dtype=torch.bool), qpos, qvel)
    start = engine.read()[0]
    engine.step(torch.zeros(3, 12))
    came, seconds = engine.read(), 1.0 / engine.robot.contract.control_rate
    # The stand-in moves the root's frame with the velocity of its centre: what a turn adds is small, and bounded here.
    torch.testing.assert_close(came[0][:, :2] - start[:, :2], qvel[:, :2] * seconds, atol=3e-3, rtol=0)
    torch.testing.assert_close(came[1][:, 3:6], qvel[:, 3:6], atol=1e-4, rtol=0)
    torch.testing.assert_close(came[1][:, 2], qvel[:, 2] - 9.81 * seconds, atol=1e-3, rtol=0)


def test_two_runs_are_alike_and_a_snapshot_continues():
    runs = []
    for _ in range(2):
        engine = make("quadruped")
        engine.reset(torch.ones(3, dtype=torch.bool), *states(engine))
        for command in commands(engine, 3):
            engine.step(command)
        saved = engine.snapshot()
        engine.step(command)
        runs.append(torch.cat(engine.read(), 1))
    assert torch.equal(*runs)
    engine.restore(saved)
    engine.step(command)
    assert torch.equal(torch.cat(engine.read(), 1), runs[0])


def test_only_the_last_of_two_resets_counts_before_a_step():
    engine = make(TINY.robot.name)
    everywhere = torch.ones(3, dtype=torch.bool)
    engine.reset(everywhere, torch.full((3, 1), 7.0), torch.zeros(3, 1))
    engine.reset(torch.tensor([True, False, False]), torch.full((3, 1), 1.0), torch.zeros(3, 1))
    engine.step(torch.zeros(3, 1))
    torch.testing.assert_close(engine.read()[0], torch.tensor([[1.0], [7.0], [7.0]]))


def test_mass_and_strength_are_each_worlds_own():
    """A servo's push on a unit mass, in one physics step of nothing but it."""
    light, heavy, strong = Physics(), Physics(mass=4.0), Physics(actuator_strength=2.0)
    engine = make(TINY.robot.name, light, heavy, strong)
    engine.reset(torch.ones(3, dtype=torch.bool), torch.zeros(3, 1), torch.zeros(3, 1))
    engine.step(torch.ones(3, 1))
    speed = engine.read()[1][:, 0]
    assert speed[1] < 0.3 * speed[0]
    torch.testing.assert_close(speed[2], 2 * speed[0])


def test_friction_masses_and_servos_reach_isaac():
    physics = Physics(friction=0.75, mass=1.5, actuator_strength=0.5)
    engine = make("quadruped", Physics(), physics)
    plain, varied = engine._world.sim.own_envs
    foot = plain.own_asset.own_bodies.index("FL_foot")
    ground = engine.robot.model.geom("ground").friction[0]
    for env, factor in ((plain, 1.0), (varied, 0.75)):  # the average of both is what MuJoCo's larger one is
        wanted = factor * max(ground, engine.robot.model.geom("FL_foot").friction[0])
        assert (env.own_shapes[foot].friction + ground) / 2 == pytest.approx(wanted)
    assert varied.own_masses[foot].mass == pytest.approx(1.5 * 0.04)
    assert varied.own_masses[foot].inertia.z.z == pytest.approx(1.5)
    calf, limits = plain.own_asset.own_dofs.index("FL_calf_joint"), (35.55, 0.5 * 35.55)
    for env, stiffness, limit in zip((plain, varied), (40.0, 20.0), limits, strict=True):
        came = env.own_dofs[calf]
        assert (came["stiffness"], came["effort"], came["driveMode"]) == pytest.approx((stiffness, limit, 1))
        assert came["damping"] == pytest.approx(stiffness / 40.0 + 0.01) and came["armature"] == pytest.approx(0.01)


def test_a_broken_world_breaks_no_other():
    results = []
    for broken in (False, True):
        engine = make("quadruped")
        qpos, qvel = states(engine)
        if broken:
            qvel[1] = float("nan")
        engine.reset(torch.ones(3, dtype=torch.bool), qpos, qvel)
        for command in commands(engine, 3):
            engine.step(command)
        results.append(torch.cat(engine.read(), 1))
    assert not torch.isfinite(results[1][1]).all()
    assert torch.equal(results[0][[0, 2]], results[1][[0, 2]])
    engine.reset(torch.tensor([False, True, False]), *states(engine))
    engine.step(command)
    assert torch.isfinite(torch.cat(engine.read(), 1)).all()


def test_a_simulation_that_nobody_holds_is_freed():
    engine = make(TINY.robot.name)
    sim = engine._world.sim
    assert sim.own_ready
    del engine
    assert not sim.own_ready


def test_differing_gravity_is_refused():
    with pytest.raises(SuiteError, match=r"one gravity for all worlds.* -9\.81, -3\.924 m/s2; use mujoco"):
        make("quadruped", Physics(), Physics(gravity=0.4))


def test_little_friction_is_refused():
    with pytest.raises(SuiteError, match=r"expected a friction of .* or more at '.*', got"):
        make("quadruped", Physics(friction=0.1))


def test_a_second_body_in_the_world_is_refused():
    arm = SUITES["arm"]
    robot = compile_robot(arm.robot)
    with pytest.raises(SuiteError, match=r"expected one body in the world, got .*, target"):
        isaacgym_api.load(robot, [robot.model], arm.robot.mjcf)


def test_an_unknown_sensor_is_named(make_robot):
    robot = make_robot(("<touch ", "<accelerometer "))
    compiled = compile_robot(robot)
    with pytest.raises(SuiteError, match="sensor 'touch': Isaac Gym cannot give accelerometer"):
        isaacgym_api.load(compiled, [compiled.model], robot.mjcf)


def test_the_standin_refuses_what_the_stubs_do_not_have(isaacgym):
    gym, sim = isaacgym.acquire_gym(), isaacgym_standin.Sim(isaacgym.SimParams())
    for call in (
        lambda: gym.simulat(sim),
        lambda: gym.simulate(sim, 1),
        lambda: gym.simulate(),
        lambda: gym.simulate(3),
        lambda: gym.create_actor(env=1),
        lambda: setattr(isaacgym.AssetOptions(), "fix_base", True),
    ):
        with pytest.raises(AssertionError):
            call()


def test_our_use_of_isaac_gym_is_typed(tmp_path):
    """mypy in strict mode, with the stubs repaired where no parser takes them."""
    stubs = tmp_path / "isaacgym"
    stubs.mkdir()
    (stubs / "__init__.pyi").write_text("")
    (stubs / "gymapi.pyi").write_text(isaacgym_stubs.source())
    (stubs / "gymtorch.pyi").write_text(
        "import torch\nfrom isaacgym.gymapi import Tensor\n"
        "def wrap_tensor(gym_tensor: Tensor) -> torch.Tensor: ...\n"
        "def unwrap_tensor(torch_tensor: torch.Tensor) -> Tensor: ...\n"
    )
    root = Path(__file__).parents[2]
    # What is not Isaac Gym's is checked with everything else; to read torch again would take most of a minute.
    (tmp_path / "mypy.ini").write_text(
        "[mypy]\nstrict = true\nwarn_return_any = false\n[mypy-torch.*,numpy.*,mujoco.*]\n"
        "follow_imports = skip\nfollow_imports_for_stubs = true\nignore_missing_imports = true\n"
        "[mypy-isaacgym.*]\nignore_errors = true\n"
    )
    ended = subprocess.run(
        [
            sys.executable, "-m", "mypy", "--config-file", tmp_path / "mypy.ini", "--follow-imports", "silent",
            "--cache-dir", tmp_path / "cache",
            "-m", "pgx_core.simulation.isaacgym_engine", "-m", "pgx_core.simulation.isaacgym_world",
        ],
        cwd=root, env={**os.environ, "MYPYPATH": str(tmp_path)}, capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    ours = [line for line in ended.stdout.splitlines() if "pgx_core" in line]
    assert not ours and "no issues found" in ended.stdout, ended.stdout[-2000:]


def test_the_check_for_real_machines_tells_good_from_bad(monkeypatch, capsys):
    from pgx_core.simulation import isaacgym_check

    assert isaacgym_check.compare(TINY, "cpu", worlds=2, steps=3).max() < 2e-3  # the stand-in's unit mass is this cart
    for size, status in ((0.001, 0), (0.5, 1)):
        monkeypatch.setattr(isaacgym_check, "compare", lambda suite, device, size=size: np.full((2, 2), size))
        assert isaacgym_check.main("tiny") == status
        assert ("NOT" in capsys.readouterr().out) == bool(status)
    assert isaacgym_check.main("cartpole") == 1
    assert "expected a robot's suite, got 'cartpole'" in capsys.readouterr().err
