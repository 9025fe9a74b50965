from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from pgx_core.errors import ConfigError
from pgx_core.surrogate.scores import score_subsets
from pgx_core.surrogate.solve import SurrogateConfig, solve_subsets
from pgx_core.surrogate.split import episode_blocks, split_episodes
from pgx_core.types import Features, SubsetScores, SurrogateSolution


def scored(features: Features, subsets: np.ndarray, n_blocks: int = 4) -> tuple[SubsetScores, SurrogateSolution]:
    fitted = split_episodes(features, 0.5, seed=0)
    solution = solve_subsets(features, subsets, fitted, SurrogateConfig())
    return score_subsets(features, subsets, solution, ~fitted, n_blocks), solution


def test_values_are_the_written_formula_on_held_out_data(features: Features, subsets: np.ndarray) -> None:
    scores, solution = scored(features, subsets)
    held_out = ~split_episodes(features, 0.5, seed=0)
    for s, i in np.ndindex(subsets.shape):
        if not subsets[s, i]:
            assert np.isnan(scores.values[s, i]) and np.isnan(scores.blocks[s, i]).all()
            continue
        own = held_out & (features.objectives == i)
        margins = features.labels[own] * (features.coordinates[own] @ solution.steps[s])
        gains = np.log(2.0) - np.logaddexp(0.0, -margins)
        assert scores.values[s, i] == pytest.approx(np.average(gains, weights=features.weights[own]), rel=1e-10)


def test_values_are_the_mean_of_the_blocks(features: Features, subsets: np.ndarray) -> None:
    scores, _ = scored(features, subsets)
    assert scores.blocks.shape == (*subsets.shape, 4)
    np.testing.assert_allclose(scores.blocks.mean(-1), scores.values)


def test_no_step_scores_nothing(features: Features, subsets: np.ndarray) -> None:
    _, solution = scored(features, subsets)
    still = dataclasses.replace(solution, steps=np.zeros_like(solution.steps))
    nothing = score_subsets(features, subsets, still, ~split_episodes(features, 0.5, seed=0), 4)
    np.testing.assert_allclose(nothing.values[subsets], 0.0, atol=1e-15)


def test_friends_help_and_opposites_hurt(features: Features) -> None:
    """Objective 1 wants what 0 wants, objective 2 the opposite."""
    first = features.objectives == 0
    labels, weights, coordinates = (a.copy() for a in (features.labels, features.weights, features.coordinates))
    for objective, sign in ((1, 1.0), (2, -1.0)):
        own = features.objectives == objective
        labels[own], weights[own], coordinates[own] = sign * labels[first], weights[first], coordinates[first]
    planted = dataclasses.replace(features, labels=labels, weights=weights, coordinates=coordinates)
    subsets = np.array([[True, True, False, False], [True, False, False, True], [True, False, True, False]])
    friend, stranger, enemy = scored(planted, subsets)[0].values[:, 0]
    assert friend > stranger > enemy


def test_few_episodes_mean_few_blocks(make_features: Callable[..., Features], subsets: np.ndarray) -> None:
    assert scored(make_features(n=80), subsets, n_blocks=8)[0].blocks.shape[-1] == 2


@pytest.mark.parametrize("held_out", [0.1, 0.5, 0.8])
def test_the_split_keeps_episodes_whole_and_takes_from_every_objective(features: Features, held_out: float) -> None:
    fitted = split_episodes(features, held_out, seed=0)
    for objective in range(4):
        own = features.objectives == objective
        episodes = np.unique(features.episodes[own])
        shares = np.array([fitted[features.episodes == e].mean() for e in episodes])
        assert set(shares) == {0.0, 1.0}
        assert (shares == 0.0).sum() == max(2, round(held_out * len(episodes)))


def test_the_split_numbers_episodes_per_objective(features: Features) -> None:
    """Two objectives may use the same episode numbers."""
    fitted = split_episodes(features, 0.5, seed=0)
    shared = dataclasses.replace(features, episodes=features.episodes % 15)
    again = split_episodes(shared, 0.5, seed=0)
    assert again.mean() == fitted.mean()
    for objective in range(4):
        own = features.objectives == objective
        assert all(again[own & (shared.episodes == e)].std() == 0.0 for e in range(15))


def test_the_seed_decides_the_split(features: Features) -> None:
    first, again, other = (split_episodes(features, 0.5, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_blocks_are_whole_episodes_of_nearly_equal_weight() -> None:
    rng = np.random.default_rng(0)
    episodes = np.repeat(np.arange(40), rng.integers(1, 30, 40))
    weights = rng.exponential(size=len(episodes))
    block = episode_blocks(episodes, weights, 5)
    assert all(len(set(block[episodes == e])) == 1 for e in range(40))
    loads = np.bincount(block, weights, minlength=5)
    assert loads.max() / loads.min() < 1.1


def test_every_block_gets_an_episode_even_without_weight() -> None:
    assert set(episode_blocks(np.array([3, 1, 2]), np.zeros(3), 3)) == {0, 1, 2}


def test_too_few_episodes_are_named(make_features: Callable[..., Features], subsets: np.ndarray) -> None:
    short = make_features(n=40)
    with pytest.raises(ConfigError, match="at least 3 episodes of objective 'run', got 2"):
        split_episodes(short, 0.5, seed=0)
    features = make_features()
    _, solution = scored(features, subsets)
    with pytest.raises(ConfigError, match="two held-out episodes"):
        score_subsets(features, subsets, solution, features.episodes % 15 == 0, 4)
