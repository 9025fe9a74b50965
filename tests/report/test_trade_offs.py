"""Hypervolume and expected utility at known points, and where a reader finds them."""

from __future__ import annotations

import numpy as np
import pytest

from pgx_core.report.data import TradeOff
from pgx_core.report.page import render_page
from pgx_core.report.pictures import draw_pictures
from pgx_core.report.trade_offs import expected_utility, front, hypervolume, trade_off_figure

CORNERS = np.array([[1.0, 0.0], [0.0, 1.0]])
STAIRS = np.array([[1.0, 0.2], [0.5, 0.5], [0.4, 0.4]])  # the last one is beaten by the second


@pytest.mark.parametrize(
    ("values", "volume"),
    [
        (STAIRS, 0.35),
        (STAIRS[::-1], 0.35),
        (STAIRS[:2], 0.35),
        (CORNERS, 0),
        (-CORNERS, 0),
        (np.full((1, 3), 0.5), 1 / 8),
    ],
)
def test_the_hypervolume_is_what_is_covered_above_zero(values, volume):
    assert hypervolume(values) == pytest.approx(volume)


@pytest.mark.parametrize(
    ("values", "utility"),
    [(CORNERS[:1], 0.5), (CORNERS, 0.75), (np.vstack([CORNERS, [[0.0, 0.0]]]), 0.75), (np.eye(3), 11 / 18)],
)
def test_the_utility_is_the_best_policys_on_average_over_the_weights(values, utility):
    """Of the largest of m uniform shares the mean is (1 + 1/2 + ... + 1/m) / m."""
    assert expected_utility(values) == pytest.approx(utility, abs=0.005)


def test_the_front_leaves_out_who_is_beaten_in_everything():
    assert front(STAIRS).tolist() == [[0.5, 0.5], [1.0, 0.2]]


def test_the_page_tells_both_measures_of_every_method(build):
    offers = (TradeOff("groups_id", ("speed", "thrift"), STAIRS), TradeOff("joint_id", ("speed", "thrift"), CORNERS))
    data = build(trade_offs=offers)
    html = render_page(data, draw_pictures(data))
    assert "The trade-off" in html and "<td>0.350</td>" in html and "<td>0.000</td>" in html
    (axes,) = trade_off_figure(data).axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("speed", "thrift")
    dots, line = axes.get_lines()[:2]
    assert (np.array(dots.get_data()).T == STAIRS).all() and (front(STAIRS) == np.array(line.get_data()).T).all()


def test_a_suite_without_a_trade_off_has_no_word_of_it(data):
    assert "trade-off" not in render_page(data, draw_pictures(data))
