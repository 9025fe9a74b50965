"""Meta-World through EnvPool: goals, success, seeds, and a replay of the same actions in the `metaworld` package."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pgx_core.environments import envpool_worlds
from pgx_core.environments.environment import Task, world_seed
from pgx_core.environments.metaworld import FIXED_GOALS, MT10, MT50, RANDOM_GOALS, environment_id

GOAL = slice(36, 39)
envpool = pytest.importorskip("envpool", reason="needs EnvPool: pip install 'pgx-core[envs]'")


def make(environment, names, seed=0):
    return environment.make([Task(name) for name in names], seed)


def actions(worlds, steps, seed=0):
    return 2 * torch.rand(steps, worlds, 4, generator=torch.Generator().manual_seed(seed)) - 1


def test_every_task_is_known_to_envpool_once() -> None:
    known = envpool.list_all_envs()
    assert len(set(MT50)) == 50 and set(MT10) < set(MT50)
    assert {environment_id(name) for name in MT50} == {name for name in known if name.startswith("MetaWorld/")}


def test_random_goals_are_drawn_anew_in_every_episode_and_world() -> None:
    worlds = make(RANDOM_GOALS, ["reach", "push", "reach"])
    goals = torch.cat([worlds.reset(np.arange(3))[:, GOAL] for _ in range(3)])
    assert len(goals.unique(dim=0)) == 9


def test_fixed_goals_are_the_same_in_every_episode_world_and_run() -> None:
    starts = []
    for seed in (0, 7):
        worlds = make(FIXED_GOALS, ["reach", "reach", "push"], seed)
        starts.append(worlds.reset(np.arange(3)))
        for action in actions(3, 5):
            worlds.step(action)
        starts.append(worlds.reset(np.arange(3)))
    assert all(torch.equal(start, starts[0]) for start in starts)
    assert torch.equal(starts[0][0], starts[0][1]) and not torch.equal(starts[0][0, GOAL], starts[0][2, GOAL])


@pytest.mark.parametrize("environment", [RANDOM_GOALS, FIXED_GOALS], ids=["random", "fixed"])
def test_the_batch_is_its_worlds_one_by_one_and_episodes_are_apart(environment, monkeypatch) -> None:
    names = ["push", "door-open", "push"]
    together = make(environment, names, 5)
    alone = []
    for index, name in enumerate(names):  # the only world of each, with the seed that it has among the others
        monkeypatch.setattr(envpool_worlds, "world_seed", lambda seed, _, index=index: world_seed(seed, index))
        alone.append(make(environment, [name], 5))
    first = together.reset(np.arange(3))
    assert torch.equal(first, torch.cat([world.reset(np.arange(1)) for world in alone]))
    for step, action in enumerate(actions(3, 12)):
        outcome = together.step(action)
        single = [world.step(action[index : index + 1]) for index, world in enumerate(alone)]
        for field in ("observations", "rewards", "succeeded", "terminated"):
            assert torch.equal(getattr(outcome, field), torch.cat([getattr(one, field) for one in single]))
        if step == 5:  # one world starts over, and the others go on
            assert torch.equal(together.reset(np.array([2])), alone[2].reset(np.array([0])))


def test_reaching_the_goal_is_a_success() -> None:
    worlds = make(RANDOM_GOALS, ["reach"] * 3)
    observations = worlds.reset(np.arange(3))
    succeeded = torch.zeros(3, dtype=torch.bool)
    for _ in range(80):
        towards = (10 * (observations[:, GOAL] - observations[:, :3])).clip(-1, 1)
        outcome = worlds.step(torch.cat([towards, torch.zeros(3, 1)], 1))
        observations = outcome.observations
        succeeded |= outcome.succeeded
        assert (outcome.rewards <= 1.0).all() and not outcome.terminated.any()
    assert succeeded.all() and (outcome.rewards > 0.9).all()


def peer(name):
    """The same task in the `metaworld` package, whose version 3.0.0 needs MuJoCo below 3.4."""
    classes = pytest.importorskip("metaworld.env_dict", reason="needs the metaworld package, for comparison alone")
    try:
        return classes.ALL_V3_ENVIRONMENTS[f"{name}-v3"]()
    except ValueError as error:
        pytest.skip(f"metaworld does not fit this MuJoCo: {error}")


@pytest.mark.parametrize("name", ["reach", "push", "pick-place", "window-open"])
def test_the_metaworld_package_answers_alike(name) -> None:
    arm = peer(name)
    worlds = make(RANDOM_GOALS, [name])
    start = worlds.reset(np.arange(1))[0].double().numpy()
    goal = start[GOAL]
    window = goal - [0.2, 0.0, 0.0]  # its goal is the handle's place when open
    drawn = window if name == "window-open" else np.concatenate([start[4:6], [0.02], goal])
    arm._partially_observable, arm._set_task_called, arm._freeze_rand_vec = False, True, True
    arm._last_rand_vec = drawn
    theirs, _ = arm.reset()
    ours = torch.from_numpy(start)[None].float()
    np.testing.assert_allclose(ours[0], theirs, atol=1e-3)
    successes = []
    for action in actions(1, 70, seed=3):
        if len(successes) >= 30:  # first at random, then towards the goal
            action[0, :3] = (10 * (torch.from_numpy(goal) - ours[0, :3])).clip(-1, 1)
        outcome = worlds.step(action)
        theirs, reward, _, _, info = arm.step(action[0].double().numpy())
        ours = outcome.observations
        # Hand and object. Resting objects jitter in their contacts, and its steps, unlike its reset, hide the goal.
        np.testing.assert_allclose(ours[0, :7], theirs[:7], atol=1e-3)
        assert 10 * outcome.rewards.item() == pytest.approx(reward, abs=0.05)
        assert bool(outcome.succeeded[0]) == bool(info["success"])
        successes.append(bool(info["success"]))
    assert any(successes) == (name == "reach")


def test_no_world_of_a_run_starts_as_one_of_another_run_does() -> None:
    assert len({world_seed(seed, world) for seed in range(20) for world in range(200)}) == 4000
    starts = torch.cat([make(RANDOM_GOALS, ["reach"] * 2, seed).reset(np.arange(2))[:, GOAL] for seed in range(3)])
    assert len(starts.unique(dim=0)) == 6
