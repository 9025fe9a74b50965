"""Our batched CartPole against Gymnasium's, step by step."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pgx_core.environments.cartpole import CartPoleWorlds
from pgx_core.environments.environment import Task
from pgx_core.objectives.environment_suites import CARTPOLE_SUITE

TASKS = (Task("standard"), *CARTPOLE_SUITE.objectives, *CARTPOLE_SUITE.held_out[:4])
NAMES = {
    "pole_length": "length",
    "pole_mass": "masspole",
    "cart_mass": "masscart",
    "gravity": "gravity",
    "force": "force_mag",
}


def gymnasium_cartpole(task: Task):
    gymnasium = pytest.importorskip("gymnasium", reason="needs gymnasium: pip install 'pgx-core[envs]'")
    cart = gymnasium.make("CartPole-v1").unwrapped
    for name, value in task.parameters.items():
        assert hasattr(cart, NAMES[name])
        setattr(cart, NAMES[name], value)
    cart.total_mass, cart.polemass_length = cart.masspole + cart.masscart, cart.masspole * cart.length
    return cart


def test_every_step_is_gymnasiums() -> None:
    carts = [gymnasium_cartpole(task) for task in TASKS]
    worlds = CartPoleWorlds(TASKS, 3)
    worlds.reset(np.arange(len(TASKS)))
    for cart, state in zip(carts, worlds.state, strict=True):
        cart.reset(seed=0)
        cart.state = state.numpy().copy()
    rng, falls = np.random.default_rng(0), 0
    for _ in range(300):
        choices = rng.integers(0, 2, len(TASKS))
        outcome = worlds.step(torch.from_numpy(choices).float()[:, None])
        for index, cart in enumerate(carts):
            observation, reward, terminated, _, _ = cart.step(int(choices[index]))
            np.testing.assert_allclose(worlds.state[index], cart.state, rtol=0, atol=1e-9)
            np.testing.assert_allclose(outcome.observations[index], observation, rtol=0, atol=1e-6)
            assert outcome.rewards[index] == reward and bool(outcome.terminated[index]) == terminated
        fallen = np.flatnonzero(outcome.terminated)
        falls += len(fallen)
        worlds.reset(fallen)
        for index in fallen:
            carts[index].reset()
            carts[index].state = worlds.state[index].numpy().copy()
    assert falls > len(TASKS)


def test_each_parameter_changes_the_motion() -> None:
    worlds = CartPoleWorlds(TASKS[:11], 0)
    worlds.state[:] = torch.tensor([0.0, 0.5, 0.05, 0.5], dtype=torch.float64)
    outcome = worlds.step(torch.ones(11, 1))
    assert len(outcome.observations.unique(dim=0)) == 11


def test_the_batch_is_its_worlds_one_by_one() -> None:
    worlds = CartPoleWorlds(TASKS, 0)
    worlds.reset(np.arange(len(TASKS)))
    alone = [CartPoleWorlds((task,), 0) for task in TASKS]
    for single, state in zip(alone, worlds.state, strict=True):
        single.state = state[None].clone()
    for choice in (0.0, 1.0, 1.0):
        together = worlds.step(torch.full((len(TASKS), 1), choice)).observations
        apart = torch.cat([single.step(torch.full((1, 1), choice)).observations for single in alone])
        torch.testing.assert_close(together, apart, rtol=0, atol=1e-7)
