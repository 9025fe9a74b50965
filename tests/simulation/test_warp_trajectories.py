"""MuJoCo Warp against MuJoCo C, over 200 physics steps of every embedded robot.

Contact is chaotic: single and double precision part ways within a few steps, both rightly. So Warp starts every
control step from the state that C reached, and what is compared is the error of that one control step.
"""

from __future__ import annotations

import mujoco
import numpy as np
import pytest
import torch

from pgx_core.objectives.suites import SUITES
from pgx_core.simulation.engines import make_engine
from pgx_core.simulation.robot_model import compile_robot
from pgx_core.simulation.simulation import SimulationConfig

from . import warp_for_tests  # noqa: F401

W = 2
STEPS = 200  # of physics
ROUNDING = 1e-6  # m
UNEVEN = ("hopper", "walker")  # their long flat feet touch and leave end by end


def touches_by_rounding(robot, qpos, qvel, command):
    """Whether C, within this control step, finds a contact nearer to its beginning than single precision can tell.

    Such a foot touches the ground a physics step earlier in one of the two, and both are right (5e-8 m, seen).
    """
    model = robot.model.__copy__()
    model.geom_margin[:] = model.geom_gap[:] = ROUNDING  # seen by the collision, and felt by nobody
    data = mujoco.MjData(model)
    for world in range(W):
        data.qpos[:], data.qvel[:], data.ctrl[:] = qpos[world], qvel[world], command[world]
        for _ in range(robot.substeps):
            mujoco.mj_step(model, data)
            if any(abs(contact.dist) < ROUNDING for contact in data.contact):
                return True
    return False


@pytest.mark.parametrize("name", ["signs", "quadruped", "arm", "hopper", "walker", "reacher", "tiny"])
def test_each_control_step_is_that_of_mujoco(name):
    suite = SUITES[name]
    robot = compile_robot(suite.robot)
    here, there = (make_engine(suite, robot, np.arange(W), SimulationConfig(b, threads=1)) for b in ("warp", "mujoco"))
    everywhere, rng = torch.ones(W, dtype=torch.bool), np.random.default_rng(0)
    home = torch.from_numpy(np.tile(robot.home_qpos, (W, 1)))
    there.reset(everywhere, home, torch.from_numpy(0.3 * rng.standard_normal((W, robot.model.nv))))
    rest = np.array([joint.default for joint in robot.contract.joints])
    scale = np.array([joint.scale for joint in robot.contract.joints])
    errors, ties = [], 0
    for _ in range(STEPS // robot.substeps):
        qpos, qvel, _ = there.read()
        here.reset(everywhere, qpos, qvel)
        command = torch.from_numpy(rest + 0.3 * scale * rng.uniform(-1, 1, (W, len(rest)))).float()
        tied = name in UNEVEN and touches_by_rounding(robot, qpos.numpy(), qvel.numpy(), command.numpy())
        for engine in (here, there):
            engine.step(command)
        if tied:
            ties += 1
            continue
        pairs = list(zip(here.read()[:2], there.read()[:2], strict=True))
        errors.append([(one - other).abs().max().item() for one, other in pairs])
    assert ties <= 2
    position, velocity = np.array(errors).T
    # Ten times what was measured: Warp's single precision. A mass, gain or contact that differs shows far above it.
    assert position.max() < 1e-5 and velocity.max() < 1e-3, (position.max(), velocity.max())
