"""MuJoCo Warp: each world has its own physics, lost contacts are told, and on a GPU nothing waits."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pgx_core.errors import ConfigError, RunError
from pgx_core.objectives.objective import Physics
from pgx_core.objectives.suites import SIGNS, SUITES
from pgx_core.simulation.engines import make_engine
from pgx_core.simulation.mujoco_engine import MujocoEngine
from pgx_core.simulation.robot_model import compile_robot, vary_physics
from pgx_core.simulation.simulation import Simulation, SimulationConfig

from . import warp_for_tests  # noqa: F401 (before Warp is asked for)

# isort: split
from pgx_core.simulation.warp_engine import VARIED, WarpEngine, open_device

CPU = torch.device("cpu")
# Read by MuJoCo's compiler, by the solver's scaling, or not at all: no force depends on them.
UNREAD = {"dof_M0", "actuator_acc0", "actuator_length0", "actuator_lengthrange", "light_pos0", "cam_pos0"}
cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU here")


def test_everything_that_varied_physics_changes_is_batched():
    model = compile_robot(SUITES["quadruped"].robot).model
    varied = vary_physics(model, Physics(0.4, 0.5, 2.0, 3.0))
    names = [name for name in dir(model) if isinstance(getattr(model, name), np.ndarray)]
    changed = {name for name in names if not np.array_equal(getattr(model, name), getattr(varied, name))}
    assert changed - UNREAD <= set(VARIED), changed - UNREAD - set(VARIED)


def test_worlds_with_physics_of_their_own_step_as_mujoco_does():
    robot = compile_robot(SIGNS.robot)
    kinds = (Physics(), Physics(gravity=0.4), Physics(friction=0.3), Physics(mass=2.0), Physics(actuator_strength=0.3))
    models = [vary_physics(robot.model, physics) for physics in kinds]
    engines = WarpEngine(robot, models, CPU), MujocoEngine(robot, models, threads=1)
    n, model = len(models), robot.model
    command = torch.full((n, 6), 0.4)
    for engine in engines:
        home = torch.from_numpy(robot.home_qpos).repeat(n, 1)
        engine.reset(torch.ones(n, dtype=torch.bool), home, torch.full((n, model.nv), 0.2))
        for _ in range(4):
            engine.step(command)
    (warp, _, _), (plain, _, _) = (engine.read() for engine in engines)
    torch.testing.assert_close(warp, plain, atol=1e-3, rtol=0)
    assert ((plain[1:] - plain[0]).abs().amax(1) > 5e-3).all()  # each kind of physics shows


def test_lost_contacts_are_an_error_that_says_what_to_raise():
    simulation = Simulation(SIGNS, np.arange(6), 0, SimulationConfig("warp", contacts=1))
    simulation.reset()
    for _ in range(30):
        simulation.step(torch.zeros(6, 6))
    with pytest.raises(RunError, match=r"raise simulation\.contacts above 1"):
        simulation.check()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_one_line_says_so():
    with pytest.raises(ConfigError, match="expected a GPU that torch and Warp can use"):
        open_device("cuda")


@pytest.mark.cuda
@cuda
def test_on_a_gpu_a_step_does_not_wait():
    simulation = Simulation(SIGNS, np.arange(64) % 6, 0, SimulationConfig("warp", "cuda"))
    simulation.reset()
    actions = torch.rand(64, 6, device=simulation.device) - 0.5
    simulation.step(actions)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(10):
            simulation.step(actions)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    simulation.check()


@pytest.mark.cuda
@cuda
def test_on_a_gpu_the_graphs_step_as_mujoco_does():
    robot, everywhere = compile_robot(SIGNS.robot), torch.ones(6, dtype=torch.bool)
    results = []
    for config in (SimulationConfig("warp", "cuda"), SimulationConfig("mujoco")):
        engine = make_engine(SIGNS, robot, np.arange(6), config)
        start = (everywhere, torch.from_numpy(robot.home_qpos).repeat(6, 1), torch.zeros(6, robot.model.nv))
        engine.reset(*(tensor.to(engine.device) for tensor in start))
        for _ in range(4):
            engine.step(torch.full((6, 6), 0.2, device=engine.device))
        results.append(engine.read()[0].cpu())
    torch.testing.assert_close(*results, atol=1e-3, rtol=0)
