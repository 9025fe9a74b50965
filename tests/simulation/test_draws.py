"""Chance, from the host and from a device: the same distributions, and starts that lie where they should."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pgx_core.objectives.arm import SUITE as ARM
from pgx_core.simulation.draws import DeviceDraws, Draws, HostDraws
from pgx_core.simulation.robot_model import compile_robot
from pgx_core.simulation.starts import Starts

CPU = torch.device("cpu")
N = 4000


@pytest.fixture(params=["host", "device"])
def draws(request) -> Draws:
    return HostDraws(0) if request.param == "host" else DeviceDraws(0, CPU)


def test_numbers_fill_their_ranges_and_no_more(draws):
    everywhere = torch.ones(N, dtype=torch.bool)
    low, high = torch.full((N, 2), -1.0, dtype=draws.dtype), torch.tensor([[3.0, -0.5]], dtype=draws.dtype).repeat(N, 1)
    uniform = draws.uniform(everywhere, low, high)
    assert uniform.dtype == draws.dtype and ((uniform >= low) & (uniform <= high)).all()
    torch.testing.assert_close(uniform.mean(0).double(), torch.tensor([1.0, -0.75]).double(), atol=0.1, rtol=0)
    torch.testing.assert_close(uniform.amax(0), high[0], atol=0.02, rtol=0)
    normal = draws.normal(everywhere, 3)
    assert normal.mean().item() == pytest.approx(0.0, abs=0.05) and normal.std().item() == pytest.approx(1.0, abs=0.05)
    assert draws.integers(everywhere, 2, 5).unique().tolist() == [2, 3, 4]


def test_a_stream_continues_from_where_it_stood(draws):
    everywhere = torch.ones(5, dtype=torch.bool)
    draws.normal(everywhere, 1)
    state = draws.state()
    first, second = draws.normal(everywhere, 2), draws.normal(everywhere, 2)
    draws.restore(state)
    assert torch.equal(draws.normal(everywhere, 2), first) and not torch.equal(first, second)


def test_the_host_draws_for_the_rows_in_the_mask_alone():
    """Published results rest on that stream."""
    some, rng = torch.tensor([False, True, False, True]), np.random.default_rng(7)
    draws, low = HostDraws(7), torch.zeros(4, 2, dtype=torch.float64)
    np.testing.assert_array_equal(draws.uniform(some, low, low + 3.0)[some], rng.uniform(0.0, 3.0, (2, 2)))
    np.testing.assert_array_equal(draws.normal(some, 3)[some], rng.standard_normal((2, 3)))
    np.testing.assert_array_equal(draws.integers(some, 0, 9)[some], rng.integers(0, 9, 2))


def test_every_world_starts_as_its_objective_says(draws):
    names, robot = ("reach_left", "hold_pushed"), compile_robot(ARM.robot)
    objectives = np.tile([ARM.names.index(name) for name in names], 200)
    qpos, qvel = Starts(robot, ARM, objectives, draws, CPU).draw(torch.ones(400, dtype=torch.bool))
    model, joints = robot.model, robot.joint_qpos
    home = torch.from_numpy(robot.home_qpos)[joints]
    for turn, name in enumerate(names):
        reset = ARM.objectives[ARM.names.index(name)].reset
        mine, speeds = qpos[turn::2], qvel[turn::2]
        stray = (mine[:, joints] - home).abs().max().item()
        assert 0.9 * reset.position_noise < stray <= reset.position_noise + 1e-6
        assert speeds[:, robot.joint_qvel].std().item() == pytest.approx(reset.velocity_noise, rel=0.1)
        for joint, (least, most) in reset.positions.items():
            column = mine[:, model.joint(joint).qposadr[0]]
            assert ((column >= least - 1e-6) & (column <= most + 1e-6)).all() and column.std() > 0.2 * (most - least)
        for joint, (least, most) in reset.velocities.items():
            column = speeds[:, model.joint(joint).dofadr[0]]
            assert ((column >= least) & (column <= most)).all()
