"""What the worlds of every embedded environment suite promise, whatever simulates them."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
import torch

from pgx_core.errors import SuiteError
from pgx_core.objectives.environment_suites import ENVIRONMENT_SUITES
from pgx_core.simulation.make import make_simulation
from pgx_core.simulation.step import Step

LONG = 12  # steps of a test: some environments are slow


@pytest.fixture(params=ENVIRONMENT_SUITES.values(), ids=ENVIRONMENT_SUITES)
def suite(request):
    return request.param


@pytest.fixture
def simulate(suite):
    """A simulation of some tasks, or a skip that says which package is missing."""

    def simulate(objectives=(0, 1, 1), seed=0, stagger=False, suite=suite):
        try:
            return make_simulation(suite, np.array(objectives), seed, stagger=stagger)
        except SuiteError as error:
            pytest.skip(str(error))

    return simulate


def actions_for(simulation, steps, seed=0, worlds=None):
    generator = torch.Generator().manual_seed(seed)
    space, worlds = simulation.space, worlds or simulation.n_worlds
    if space.discrete:
        return torch.randint(0, space.n_actions, (steps, worlds, 1), generator=generator).float()
    return 2 * torch.rand(steps, worlds, space.n_actions, generator=generator) - 1


def run(simulation, steps=LONG, seed=0):
    return [simulation.reset(), *(simulation.step(action) for action in actions_for(simulation, steps, seed))]


def equal(one, other):
    return all(torch.equal(getattr(one, f.name), getattr(other, f.name)) for f in fields(Step))


def test_suites_have_ten_tasks_or_more_and_enough_unseen_ones(suite):
    assert len(suite.names) >= 10
    if suite.held_out:
        assert len(suite.held_out) >= 10 and suite.unseen().names == tuple(task.name for task in suite.held_out)
        assert not {str(t.parameters) for t in suite.held_out} & {str(t.parameters) for t in suite.objectives}


def test_observations_and_outcomes_fit_the_space(simulate):
    simulation = simulate()
    start, *steps = run(simulation)
    for observations in (start, steps[-1].observations, steps[-1].final_observations):
        assert observations.shape == (3, simulation.space.n_observations) and observations.dtype == torch.float32
        assert torch.isfinite(observations).all()
    for name in ("rewards", "scores"):
        assert getattr(steps[-1], name).shape == (3,) and getattr(steps[-1], name).dtype == torch.float32
    for name in ("terminated", "truncated", "diverged", "succeeded"):
        assert getattr(steps[-1], name).shape == (3,) and getattr(steps[-1], name).dtype == torch.bool
    assert simulation.diverged_count == 0


def test_the_seed_decides_everything(simulate, suite):
    (start, *first), (again, *second), (other, *_) = (run(simulate(seed=seed)) for seed in (3, 3, 4))
    assert torch.equal(start, again)
    assert all(equal(one, two) for one, two in zip(first, second, strict=True))
    if "fixed" not in suite.name:  # there every episode starts alike
        assert not torch.equal(start, other)
        assert not torch.equal(start[1], start[2]), "worlds of one task differ"


def test_nothing_returned_changes_later(simulate):
    simulation = simulate()
    steps, copies = [], []
    start = simulation.reset()
    kept = start.clone()
    for action in actions_for(simulation, LONG):
        steps.append(simulation.step(action))
        copies.append(Step(*(getattr(steps[-1], f.name).clone() for f in fields(Step))))
        steps[-1].observations.add_(0.0)
    assert torch.equal(start, kept)
    assert all(equal(one, two) for one, two in zip(steps, copies, strict=True))


def test_time_limits_are_no_terminations_and_start_a_new_episode(simulate):
    simulation = simulate()
    simulation.reset()
    simulation._elapsed[:] = torch.tensor([simulation.suite.episode_steps - 2, 0, simulation.suite.episode_steps - 1])
    first, second = (simulation.step(action) for action in actions_for(simulation, 2))
    assert not (first.terminated | second.terminated).any()
    assert first.truncated.tolist() == [False, False, True] and second.truncated.tolist() == [True, False, False]
    changed = (first.observations != first.final_observations).any(1)
    assert changed.tolist() == [False, False, True]


def test_staggered_episodes_end_spread_out(simulate):
    simulation = simulate((0,) * 8, stagger=True)
    simulation.reset()
    assert len(simulation._elapsed.unique()) > 4


def test_a_saved_simulation_continues(simulate, tmp_path):
    simulation = simulate()
    run(simulation)
    torch.save(simulation.state_dict(), tmp_path / "state.pt")
    saved = torch.load(tmp_path / "state.pt", weights_only=True)
    other = simulate(seed=9)
    other.reset()
    observations = other.load_state_dict(saved)
    assert torch.isfinite(observations).all() and torch.equal(other._elapsed, simulation._elapsed)
    if saved["worlds"] is not None:
        assert torch.equal(observations, simulation._observations)
        for action in actions_for(simulation, LONG, seed=1):
            assert equal(simulation.step(action), other.step(action))
