"""Scores of policies that can be worked out by hand, and of adapted policies."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pgx_core.gradients.basis import lift
from pgx_core.gradients.features import FeatureConfig, compute_features
from pgx_core.gradients.parameters import with_parameters
from pgx_core.learning.ppo import PPOConfig
from pgx_core.objectives.suites import SIGNS, TINY
from pgx_core.training.adapted import score_by_rollout, step_policies
from pgx_core.training.evaluation import EvaluationConfig, evaluate
from pgx_core.training.transitions import RolloutConfig, collect_transitions

TARGETS = np.array([1.0, 2.0, -1.0, -2.0])
FORCE = 4.0  # N for an action of 1


def constant(population, actions):
    """Policies that always do the same."""
    with torch.no_grad():
        for parameter in population.actor.parameters():
            parameter.zero_()
        population.actor.biases[-1][:, 0, 0] = torch.tensor(actions)
    return population


def score_by_hand(action: float, target: float) -> float:
    """A cart of unit mass, pushed from rest by a constant force for 50 steps of 1/25 s."""
    velocities = FORCE * np.clip(action, -1, 1) * np.arange(1, 51) / 25.0
    return float(np.maximum(1 - np.abs(velocities - target) / abs(target), -1).mean())


def test_constant_policies_score_what_mechanics_says(still_start, make_population, fake) -> None:
    actions = (0.0, 0.5, -3.0)
    measured = evaluate(constant(make_population(3), actions), still_start, EvaluationConfig(2), fake)
    expected = [[score_by_hand(action, target) for target in TARGETS] for action in actions]
    np.testing.assert_allclose(measured.scores, expected, atol=1e-5)
    np.testing.assert_allclose(measured.errors, 0.0, atol=1e-6)  # every episode is the same
    assert (measured.scores[0] == 0.0).all(), "standing still scores exactly 0"


def test_only_what_is_asked_for_is_measured(make_population, fake) -> None:
    asked = np.array([[True, False, True, False], [False, True, True, True]])
    population = make_population(2)
    measured = evaluate(population, TINY, EvaluationConfig(4), fake, asked)
    assert measured.episodes.shape == (2, 4, 4)
    assert (np.isfinite(measured.scores) == asked).all() and (np.isfinite(measured.errors) == asked).all()
    assert (np.ptp(measured.episodes[asked], axis=-1) > 0).all(), "starts vary"
    again = evaluate(population, TINY, EvaluationConfig(4), fake, asked)
    np.testing.assert_array_equal(measured.episodes, again.episodes)
    other = evaluate(population, TINY, EvaluationConfig(4, seed=1), fake, asked)
    assert (measured.episodes[asked] != other.episodes[asked]).any()


def test_an_early_end_costs_the_rest_of_the_score(still_start, make_population, fake) -> None:
    from dataclasses import replace

    half = tuple(
        replace(objective, terminate=lambda state, command: state.time > 0.99) for objective in still_start.objectives
    )
    population = constant(make_population(1), (1.0,))
    whole = evaluate(population, still_start, EvaluationConfig(2), fake)
    broken = evaluate(population, replace(still_start, objectives=half), EvaluationConfig(2), fake)
    velocities = FORCE * np.arange(1, 26) / 25.0
    expected = [np.maximum(1 - np.abs(velocities - target) / abs(target), -1).sum() / 50 for target in TARGETS]
    np.testing.assert_allclose(broken.scores[0], expected, atol=1e-5)
    assert (broken.scores != whole.scores).all()


@pytest.fixture
def lifted(make_population, fake):
    """A meta policy and steps of it, as the surrogate stage makes them."""
    meta = make_population()
    transitions = collect_transitions(meta, TINY, RolloutConfig(60), PPOConfig(), 0, fake)
    basis = compute_features(meta.policy(0), transitions, FeatureConfig(dimensions=10)).basis
    coordinates = np.random.default_rng(0).normal(0, 0.1, (3, len(basis.kept))).astype(np.float32)
    return meta, lift(meta.policy(0), basis, coordinates)


def test_stepped_policies_are_those_with_the_moved_parameters(lifted) -> None:
    meta, steps = lifted
    stepped = step_policies(meta, steps)
    template = meta.policy(0)
    start = torch.cat([parameter.detach().flatten() for parameter in template.parameters()])
    inputs = torch.randn(20, 6, generator=torch.Generator().manual_seed(0))
    inputs[:, -4:] = 0.0  # the meta policy is blind
    actions = torch.randn(20, 1, generator=torch.Generator().manual_seed(1))
    for index, step in enumerate(steps):
        expected = with_parameters(template, start + step).log_prob(inputs, actions)
        found = stepped.policy(index).log_prob(inputs, actions)
        assert (found - template.log_prob(inputs, actions)).abs().max() > 1e-2, "the step is too small to test anything"
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_zero_steps_score_as_the_meta_policy(lifted, fake) -> None:
    meta, steps = lifted
    subsets = np.array([[True, True, False, False], [False, True, True, True], [True, True, True, True]])
    config = EvaluationConfig(3)
    scores = score_by_rollout(meta, torch.zeros_like(steps), subsets, TINY, config, fake)
    assert scores.evaluation == "rollout" and scores.names == TINY.names
    for row, subset in enumerate(subsets):
        alone = evaluate(step_policies(meta, steps[:1] * 0), TINY, config, fake, subset[None])
        assert (np.isfinite(scores.values[row]) == subset).all()
        np.testing.assert_allclose(scores.values[row][subset].mean(), alone.scores[0][subset].mean(), atol=0.1)
    everything = np.ones((1, 4), dtype=bool)
    same = score_by_rollout(meta, torch.zeros_like(steps[:1]), everything, TINY, config, fake)
    np.testing.assert_array_equal(same.values[0], evaluate(meta, TINY, config, fake).scores[0])
    np.testing.assert_array_equal(same.blocks, evaluate(meta, TINY, config, fake).episodes)


def test_the_real_engine_runs_policies_too(make_population) -> None:
    from pgx_core.learning.network import NetworkSize, Population
    from pgx_core.simulation.robot_model import compile_robot

    size = NetworkSize(compile_robot(SIGNS.robot).contract.observation_size, 6, 6, (4,))
    population = constant_zero(Population(size, (True,), (0,)))
    from dataclasses import replace

    short = replace(SIGNS, episode_seconds=0.4)
    measured = evaluate(population, short, EvaluationConfig(2))
    assert measured.episodes.shape == (1, 6, 2)
    assert (np.abs(measured.scores) < 0.5).all()  # it hardly moves


def constant_zero(population):
    with torch.no_grad():
        for parameter in population.actor.parameters():
            parameter.zero_()
    return population
