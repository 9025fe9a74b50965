"""What is measured of a switch, on signals whose answer is known by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pgx_core.errors import ConfigError
from pgx_core.export.card import with_section
from pgx_core.switching.measure import fall_interval
from pgx_core.switching.steady import learn_steady, settling_time, smooth
from pgx_core.switching.trial import SwitchConfig

RATE = 10.0


def step(at, ticks=80):
    """A signal of 0 that becomes 1 at a tick."""
    return (np.arange(ticks) >= at).astype(float)[:, None]


def test_windows_are_means() -> None:
    rows = np.random.default_rng(0).normal(size=(30, 2))
    slow = [rows[k : k + 10].mean(0) for k in range(21)]
    np.testing.assert_allclose(smooth(rows, RATE), slow, atol=1e-12)


@pytest.mark.parametrize("at", [0, 5, 30])
def test_a_step_has_settled_a_window_after_it(at) -> None:
    steady = learn_steady([np.ones((80, 1))], RATE)
    assert steady.limit == 1.0  # 0.1 off is steady: 9 of the window's 10 ticks
    assert settling_time(step(at), steady, RATE) == pytest.approx(max(1.0, (at + 9) / RATE))


def test_what_leaves_the_steady_state_again_has_not_settled() -> None:
    steady = learn_steady([np.ones((80, 1))], RATE)
    assert settling_time(1.0 - step(75), steady, RATE) == math.inf


@pytest.mark.parametrize(
    ("falls", "tried", "low", "high"), [(0, 36, 0.0, 0.0973), (1, 50, 0.0005, 0.1065), (0, 0, 0, 1)]
)
def test_the_interval_is_that_of_clopper_and_pearson(falls, tried, low, high) -> None:
    assert fall_interval(falls, tried) == pytest.approx((low, high), abs=1e-4)


def test_a_section_of_the_card_is_put_in_its_place_and_replaced() -> None:
    card = "# robot\n\nwords\n\n## Limits\n\nmany\n"
    once = with_section(card, "Switches", "first", before="Limits")
    assert once == "# robot\n\nwords\n\n## Switches\n\nfirst\n\n## Limits\n\nmany\n"
    assert with_section(once, "Switches", "second", before="Limits") == once.replace("first", "second")


def test_a_setting_out_of_range_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"^episodes: expected"):
        SwitchConfig(episodes=0)
