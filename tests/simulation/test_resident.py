"""Worlds on a device: a step only queues work there. Nothing is read back, and faults wait for `check`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from pgx_core.errors import ConfigError, RunError, SuiteError
from pgx_core.objectives.objective import Randomization, Reward
from pgx_core.objectives.suites import SIGNS, SUITES, TINY
from pgx_core.simulation import simulation as module
from pgx_core.simulation.engine import FakeEngine
from pgx_core.simulation.simulation import Simulation, SimulationConfig

SHAKEN = Randomization(delay=(0, 2), noise={"joint_positions": 0.1}, push=0.5, push_interval=0.1)


@pytest.fixture
def simulate(monkeypatch):
    """Worlds that believe they are on a device; the fake engine follows the same rules as a real one."""
    monkeypatch.setattr(module, "make_engine", lambda suite, robot, objectives, *_: FakeEngine(robot, len(objectives)))

    def simulate(suite, worlds=24):
        return Simulation(suite, np.arange(worlds) % len(suite.objectives), 0, SimulationConfig("warp"))

    return simulate


def actions(simulation):
    return 2 * torch.rand(simulation.n_worlds, simulation.robot.contract.action_size) - 1


@pytest.mark.parametrize("suite", [*SUITES.values(), replace(SIGNS, randomization=SHAKEN)], ids=[*SUITES, "shaken"])
def test_no_step_of_an_embedded_suite_waits_for_the_device(simulate, suite, no_waiting):
    simulation = simulate(replace(suite, episode_seconds=5 / suite.robot.control_rate))
    simulation.reset()
    simulation.step(actions(simulation))  # brings the constants of the terms
    ended = 0
    for _ in range(8):
        given = actions(simulation)
        with no_waiting():
            step = simulation.step(given)
        ended += int((step.terminated | step.truncated).sum())
    assert ended >= simulation.n_worlds
    simulation.check()


def test_the_guard_itself_refuses_what_waits(no_waiting):
    tensor = torch.ones(3)
    for wait in (
        lambda: bool(tensor.any()),
        lambda: tensor[tensor > 0],
        lambda: tensor[[0, 2]],
        lambda: tensor.__setitem__([0, 2], tensor[1:]),
        lambda: tensor.nonzero(),
        lambda: tensor.to("meta"),
        lambda: tensor.new_tensor([1.0]),
        lambda: torch.tensor(1.0),
        tensor.tolist,
    ):
        with pytest.raises(AssertionError, match="waits for the device"), no_waiting():
            wait()


def test_worlds_that_end_start_anew_and_the_others_go_on(simulate):
    simulation = simulate(replace(SIGNS, episode_seconds=1.0))
    simulation.reset()
    before = simulation.state_dict()["elapsed"]
    for _ in range(10):
        before = simulation.state_dict()["elapsed"]
        step = simulation.step(actions(simulation))
        ended = step.terminated | step.truncated
        expected = torch.where(ended, 0, before + 1)
        assert torch.equal(simulation.state_dict()["elapsed"], expected)
        assert torch.equal(step.observations[~ended], step.final_observations[~ended])


def test_a_saved_simulation_continues_bit_for_bit(simulate):
    simulation = simulate(replace(SIGNS, randomization=SHAKEN, episode_seconds=0.2))
    simulation.reset()
    saved, given = simulation.state_dict(), [actions(simulation) for _ in range(6)]
    results = []
    for _ in range(2):
        simulation.load_state_dict(saved)
        results.append(torch.stack([simulation.step(action).observations for action in given]))
    assert torch.equal(*results)


def broken_after_a_while(state, command):
    return torch.where(state.qvel[:, 0] > 0.25, torch.nan, 1.0)


def test_a_term_that_was_not_finite_is_named_at_the_check_from_what_it_saw_then(simulate):
    mine = tuple(replace(o, rewards=(Reward(broken_after_a_while),)) for o in TINY.objectives)
    simulation = simulate(replace(TINY, objectives=mine))
    simulation.reset()
    simulation.check()
    for push in (1.0,) * 40 + (-1.0,) * 80:  # at the end, the term is finite again
        simulation.step(torch.full((simulation.n_worlds, 1), push))
    with pytest.raises(SuiteError, match="term 'broken_after_a_while' returned nan"):
        simulation.check()
    simulation.check()  # told once


def test_an_action_that_was_nan_is_told_at_the_check_once(simulate):
    simulation = simulate(TINY)
    simulation.reset()
    for action in (torch.nan, 0.0):
        simulation.step(torch.full((simulation.n_worlds, 1), action))
    with pytest.raises(RunError, match="got NaN"):
        simulation.check()
    simulation.check()


class FullEngine(FakeEngine):
    advice = "contacts were lost"

    def overflow(self):
        return torch.tensor(True)


def test_lost_contacts_are_told_at_the_check(monkeypatch):
    monkeypatch.setattr(module, "make_engine", lambda suite, robot, *_: FullEngine(robot, 4))
    simulation = Simulation(TINY, np.zeros(4, np.int64), 0, SimulationConfig("warp"))
    simulation.reset()
    with pytest.raises(RunError, match="contacts were lost"):
        simulation.check()


@pytest.mark.parametrize("backend", ["mujoco", "fake"])
def test_a_backend_of_the_cpu_refuses_a_gpu(backend):
    with pytest.raises(ConfigError, match=f"cpu with the {backend} backend; warp and isaacgym run on a GPU, got cuda"):
        SimulationConfig(backend, device="cuda")
    with pytest.raises(ConfigError, match="expected cpu, cuda or cuda:N, got gpu"):
        SimulationConfig(backend, device="gpu")


def test_chance_comes_from_where_the_worlds_are():
    """numpy's stream cannot reach tensors of a GPU, whichever engine keeps them there."""
    assert SimulationConfig("warp").resident and SimulationConfig("isaacgym", device="cuda").resident
    assert not SimulationConfig("isaacgym").resident and not SimulationConfig("mujoco").resident
