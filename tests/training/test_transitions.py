"""The experience that the affinity rests on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from pgx_core.learning.ppo import PPOConfig
from pgx_core.objectives.suites import TINY
from pgx_core.training.transitions import RolloutConfig, collect_transitions

EPISODE = TINY.episode_steps  # 50
FORCE = 4.0  # N on a mass of 1 kg, for an action of 1


@pytest.fixture
def collect(make_population, fake):
    def run(samples=120, seed=0, suite=TINY, conditioned=False, **ppo):
        population = make_population(conditioned=conditioned)
        return population, collect_transitions(population, suite, RolloutConfig(samples), PPOConfig(**ppo), seed, fake)

    return run


@pytest.mark.parametrize(("samples", "episodes"), [(1, 1), (50, 1), (51, 2), (120, 3)])
def test_episodes_are_whole_and_belong_to_one_objective(samples, episodes, collect) -> None:
    _, found = collect(samples)
    assert len(found.episodes) == 4 * episodes * EPISODE
    numbers, counts = np.unique(found.episodes, return_counts=True)
    assert (counts == EPISODE).all() and list(numbers) == list(range(4 * episodes))
    for number in numbers:
        rows = np.flatnonzero(found.episodes == number)
        assert (np.diff(rows) == 1).all() and len(set(found.objectives[rows])) == 1
    assert (np.bincount(found.objectives) == episodes * EPISODE).all()


def test_one_episode_follows_the_mechanics(collect) -> None:
    _, found = collect()
    for number in (0, 7):
        rows = found.episodes == number
        velocity, last_action = found.observations[rows, 0], found.observations[rows, 1]
        applied = found.actions[rows, 0].clip(-1, 1)
        np.testing.assert_allclose(last_action[1:], applied[:-1], atol=1e-6)
        np.testing.assert_allclose(np.diff(velocity), FORCE * applied[:-1] / 25.0, atol=1e-5)


def test_advantages_are_normalised_per_objective(collect) -> None:
    _, found = collect()
    for objective in range(4):
        own = found.advantages[found.objectives == objective]
        np.testing.assert_allclose([own.mean(), own.std()], [0.0, 1.0], atol=1e-4)


def test_advantages_against_an_oracle(collect) -> None:
    population, found = collect(discount=0.9, trace=0.7)
    rows = found.objectives == 2
    raw = torch.from_numpy(found.observations[rows]).reshape(-1, EPISODE, 6)
    actions = torch.from_numpy(found.actions[rows]).reshape(-1, EPISODE, 1)
    one_hot = torch.zeros(len(raw), EPISODE + 1, 4)
    one_hot[..., 2] = 1.0
    # The state after the last step is not recorded: the mechanics gives it.
    final = torch.cat([raw[:, -1:, :1] + FORCE * actions[:, -1:].clip(-1, 1) / 25.0, actions[:, -1:].clip(-1, 1)], -1)
    states = torch.cat([raw[..., :2], final], 1)
    rewards = (1 - (states[:, 1:, 0] - -1.0).abs()).clip(min=-1)
    with torch.no_grad():
        inputs = torch.cat([states, one_hot], -1).reshape(1, -1, 6)  # the normaliser is still the identity
        values = population.critic(inputs).reshape(len(raw), EPISODE + 1)
    expected = torch.zeros(len(raw), EPISODE)
    for start in range(EPISODE):
        for step in range(start, EPISODE):
            delta = rewards[:, step] + 0.9 * values[:, step + 1] - values[:, step]
            expected[:, start] += (0.9 * 0.7) ** (step - start) * delta
    expected = (expected - expected.mean()) / expected.std(unbiased=False)
    np.testing.assert_allclose(found.advantages[rows], expected.flatten().numpy(), atol=2e-3)


def test_the_policy_sees_the_objective_only_if_it_is_conditioned(collect) -> None:
    _, blind = collect()
    assert (blind.observations[:, -4:] == 0).all()
    _, sighted = collect(conditioned=True)
    assert (sighted.observations[:, -4:].argmax(1) == sighted.objectives).all()


def test_the_seed_decides_everything(collect) -> None:
    (_, first), (_, again), (_, other) = collect(seed=5), collect(seed=5), collect(seed=6)
    for name in ("observations", "actions", "advantages"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
        assert (getattr(first, name) != getattr(other, name)).any()


def test_early_ends_keep_the_stretches_whole(collect) -> None:
    objectives = tuple(
        replace(objective, terminate=lambda state, command: state.time > 0.5) for objective in TINY.objectives
    )
    _, found = collect(suite=replace(TINY, objectives=objectives))
    assert (np.unique(found.episodes, return_counts=True)[1] == EPISODE).all()
    assert np.isfinite(found.advantages).all()
