"""Averages and intervals against scipy's bootstrap, and against what is known of extreme scores."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from pgx_core.comparison.statistics import Interval, estimate, gain, improvement, interquartile_mean, mean

RNG = np.random.default_rng(3)
SCORES = RNG.normal(0.0, 1.0, (5, 8))
BASE = RNG.normal(0.4, 1.0, (5, 8))


def _slow_interquartile_mean(scores: np.ndarray) -> float:
    ordered = sorted(scores.ravel())
    cut = len(ordered) // 4
    return float(np.mean(ordered[cut : len(ordered) - cut]))


def _slow_improvement(scores: np.ndarray, base: np.ndarray) -> float:
    wins = [
        1.0 if mine > theirs else 0.5 if mine == theirs else 0.0
        for objective in range(scores.shape[1])
        for mine in scores[:, objective]
        for theirs in base[:, objective]
    ]
    return float(np.mean(wins))


def test_values_worked_out_by_hand() -> None:
    scores = np.array([[1.0, 9.0], [4.0, 2.0], [3.0, 100.0], [5.0, 6.0]])
    base = np.array([[3.0, 9.0], [2.0, 50.0], [3.0, 9.0], [2.0, 50.0]])
    assert interquartile_mean(scores) == 4.5  # of 3 4 5 6, without 1 2 and 9 100
    assert gain(scores, base) == 4.5 - 6.0  # of 3 3 9 9
    assert mean(base) == 16.0
    # Of the levels 3 and 2: 1 beats none, 4 and 5 both, 3 one and a half. Of 9 and 50: a half, none, both, none.
    assert improvement(scores, base) == ((0 + 2 + 1.5 + 2) / 8 + (0.5 + 0 + 2 + 0) / 8) / 2


def test_intervals_worked_out_by_hand() -> None:
    # Of two whole seeds both draws are the first in 25%, and Student's tails of one degree of freedom reach far.
    assert estimate(mean, np.array([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]])) == Interval(0.5, 0.0, 1.0)
    # Of three, the quantile is sqrt(3/2) * 4.303 = 5.27 standard deviations out, rarer than all three draws the first.
    assert estimate(mean, np.array([[0.0], [1.0], [5.0]])) == Interval(2.0, 0.0, 5.0)


def test_values_against_loops() -> None:
    tied = np.round(SCORES)
    assert estimate(interquartile_mean, SCORES).value == pytest.approx(_slow_interquartile_mean(SCORES))
    assert estimate(improvement, SCORES, BASE).value == pytest.approx(_slow_improvement(SCORES, BASE))
    assert estimate(improvement, tied, np.round(BASE)).value == pytest.approx(_slow_improvement(tied, np.round(BASE)))
    expected = _slow_interquartile_mean(SCORES) - _slow_interquartile_mean(BASE)
    assert estimate(gain, SCORES, BASE).value == pytest.approx(expected)


@pytest.mark.parametrize(("statistic", "seeds"), [(interquartile_mean, 5), (mean, 10)])
def test_the_interval_is_that_of_scipys_bootstrap_of_whole_seeds_at_an_expanded_level(statistic, seeds) -> None:
    scores = RNG.normal(0.0, 1.0, (seeds, 8))

    def together(drawn: np.ndarray, axis: int) -> np.ndarray:
        return statistic(scores[drawn])

    tail = stats.norm.cdf(stats.t.ppf(0.025, seeds - 1) * (seeds / (seeds - 1)) ** 0.5)
    found = estimate(statistic, scores)
    oracle = stats.bootstrap(
        (np.arange(seeds),),
        together,
        confidence_level=1 - 2 * tail,
        n_resamples=20_000,
        method="percentile",
        vectorized=True,
        rng=np.random.default_rng(1),
    )
    tolerance = 0.15 * oracle.standard_error
    assert found.low == pytest.approx(oracle.confidence_interval.low, abs=tolerance)
    assert found.high == pytest.approx(oracle.confidence_interval.high, abs=tolerance)


def test_objectives_of_different_difficulty_make_no_interval_wider() -> None:
    levels = np.tile(np.arange(8.0), (5, 1))  # objectives of different difficulty, seeds that agree
    assert estimate(interquartile_mean, levels) == Interval(3.5, 3.5, 3.5)


def test_probability_of_improvement_at_its_ends() -> None:
    assert estimate(improvement, BASE + 9.0, BASE) == Interval(1.0, 1.0, 1.0)
    assert estimate(improvement, BASE, BASE + 9.0) == Interval(0.0, 0.0, 0.0)
    assert estimate(improvement, SCORES, SCORES).value == 0.5
    turned = estimate(improvement, BASE, SCORES).value
    assert turned == pytest.approx(1.0 - estimate(improvement, SCORES, BASE).value)


def test_equal_scores_give_equal_intervals() -> None:
    assert estimate(gain, SCORES, BASE) == estimate(gain, SCORES.copy(), BASE.copy())


@pytest.mark.parametrize("seeds", [4, 5, 10])
def test_the_interval_of_a_difference_holds_the_truth_about_as_often_as_it_says(seeds: int) -> None:
    rng = np.random.default_rng(0)

    def scores() -> np.ndarray:
        """Objectives of a seed that are good or bad together."""
        return rng.normal(0.0, 1.0, (seeds, 1)) + rng.normal(0.0, 0.5, (seeds, 6))

    def difference(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return mean(one) - mean(other)

    intervals = [estimate(difference, scores(), scores()) for _ in range(200)]
    assert 0.93 <= np.mean([found.low <= 0.0 <= found.high for found in intervals]) <= 0.99
