"""The engine below the simulation: what it reads is the caller's, and a reset touches the named worlds alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pgx_core.objectives.suites import SIGNS
from pgx_core.simulation.engine import Engine
from pgx_core.simulation.engines import make_engine
from pgx_core.simulation.robot_model import compile_robot

N = 6


@pytest.fixture
def engine(config):
    robot = compile_robot(SIGNS.robot)
    engine = make_engine(SIGNS, robot, np.arange(N), config)
    engine.reset(only(*range(N)), torch.from_numpy(np.tile(robot.home_qpos, (N, 1))), torch.zeros(N, robot.model.nv))
    return engine


def only(*worlds):
    return torch.isin(torch.arange(N), torch.tensor(worlds))


def command(seed):
    return torch.rand(N, 6, generator=torch.Generator().manual_seed(seed)) - 0.5


def test_it_is_an_engine_and_reads_single_precision(engine):
    assert isinstance(engine, Engine)
    model = engine.robot.model
    for tensor, size in zip(engine.read(), (model.nq, model.nv, model.nsensordata), strict=True):
        assert tensor.shape == (N, size) and tensor.dtype == torch.float32


def test_readings_and_snapshots_do_not_change_later(engine):
    engine.step(command(0))
    given = (*engine.read(), *engine.snapshot().values())
    kept = [tensor.clone() for tensor in given]
    engine.step(command(1))
    engine.reset(only(2), torch.ones(N, 9), torch.ones(N, 9))
    assert all(torch.equal(one, other) for one, other in zip(given, kept, strict=True))
    assert not torch.equal(engine.read()[0], kept[0])


def test_overwriting_a_reading_or_a_restored_snapshot_does_not_reach_the_worlds(engine):
    snapshot = engine.snapshot()
    engine.restore(snapshot)
    before = [tensor.clone() for tensor in engine.read()]
    for tensor in (*engine.read(), *snapshot.values()):
        tensor.fill_(torch.nan)
    assert all(torch.equal(one, other) for one, other in zip(engine.read(), before, strict=True))


def test_a_reset_puts_the_named_worlds_into_the_given_states_and_leaves_the_others(engine):
    engine.step(command(0))
    before = engine.read()
    worlds, others = np.array([1, 4]), np.array([0, 2, 3, 5])
    qpos, qvel = 0.6 * torch.rand(N, 9, dtype=torch.float64) - 0.3, torch.randn(N, 9, dtype=torch.float64)
    qpos[others], qvel[others] = torch.nan, torch.inf  # whatever stands there is ignored
    engine.reset(only(*worlds), qpos, qvel)
    after = engine.read()
    for one, other in zip(before, after, strict=True):
        assert torch.equal(one[others], other[others])
    torch.testing.assert_close(after[0][worlds], qpos[worlds].float())
    torch.testing.assert_close(after[1][worlds], qvel[worlds].float())


def test_a_snapshot_continues_bit_for_bit(engine):
    for seed in range(3):
        engine.step(command(seed))
    snapshot = engine.snapshot()
    results = []
    for _ in range(2):
        engine.restore(snapshot)
        for seed in range(3, 6):
            engine.step(command(seed))
        results.append(engine.read())
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))
