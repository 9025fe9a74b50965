"""The arm's targets lie within its reach, move as their objectives say, and its terms are what they claim."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest
import torch

from pgx_core.objectives.arm import ARM, REACH, SUITE, reach, reached, rush, trespass
from pgx_core.objectives.state import State
from pgx_core.simulation.robot_model import compile_robot
from pgx_core.simulation.simulation import Simulation, SimulationConfig


def simulate(name, worlds=12):
    index = SUITE.names.index(name)
    simulation = Simulation(SUITE, np.full(worlds, index), 0, SimulationConfig(threads=1), stagger=False)
    simulation.reset()
    return simulation


def sensor(simulation, name):
    return simulation._engine.read()[2][:, simulation.robot.sensors[name]].numpy()


def solve(robot, target, steps=150):
    """Distance from the target to where damped least squares bring the tool, within what actions can command."""
    model, data = robot.model, mujoco.MjData(robot.model)
    home = robot.home_qpos.copy()
    data.qpos[:] = home
    jacobian, site = np.zeros((3, model.nv)), model.site("tool").id
    for _ in range(steps):
        mujoco.mj_fwdPosition(model, data)
        error = target - data.site_xpos[site]
        mujoco.mj_jacSite(model, data, jacobian, None, site)
        j = jacobian[:, :6]
        move = j.T @ np.linalg.solve(j @ j.T + 1e-3 * np.eye(3), error)
        data.qpos[:6] = np.clip(data.qpos[:6] + 0.5 * move, home[:6] - ARM.action_scale, home[:6] + ARM.action_scale)
    return np.linalg.norm(error)


@pytest.mark.parametrize("name", SUITE.names)
def test_every_target_can_be_reached(name):
    simulation = simulate(name)
    targets = sensor(simulation, "target")
    assert np.ptp(targets, axis=0).max() > 0.1
    assert max(solve(simulation.robot, target) for target in targets) < 0.005


def test_the_four_regions_are_apart():
    centres = [sensor(simulate(f"reach_{side}"), "target").mean(0) for side in ("left", "right", "high", "low")]
    assert min(np.linalg.norm(a - b) for i, a in enumerate(centres) for b in centres[:i]) > 0.3


@pytest.mark.parametrize(("name", "turning"), [("circle", 1.5), ("reach_left", 0.0)])
def test_a_target_circles_where_it_should_and_rests_elsewhere(name, turning):
    simulation = simulate(name, worlds=3)
    path = [sensor(simulation, "target")]
    for _ in range(100):
        simulation.step(torch.zeros(3, 6))
        path.append(sensor(simulation, "target"))
    speed = np.linalg.norm(np.diff(path[1:], axis=0), axis=2) * ARM.control_rate  # after a reset sensors are up to date
    np.testing.assert_allclose(speed, 0.1 * turning, atol=0.01)
    assert np.ptp(np.array(path)[..., 2], axis=0).max() < 1e-3


def state(tool, target=(0.0, 0.0, 0.0), velocity=(0.0, 0.0, 0.0)):
    data = torch.tensor([[*tool, *target, *velocity]])
    slices = {"tool": slice(0, 3), "target": slice(3, 6), "tool_velocity": slice(6, 9)}
    zeros = torch.zeros(1, 6)
    return State(torch.zeros(1), zeros, zeros, zeros, zeros, data, slices)


def test_terms_at_known_points():
    for distance, score in ((0.0, 1.0), (REACH, 0.0), (2 * REACH, -1.0), (9.0, -1.0)):
        assert reached(state((distance, 0.0, 0.0)), {}).item() == pytest.approx(score)
    assert reach(state((0.0, 0.0, 0.0)), {}).item() == 1.0
    assert reach(state((0.03, 0.0, 0.0)), {}).item() == pytest.approx(0.5 * (np.exp(-0.005625) + np.exp(-1)))
    zone = SUITE.objectives[SUITE.names.index("keep_out")].command
    centre = tuple(zone[f"zone_{axis}"] for axis in "xyz")
    assert trespass(state(centre), zone).item() == pytest.approx(-1.0)
    assert trespass(state((centre[0] + 0.06, *centre[1:])), zone).item() == pytest.approx(-0.5, abs=1e-3)
    assert trespass(state((0.0, 0.5, 0.5)), zone).item() == 0.0
    for speed, expected in ((0.1, 0.0), (0.15, 0.0), (0.225, -0.5), (0.9, -1.0)):
        assert rush(state((0.0,) * 3, velocity=(0.0, speed, 0.0)), {"speed": 0.15}).item() == pytest.approx(
            expected, abs=1e-5
        )


def test_the_straight_way_out_leads_through_the_zone():
    zone = SUITE.objectives[SUITE.names.index("keep_out")].command
    centre = np.array([zone[f"zone_{axis}"] for axis in "xyz"])
    robot = compile_robot(ARM)
    data = mujoco.MjData(robot.model)
    data.qpos[:] = robot.home_qpos
    mujoco.mj_forward(robot.model, data)
    start = data.site("tool").xpos.copy()
    crossed = 0
    for target in sensor(simulate("keep_out", worlds=40), "target"):
        line = start + np.linspace(0, 1, 50)[:, None] * (target - start)
        distances = np.linalg.norm(line - centre, axis=1)
        crossed += distances.min() < zone["radius"]
        assert np.linalg.norm(target - centre) > zone["radius"]
    assert crossed > 20 and np.linalg.norm(start - centre) > zone["radius"] - 0.02
