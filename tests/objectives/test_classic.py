"""Hopper, walker and reacher: what their terms say, and that the robots can do what is asked."""

from __future__ import annotations

import math

import mujoco
import numpy as np
import pytest
import torch

from pgx_core.objectives.classic import GOALS, HOPPER, REACHER, RING, RINGS, WALKER, advance, advanced, fallen, reach
from pgx_core.objectives.state import State
from pgx_core.simulation.robot_model import compile_robot


def state(sensors: dict[str, list[float]], height: float = 0.0) -> State:
    """One world with these sensor readings."""
    qpos = torch.tensor([[0.0, height, 0.0]])
    places, readings = {}, list[float]()
    for name, values in sensors.items():
        places[name] = slice(len(readings), len(readings) + len(values))
        readings += values
    return State(torch.zeros(1), qpos, qpos, qpos, qpos, torch.tensor([readings]), places)


@pytest.mark.parametrize(
    ("velocity", "reward", "score"), [(1.0, 1.0, 1.0), (0.0, math.exp(-1), 0.0), (2.0, math.exp(-1), 0.0),
                                      (-1.0, math.exp(-4), -1.0), (-9.0, 0.0, -1.0)]
)  # fmt: skip
def test_velocity_is_rewarded_at_known_points(velocity, reward, score):
    moving, command = state({"com_velocity": [velocity, 0.0, 0.0]}), {"velocity": 1.0}
    assert advance(moving, command).item() == pytest.approx(reward, abs=1e-6)
    assert advanced(moving, command).item() == pytest.approx(score)


@pytest.mark.parametrize(
    ("pitch", "height", "expected"), [(0.0, 0.0, False), (1.0, 0.0, False), (-1.1, 0.0, True), (0.0, -0.31, True)]
)
def test_who_leans_or_sinks_has_fallen(pitch, height, expected):
    leaning = {"orientation": [math.cos(pitch / 2), 0.0, math.sin(pitch / 2), 0.0]}
    assert fallen(state(leaning, height), {}).item() is expected


@pytest.mark.parametrize("away", [0.0, 0.05, 0.3])
def test_reaching_is_rewarded_from_afar_and_up_close(away):
    at = state({"tool": [RING + away, 0.0, 0.03]})
    expected = 0.5 * (math.exp(-((away / 0.3) ** 2)) + math.exp(-((away / 0.05) ** 2)))
    assert reach(at, {"x": RING, "y": 0.0}).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("robot", [HOPPER, WALKER], ids=lambda robot: robot.name)
def test_the_legged_ones_stand_at_rest_in_their_home_pose(robot):
    model = compile_robot(robot).model
    data = mujoco.MjData(model)
    mujoco.mj_step(model, data, nstep=300)
    assert np.abs(data.qpos[1:3]).max() < 0.25 and data.ncon >= 2  # 3 s later: neither fallen nor afloat


def test_every_goal_is_on_the_ring_and_within_the_joints_reach():
    robot = compile_robot(REACHER)
    data = mujoco.MjData(robot.model)
    lower, upper = (np.array([getattr(joint, end) for joint in robot.contract.joints]) for end in ("lower", "upper"))
    elbow = 2.0 * math.acos(RING / 0.24)  # of two equal links
    assert len({(round(o.command["x"], 6), round(o.command["y"], 6)) for o in RINGS.objectives}) == GOALS
    for objective in RINGS.objectives:
        x, y = objective.command["x"], objective.command["y"]
        poses = [np.array([math.remainder(math.atan2(y, x) - s * elbow / 2, math.tau), s * elbow]) for s in (1, -1)]
        assert any(((lower <= pose) & (pose <= upper)).all() for pose in poses)
        for pose in poses:
            data.qpos[:] = pose
            mujoco.mj_forward(robot.model, data)
            np.testing.assert_allclose(data.sensor("tool").data[:2], (x, y), atol=1e-6)
