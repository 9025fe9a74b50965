"""The manager-based adapter on a small stand-in with mjlab's attributes, and on mjlab's Go1 where it is installed."""

from __future__ import annotations

from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pgx_core.environments.manager_based import (
    ManagerBasedWorlds,
    ManagerObjective,
    manager_based_environment,
    tasks_of,
)
from pgx_core.errors import SuiteError
from pgx_core.objectives.environment_suite import EnvironmentSuite
from pgx_core.simulation.make import make_simulation

WEIGHTS = {"track": 2.0, "effort": -0.5, "unused": 0.0}
FORWARD = ManagerObjective("forward", {"twist": (1.0, 0.0)}, score=("track",))
BACKWARD = ManagerObjective("backward", {"twist": (-1.0, 0.0)}, {"effort": -2.0, "unused": 3.0})
OBJECTIVES = (FORWARD, BACKWARD)


class Twist:
    """Draws a command at every reset, and at every step: as unruly as a term may be."""

    def __init__(self, worlds):
        self.command = torch.zeros(worlds, 2)

    def compute(self, dt, env_ids=None):
        self.command.uniform_(-1, 1)

    def reset(self, env_ids):
        self.command[env_ids] = 0.3
        return {}


class PointMass:
    """W points whose velocity is their action, with the attributes of mjlab's ManagerBasedRlEnv that we use."""

    device, step_dt, max_episode_length = "cpu", 0.1, 6

    def __init__(self, worlds, seed=0):
        self.num_envs, self.seed = worlds, seed
        self.cfg = SimpleNamespace(auto_reset=True, scale_rewards_by_dt=True)
        self.episode_length_buf = torch.zeros(worlds, dtype=torch.int64)
        self.twist, self.position = Twist(worlds), torch.zeros(worlds, 2)
        terms = {name: SimpleNamespace(weight=weight) for name, weight in WEIGHTS.items()}
        self.command_manager = SimpleNamespace(active_terms=["twist"], get_term={"twist": self.twist}.__getitem__)
        self.reward_manager = SimpleNamespace(
            active_terms=list(terms), get_term_cfg=terms.__getitem__, _step_reward=torch.zeros(worlds, len(terms))
        )
        self.action_manager = SimpleNamespace(total_action_dim=2)
        self.waiting = torch.zeros(worlds, dtype=torch.bool)

    def groups(self):
        actor = torch.cat([self.position, self.twist.command], 1)
        return {"actor": actor, "critic": torch.cat([actor, self.position.square()], 1)}

    def reset(self, *, env_ids=None):
        env_ids = torch.arange(self.num_envs) if env_ids is None else env_ids
        self.position[env_ids], self.episode_length_buf[env_ids], self.waiting[env_ids] = 0.0, 0, False
        self.twist.reset(env_ids)
        return self.groups(), {}

    def step(self, action):
        assert not self.waiting.any(), "mjlab refuses to step worlds that wait for a reset"
        self.position += action * self.step_dt
        self.episode_length_buf += 1
        error = (action - self.twist.command).square().sum(1)
        values = {"track": torch.exp(-error), "effort": action.square().sum(1), "unused": torch.ones(self.num_envs)}
        for column, (name, value) in enumerate(values.items()):
            weight = self.reward_manager.get_term_cfg(name).weight
            self.reward_manager._step_reward[:, column] = weight * value
        terminated = self.position[:, 0].abs() > 0.25
        timed_out = (self.episode_length_buf >= self.max_episode_length) | (self.position[:, 1] > 0.25)
        self.waiting = terminated | timed_out
        self.twist.compute(self.step_dt)
        return self.groups(), self.reward_manager._step_reward.sum(1) * self.step_dt, terminated, timed_out, {}


def worlds_of(*objectives):
    worlds = ManagerBasedWorlds(PointMass(len(objectives)), objectives)
    worlds.reset(np.arange(len(objectives)))
    return worlds


def suite():
    environment = manager_based_environment("point", PointMass, OBJECTIVES)
    return EnvironmentSuite("point", environment, tasks_of(OBJECTIVES))


def test_every_observation_shows_the_objectives_command() -> None:
    worlds = worlds_of(FORWARD, BACKWARD)
    wanted = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    for _ in range(3):
        assert torch.equal(worlds.step(torch.zeros(2, 2)).observations[:, 2:4], wanted)
    assert torch.equal(worlds.reset(np.array([1]))[:, 2:4], wanted[1:])


def test_rewards_are_the_terms_with_the_objectives_weights() -> None:
    plain = ManagerObjective("plain", {"twist": (1.0, 0.0)})
    outcome = worlds_of(FORWARD, BACKWARD, plain).step(torch.tensor([[0.5, 0.0]] * 3))
    track = np.exp([-0.25, -2.25])
    own = 2.0 * track[0] - 0.5 * 0.25
    wanted = 0.1 * np.array([own, 2.0 * track[1] - 2.0 * 0.25 + 3.0, own])
    np.testing.assert_allclose(outcome.rewards, wanted, rtol=1e-6)
    np.testing.assert_allclose(outcome.scores, [track[0], *wanted[1:]], rtol=1e-6)


def test_without_weights_the_reward_is_the_environments_own() -> None:
    worlds, actions = worlds_of(FORWARD, FORWARD), torch.tensor([[0.5, 0.1], [-0.2, 0.7]])
    ours = worlds.step(actions).rewards
    torch.testing.assert_close(ours, worlds.env.step(actions)[1])


def test_terminations_time_limits_and_other_ends_are_told_apart() -> None:
    simulation = make_simulation(suite(), np.zeros(3, dtype=int), 0, stagger=False)
    simulation.reset()
    actions = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])  # out in 3 steps, aside in 3 steps, 6 steps at rest
    steps = [simulation.step(actions) for _ in range(6)]
    assert torch.stack([step.terminated for step in steps]).nonzero().tolist() == [[2, 0], [5, 0]]
    assert torch.stack([step.truncated for step in steps]).nonzero().tolist() == [[2, 1], [5, 1], [5, 2]]
    assert steps[2].final_observations[0, 0] > 0.25 and steps[2].observations[0, 0] == 0.0


def test_the_critic_sees_its_group_and_the_actor_does_not() -> None:
    space = suite().environment.space
    assert (space.n_observations, space.n_privileged, space.n_actions) == (4, 6, 2)


def test_no_step_of_the_adapter_waits_for_the_device(no_waiting) -> None:
    worlds, actions = worlds_of(FORWARD, BACKWARD), torch.zeros(2, 2)
    env = worlds.env
    answer = env.step(actions)  # the stand-in's own step reads its tensors, ours must not

    def step(_):
        env.twist.compute(env.step_dt)
        return answer

    env.step = step
    with no_waiting():
        worlds.step(actions)


@pytest.mark.parametrize(
    ("objective", "words"),
    [
        (ManagerObjective("a", {"twirl": (1.0,)}), "no command 'twirl'; the environment's commands: twist"),
        (ManagerObjective("a", {"twist": (1.0,)}), "'twist' has 2 values; an objective gives 1"),
        (ManagerObjective("a", {}, {"trak": 1.0}), "no reward term 'trak'; the environment's terms: track"),
    ],
)
def test_what_the_environment_lacks_is_named(objective, words) -> None:
    with pytest.raises(SuiteError, match=words):
        worlds_of(objective)


@pytest.mark.timeout(600)  # compiling its kernels takes minutes, once per machine
@pytest.mark.skipif(find_spec("mjlab") is None, reason="needs mjlab, whose pins differ from ours: see the README")
def test_go1_of_mjlab() -> None:
    import mjlab.tasks  # noqa: F401 (registers the tasks)
    from mjlab.envs import ManagerBasedRlEnv
    from mjlab.tasks.registry import load_env_cfg

    settings = load_env_cfg("Mjlab-Velocity-Flat-Unitree-Go1")
    settings.scene.num_envs, settings.seed = 2, 0
    env = ManagerBasedRlEnv(settings, device="cpu")
    for part in ("command_manager", "reward_manager", "action_manager", ""):
        theirs, ours = (getattr(one, part) if part else one for one in (env, PointMass(2)))
        own = {"twist", "position", "groups", "waiting"}
        assert [name for name in vars(ours) if name not in own and not hasattr(theirs, name)] == []
    twists = torch.tensor([[0.8, 0.0, 0.0], [0.0, 0.0, -0.5]])
    objectives = [ManagerObjective(str(i), {"twist": row.tolist()}) for i, row in enumerate(twists)]
    worlds = ManagerBasedWorlds(env, objectives)
    worlds.reset(np.arange(2))
    for _ in range(5):
        outcome = worlds.step(torch.zeros(2, 12))
        assert torch.equal(outcome.observations[:, 45:48], twists)
        torch.testing.assert_close(outcome.rewards, env.reward_buf)
