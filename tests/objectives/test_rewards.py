"""Each reward primitive at points where its value is known, and its bounds everywhere."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pgx_core.objectives.rewards import action_rate, action_size, level, still, track
from pgx_core.objectives.state import State

speeds = arrays(np.float64, 5, elements=st.floats(-1e6, 1e6)).map(torch.from_numpy)
actions = arrays(np.float64, (3, 4), elements=st.floats(-1, 1)).map(torch.from_numpy)


def make_state(action, previous):
    n = len(action)
    zeros = torch.zeros(n)
    return State(zeros, zeros[:, None], zeros[:, None], action, previous, zeros[:, None], {"speed": slice(0, 1)})


@pytest.mark.parametrize(
    ("achieved", "target", "expected"),
    [(2.0, 2.0, 1.0), (0.0, 2.0, 0.0), (1.0, 2.0, 0.5), (4.0, 2.0, 0.0), (3.0, 2.0, 0.5), (-2.0, 2.0, -1.0),
     (-9.0, 2.0, -1.0), (-3.0, -3.0, 1.0), (3.0, -3.0, -1.0), (99.0, 2.0, -1.0)],
)  # fmt: skip
def test_track_at_known_points(achieved, target, expected):
    assert track(torch.tensor([achieved]), target).item() == pytest.approx(expected)


@given(speeds, st.floats(0.01, 100.0))
def test_track_is_bounded_mirrored_and_cancels_between_opposite_targets_near_rest(achieved, target):
    reward = track(achieved, target)
    assert ((reward >= -1.0) & (reward <= 1.0)).all()
    torch.testing.assert_close(track(-achieved, -target), reward)
    slow = achieved.clip(-target, target)
    torch.testing.assert_close(track(slow, target) + track(slow, -target), torch.zeros_like(slow), atol=1e-9, rtol=0)


def test_tracking_zero_is_refused():
    with pytest.raises(ValueError, match="other than 0"):
        track(torch.ones(2), 0.0)


@pytest.mark.parametrize(("achieved", "expected"), [(0.0, 1.0), (0.25, 0.5), (-0.25, 0.5), (0.5, 0.0), (-7.0, 0.0)])
def test_still_at_known_points(achieved, expected):
    assert still(torch.tensor([achieved]), 0.5).item() == pytest.approx(expected)


@given(speeds, st.floats(0.01, 100.0))
def test_still_is_bounded(achieved, tolerance):
    reward = still(achieved, tolerance)
    assert ((reward >= 0.0) & (reward <= 1.0)).all()


@given(actions, actions)
def test_action_terms_are_bounded_and_exact(action, previous):
    state = make_state(action, previous)
    rate, size = action_rate(state, {}), action_size(state, {})
    for row in range(3):
        pairs = list(zip(action[row].tolist(), previous[row].tolist(), strict=True))
        assert rate[row].item() == pytest.approx(-sum((a - b) ** 2 for a, b in pairs) / 4)
        assert size[row].item() == pytest.approx(-sum(a * a for a, _ in pairs) / 4)
    assert ((rate >= -4.0) & (rate <= 0.0) & (size >= -1.0) & (size <= 0.0)).all()


def test_the_worst_action_terms():
    ones = torch.ones(1, 4)
    assert action_rate(make_state(ones, -ones), {}).item() == -4.0
    assert action_size(make_state(ones, ones), {}).item() == -1.0


@given(st.floats(-np.pi, np.pi), st.floats(-np.pi, np.pi))
def test_level_is_the_cosine_of_the_tilt_minus_one_in_every_heading(tilt, heading):
    turn = torch.tensor([[np.cos(tilt / 2), np.sin(tilt / 2) * np.cos(heading), np.sin(tilt / 2) * np.sin(heading), 0]])
    assert level(turn).item() == pytest.approx(np.cos(tilt) - 1.0, abs=1e-9)
    yaw = torch.tensor([[np.cos(heading / 2), 0.0, 0.0, np.sin(heading / 2)]])
    assert level(yaw).item() == 0.0


def test_a_missing_sensor_names_those_there_are():
    state = make_state(torch.zeros(2, 1), torch.zeros(2, 1))
    assert state.sensor("speed").shape == (2, 1)
    with pytest.raises(KeyError, match=r"no sensor 'sped' .*it has: speed"):
        state.sensor("sped")
