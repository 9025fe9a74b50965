"""What every backend promises: shapes, episodes, repeatability, saving, and values that nobody changes later."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from pgx_core.objectives.objective import Objective, Reward
from pgx_core.objectives.suites import SIGNS, TINY
from pgx_core.simulation.step import Step

SHORT = replace(SIGNS, episode_seconds=0.4)  # 10 steps
both_suites = pytest.mark.parametrize("suite", [TINY, SHORT], ids=["tiny", "signs"])


def equal(one: Step, other: Step) -> bool:
    return all(torch.equal(getattr(one, f.name), getattr(other, f.name)) for f in fields(Step))


def copy(step: Step) -> Step:
    return Step(*(getattr(step, f.name).clone() for f in fields(Step)))


def run(simulation, actions):
    simulation.reset()
    return [simulation.step(action) for action in actions]


@both_suites
def test_shapes_and_types(simulate, random_actions, suite):
    simulation = simulate(suite)
    size, n = simulation.robot.contract.observation_size, 2 * len(suite.objectives)
    assert simulation.n_worlds == n
    assert simulation.reset().shape == (n, size)
    step = simulation.step(random_actions(simulation, 1)[0])
    assert step.observations.shape == step.final_observations.shape == (n, size)
    assert step.observations.dtype == step.rewards.dtype == step.scores.dtype == torch.float32
    for name in ("rewards", "scores", "terminated", "truncated", "diverged"):
        assert getattr(step, name).shape == (n,)
    assert step.terminated.dtype == step.truncated.dtype == step.diverged.dtype == torch.bool


@both_suites
def test_the_seed_decides_everything(simulate, random_actions, suite):
    first, again, other = (simulate(suite, seed) for seed in (3, 3, 4))
    actions = random_actions(first, suite.episode_steps + 5)
    pairs = list(zip(run(first, actions), run(again, actions), strict=True))
    assert all(equal(one, two) for one, two in pairs)
    assert not torch.equal(pairs[0][0].observations, run(other, actions)[0].observations)


def test_resets_vary_within_their_noise(simulate):
    simulation = simulate(TINY, worlds=50)
    speeds = simulation.reset()[:, 0]
    assert len(speeds.unique()) == simulation.n_worlds
    assert speeds.std() == pytest.approx(0.05, rel=0.2) and abs(speeds.mean()) < 0.02
    assert not torch.equal(simulation.reset()[:, 0], speeds)


def test_unstaggered_episodes_end_together_after_their_full_length(simulate, random_actions):
    simulation = simulate(TINY, stagger=False)
    truncated = torch.stack([s.truncated for s in run(simulation, random_actions(simulation, 2 * TINY.episode_steps))])
    ends = torch.zeros(2 * TINY.episode_steps, dtype=torch.bool)
    ends[[TINY.episode_steps - 1, 2 * TINY.episode_steps - 1]] = True
    assert (truncated == ends[:, None]).all()


def test_staggered_episodes_end_spread_out_and_then_keep_their_length(simulate, random_actions):
    simulation = simulate(TINY, worlds=5)
    truncated = torch.stack([s.truncated for s in run(simulation, random_actions(simulation, 3 * TINY.episode_steps))])
    first_ends = []
    for column in truncated.T:
        ends = column.nonzero().flatten()
        assert ends[0] < TINY.episode_steps
        assert (ends.diff() == TINY.episode_steps).all()
        first_ends.append(int(ends[0]))
    assert len(set(first_ends)) > simulation.n_worlds // 2


def test_final_observations_differ_exactly_where_an_episode_ended(simulate, random_actions):
    simulation = simulate(SHORT)
    ends = 0
    for step in run(simulation, random_actions(simulation, 15)):
        ended = step.terminated | step.truncated
        assert torch.equal((step.observations != step.final_observations).any(1), ended)
        ends += int(ended.sum())
    assert ends >= simulation.n_worlds


def falling_over(state, command):
    return state.qvel[:, 0].abs() > command["limit"]


def test_a_termination_ends_the_episode_where_its_condition_holds(simulate, random_actions):
    objectives = tuple(replace(o, terminate=falling_over, command={**o.command, "limit": 0.6}) for o in TINY.objectives)
    simulation = simulate(replace(TINY, objectives=objectives), stagger=False)
    seen = torch.zeros(simulation.n_worlds, dtype=torch.bool)
    for step in run(simulation, random_actions(simulation, 30)):
        assert torch.equal(step.terminated, step.final_observations[:, 0].abs() > 0.6)
        assert (step.observations[:, 0].abs() < 0.6).all()  # already started anew
        assert not (step.terminated & step.truncated).any() and not step.diverged.any()
        seen |= step.terminated
    assert seen.sum() > simulation.n_worlds // 2


def test_each_world_is_paid_by_its_own_objective_in_any_order(simulate, random_actions):
    objectives = np.array([2, 0, 3, 1, 0, 2, 3, 3, 0])  # mixed: worlds of one objective do not lie together
    simulation = simulate(TINY, objectives=objectives, stagger=False)
    target = torch.tensor([TINY.objectives[i].command["velocity"] for i in objectives])
    for step in run(simulation, random_actions(simulation, 20)):
        expected = (1 - (step.final_observations[:, 0] - target).abs() / target.abs()).clip(min=-1)
        torch.testing.assert_close(step.rewards, expected)
        torch.testing.assert_close(step.scores, expected)


def previous_and_time(state, command):
    return state.previous_action[:, 0] + 10 * state.action[:, 0] + 100 * state.time


def test_terms_see_the_clipped_action_the_one_before_and_the_time(simulate):
    suite = replace(TINY, objectives=tuple(Objective(n, (Reward(previous_and_time),)) for n in "ab"))
    simulation = simulate(suite, worlds=1, stagger=False)
    first, second = run(simulation, [torch.full((2, 1), 0.5), torch.full((2, 1), -7.0)])
    torch.testing.assert_close(first.rewards, torch.full((2,), 0.0 + 5.0 + 4.0))
    torch.testing.assert_close(second.rewards, torch.full((2,), 0.5 - 10.0 + 8.0))


@both_suites
@pytest.mark.parametrize("through_disk", [False, True])
def test_a_saved_simulation_continues_bit_for_bit(simulate, random_actions, tmp_path, suite, through_disk):
    simulation = simulate(suite)
    actions = random_actions(simulation, suite.episode_steps + 10)
    run(simulation, actions[:7])
    saved = simulation.state_dict()
    if through_disk:
        torch.save(saved, tmp_path / "state.pt")
    ahead = [copy(simulation.step(action)) for action in actions[7:]]
    if through_disk:
        saved = torch.load(tmp_path / "state.pt", weights_only=True)
    other = simulate(suite, seed=99)
    other.reset()
    before = other.load_state_dict(saved)
    assert torch.equal(before, simulation.load_state_dict(saved))
    for continued in (simulation, other):
        continued.load_state_dict(saved)
        assert all(equal(continued.step(a), step) for a, step in zip(actions[7:], ahead, strict=True))


@both_suites
def test_nothing_returned_changes_later_and_nothing_given_is_changed(simulate, random_actions, suite):
    simulation = simulate(suite)
    actions = random_actions(simulation, suite.episode_steps + 2)
    given = [action.clone() for action in actions]
    start = simulation.reset()
    kept = start.clone()
    steps, copies = [], []
    for action in actions:
        steps.append(simulation.step(action))
        copies.append(copy(steps[-1]))
    assert torch.equal(start, kept)
    assert all(equal(step, later) for step, later in zip(steps, copies, strict=True))
    assert all(torch.equal(one, two) for one, two in zip(actions, given, strict=True))


@both_suites
def test_a_caller_may_overwrite_what_it_was_given(simulate, random_actions, suite):
    simulation, untouched = simulate(suite), simulate(suite)
    actions = random_actions(simulation, suite.episode_steps + 2)
    expected = run(untouched, actions)
    simulation.reset().fill_(torch.nan)
    for action, step in zip(actions, expected, strict=True):
        mine = action.clone()
        came = simulation.step(mine)
        assert equal(came, step)
        mine.fill_(torch.nan)
        for f in fields(Step):
            getattr(came, f.name).fill_(True)
