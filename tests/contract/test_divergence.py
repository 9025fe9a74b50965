"""Broken physics stays in its world: that world alone starts anew, is counted, and leaves no NaN behind."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch

from pgx_core.errors import RunError
from pgx_core.objectives.objective import Reward
from pgx_core.objectives.suites import SIGNS, TINY
from pgx_core.simulation.simulation import DIVERGED_SPEED
from pgx_core.simulation.step import Step

BROKEN = 3  # a world


@pytest.fixture(autouse=True)
def _away_from_the_checkout(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # MuJoCo logs its warnings into a file there


def inject(simulation, value, world=BROKEN):
    """Overwrite one world's whole physical state."""
    state = simulation.state_dict()
    for tensor in state["engine"].values():
        tensor[world] = value
    simulation.load_state_dict(state)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, 1e12])
@pytest.mark.parametrize("suite", [TINY, SIGNS], ids=["tiny", "signs"])
def test_only_the_broken_world_is_reset_and_counted(simulate, random_actions, suite, value):
    broken, sound = simulate(suite, stagger=False), simulate(suite, stagger=False)
    actions = random_actions(broken, 12)
    for simulation in (broken, sound):
        simulation.reset()
        for action in actions[:5]:
            simulation.step(action)
    inject(broken, value)
    others = torch.arange(broken.n_worlds) != BROKEN
    for k, action in enumerate(actions[5:]):
        step, expected = broken.step(action), sound.step(action)
        for f in fields(Step):
            assert torch.equal(getattr(step, f.name)[others], getattr(expected, f.name)[others])
            assert torch.isfinite(getattr(step, f.name)).all()
        assert step.diverged[BROKEN] == step.terminated[BROKEN] == (k == 0)
        if k == 0:
            assert step.rewards[BROKEN] == step.scores[BROKEN] == 0.0
            assert not step.truncated.any()
            assert not torch.equal(step.observations[BROKEN], step.final_observations[BROKEN])
    assert (broken.diverged_count, sound.diverged_count) == (1, 0)
    assert broken.state_dict()["elapsed"][BROKEN] == len(actions) - 6


def test_the_count_is_saved(simulate, random_actions):
    simulation, other = simulate(TINY), simulate(TINY)
    for one in (simulation, other):
        one.reset()
    inject(simulation, torch.nan)
    simulation.step(random_actions(simulation, 1)[0])
    other.load_state_dict(simulation.state_dict())
    assert other.diverged_count == 1


def test_a_fast_world_is_sound_and_an_impossible_one_is_not(simulate):
    for speed, diverged in ((0.5 * DIVERGED_SPEED, False), (2.0 * DIVERGED_SPEED, True)):
        simulation = simulate(TINY, worlds=1)
        simulation.reset()
        simulation._engine.reset(torch.arange(4) == BROKEN, torch.zeros(4, 1), torch.full((4, 1), speed))
        assert simulation.step(torch.zeros(4, 1)).diverged[BROKEN] == diverged


def inverse_speed(state, command):
    return state.qvel[:, 0] / state.qvel[:, 0]


def test_a_term_may_fail_in_a_broken_world(simulate):
    objectives = tuple(replace(o, rewards=(Reward(inverse_speed),)) for o in TINY.objectives)
    simulation = simulate(replace(TINY, objectives=objectives))
    simulation.reset()
    inject(simulation, torch.nan)
    step = simulation.step(torch.ones(simulation.n_worlds, 1))
    assert step.diverged[BROKEN] and step.rewards[BROKEN] == 0.0
    assert torch.isfinite(step.rewards).all()


def test_an_action_that_is_nan_stops_the_run(simulate):
    simulation = simulate(TINY)
    simulation.reset()
    actions = torch.zeros(simulation.n_worlds, 1)
    actions[2] = torch.nan
    with pytest.raises(RunError, match="got NaN: the policy diverged"):
        simulation.step(actions)
        simulation.check()  # where worlds run on a device, a step does not wait to look
    actions[2] = torch.inf
    assert torch.isfinite(simulation.step(actions).observations).all()
    simulation.check()
