"""What is measured of a switch, on signals whose answer is known by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from pgx_core.contract import JointContract, PolicyContract
from pgx_core.errors import ConfigError
from pgx_core.export.card import with_section
from pgx_core.switching.measure import fall_interval, peak_change, summarise
from pgx_core.switching.steady import learn_steady, settling_time, smooth
from pgx_core.switching.trial import SwitchConfig, Trial

RATE = 10.0
JOINT = JointContract("a", 0.0, 1.0, -1.0, 1.0, None, None, 2.0, 10.0, 1.0, 1.0)
CONTRACT = PolicyContract("one", RATE, "position", (JOINT,), (), "damp", None)


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


def trial(rows, commands=(0.0, 0.0), fell=""):
    return Trial(np.asarray(rows, float), np.array(commands, float)[:, None], fell, 0)


def test_a_pair_counts_the_switches_that_took_place_alone() -> None:
    steady = learn_steady([np.ones((80, 1))], RATE)
    fell_before, fell = trial(np.zeros((0, 1)), fell="tilt"), trial(np.zeros((9, 1)), fell="tilt")
    settled = [trial(step(at), (0.0, 0.1)) for at in (0, 5)]
    pair = summarise(("a", "b"), [fell_before, fell, *settled], steady, CONTRACT, SwitchConfig())
    assert (pair.episodes, pair.falls) == (3, 1)
    assert (pair.low, pair.high) == fall_interval(1, 3)
    assert pair.peak == pytest.approx(0.5), "0.1 rad of the 0.2 that 2 rad/s allow in a tick"
    assert pair.settling_s == pytest.approx(1.4), "the slower of the two that did not fall"
    never = summarise(("a", "b"), [*settled, trial(np.zeros((80, 1)))], steady, CONTRACT, SwitchConfig())
    assert never.settling_s is None


def test_of_all_joints_and_ticks_the_largest_change_counts_of_a_force_as_a_share_of_its_range() -> None:
    commands = np.array([[0.0], [0.1], [-0.1]])
    assert peak_change(commands, CONTRACT) == pytest.approx(1.0)
    assert peak_change(commands, replace(CONTRACT, command_type="effort")) == pytest.approx(0.1)


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
