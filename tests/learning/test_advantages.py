"""Generalised advantages against their definition, and their normalisation per objective."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pgx_core.learning.advantages import generalised_advantages, normalise_per_objective
from pgx_core.learning.layout import Member, make_layout
from pgx_core.learning.network import objective_one_hot

T = 7
reals = arrays(np.float64, T, elements=st.floats(-10, 10))
flags = arrays(np.bool_, T)
factors = st.floats(0.0, 1.0)


def by_definition(rewards, values, next_values, terminated, ended, discount, trace):
    """Schulman et al. 2016, eq. 16: the exponentially weighted mean of the n-step advantages, step by step."""
    advantages = []
    for t in range(T):
        last = next((k for k in range(t, T) if ended[k]), T - 1)  # the last step of t's episode that was seen
        n_step = []
        for n in range(1, last - t + 2):
            end = t + n - 1
            beyond = 0.0 if terminated[end] else next_values[end]
            paid = sum(discount**k * rewards[t + k] for k in range(n))
            n_step.append(paid + discount**n * beyond - values[t])
        # lambda^(n-1) (1 - lambda) on each, and all the rest of the weight on the longest.
        weights = [trace**k * (1.0 - trace) for k in range(len(n_step) - 1)] + [trace ** (len(n_step) - 1)]
        advantages.append(sum(w * a for w, a in zip(weights, n_step, strict=True)))
    return advantages


@given(reals, reals, reals, flags, flags, factors, factors)
def test_advantages_follow_the_definition(rewards, values, finals, terminated, truncated, discount, trace):
    ended = terminated | truncated
    # Inside an episode the state after a step is the state before the next.
    next_values = np.where(ended | (np.arange(T) == T - 1), finals, np.roll(values, -1))
    columns = (rewards, values, next_values, terminated, ended)
    came = generalised_advantages(*map(torch.from_numpy, columns), discount, trace)
    np.testing.assert_allclose(came, by_definition(*columns, discount, trace), atol=1e-9)


def test_columns_of_a_batch_do_not_mix():
    torch.manual_seed(0)
    columns = [torch.randn(T, 3, 4) for _ in range(3)] + [torch.rand(T, 3, 4) > 0.7]
    columns.append(columns[-1] | (torch.rand(T, 3, 4) > 0.7))
    whole = generalised_advantages(*columns, 0.9, 0.8)
    one = generalised_advantages(*(column[:, 1, 2] for column in columns), 0.9, 0.8)
    torch.testing.assert_close(whole[:, 1, 2], one)


@pytest.mark.parametrize("trace", [0.0, 0.5, 1.0])
def test_a_time_limit_costs_nothing_and_a_termination_all_that_lay_beyond(trace):
    """Reward 1 for ever is worth 1 / (1 - gamma): a perfect critic finds no surprise in running out of time."""
    value = torch.full((T,), 1.0 / (1.0 - 0.9))
    last = torch.arange(T) == T - 1
    never = torch.zeros(T, dtype=torch.bool)
    truncated = generalised_advantages(torch.ones(T), value, value, never, last, 0.9, trace)
    torch.testing.assert_close(truncated, torch.zeros(T), atol=1e-5, rtol=0)
    terminated = generalised_advantages(torch.ones(T), value, value, last, last, 0.9, trace)
    assert terminated[-1].item() == pytest.approx(1.0 - 10.0, abs=1e-5)


LAYOUT = make_layout((Member((0, 1, 2), False, 6), Member((2,), True, 2)))
MEMBERSHIP = (objective_one_hot(LAYOUT.slot_objectives, 4) * LAYOUT.mask.unsqueeze(-1)).double()


@given(arrays(np.float64, (5, *LAYOUT.mask.shape), elements=st.floats(-1e3, 1e3)))
def test_each_policy_sees_each_of_its_objectives_centred_and_scaled(advantages):
    normal = normalise_per_objective(torch.from_numpy(advantages), MEMBERSHIP).numpy()
    for policy, objective in ((0, 0), (0, 1), (0, 2), (1, 2)):
        slots = MEMBERSHIP[policy, :, objective].bool().numpy()
        came, given = normal[:, policy, slots], advantages[:, policy, slots]
        if given.std() > 1e-3:  # equal advantages leave only rounding errors to scale
            np.testing.assert_allclose(came, (given - given.mean()) / given.std(), atol=1e-4)
            assert abs(came.mean()) < 1e-6 and came.std() == pytest.approx(1.0, abs=1e-4)
    assert (normal[:, LAYOUT.mask.numpy() == 0] == 0.0).all()


def test_empty_slots_change_nothing():
    torch.manual_seed(0)
    advantages = torch.randn(5, *LAYOUT.mask.shape, dtype=torch.float64)
    polluted = advantages + 1e6 * (1 - LAYOUT.mask)
    assert torch.equal(normalise_per_objective(polluted, MEMBERSHIP), normalise_per_objective(advantages, MEMBERSHIP))


def test_an_objective_without_any_advantage_stays_at_zero():
    normal = normalise_per_objective(torch.full((5, *LAYOUT.mask.shape), 3.0).double(), MEMBERSHIP)
    assert (normal == 0.0).all()
