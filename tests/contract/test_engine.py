"""The engine below the simulation: what it reads is the caller's, and a reset touches the named worlds alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pgx_core.objectives.suites import SIGNS
from pgx_core.simulation.engine import Engine
from pgx_core.simulation.robot_model import compile_robot
from pgx_core.simulation.simulation import make_engine

N = 6


@pytest.fixture
def engine(config):
    robot = compile_robot(SIGNS.robot)
    engine = make_engine(SIGNS, robot, np.arange(N), config)
    engine.reset(np.arange(N), np.tile(robot.home_qpos, (N, 1)), np.zeros((N, robot.model.nv)))
    return engine


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
    engine.reset(np.array([2]), np.ones((1, 9)), np.ones((1, 9)))
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
    worlds, rng = np.array([4, 1]), np.random.default_rng(0)
    qpos, qvel = rng.uniform(-0.3, 0.3, (2, 9)), rng.normal(size=(2, 9))
    engine.reset(worlds, qpos, qvel)
    after = engine.read()
    others = np.array([0, 2, 3, 5])
    for one, other in zip(before, after, strict=True):
        assert torch.equal(one[others], other[others])
    torch.testing.assert_close(after[0][worlds], torch.from_numpy(qpos).float())
    torch.testing.assert_close(after[1][worlds], torch.from_numpy(qvel).float())


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
