"""Nothing leaves the output gate that is not finite, beyond the limits, or a jump."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pgx_core.observation import limit_rate
from pgx_core.serving.output import OutputGate, SafeCommands

TYPES = ("position", "velocity", "effort")
ANYTHING = arrays(np.float64, 3, elements=st.floats() | st.sampled_from([1e300, -1e300]))
SHARES = arrays(np.float64, 3, elements=st.floats(0, 1))
SANE = arrays(np.float64, 3, elements=st.floats(-3, 3))


@pytest.fixture(scope="module")
def contracts(contents):
    """Three joints with limits and speeds of their own."""
    joints = [
        replace(joint, velocity_limit=1.0 + k, damping=0.5 * k, effort_limit=0.7)
        for k, joint in enumerate(contents.contract.joints)
    ]
    return {kind: replace(contents.contract, command_type=kind, joints=tuple(joints)) for kind in TYPES}


@given(kind=st.sampled_from(TYPES), wanted=ANYTHING, share=SHARES, driven=st.booleans())
def test_whatever_is_wanted_what_comes_out_is_finite_within_the_limits_and_no_jump(
    contracts, kind, wanted, share, driven
):
    gate = OutputGate(contracts[kind], blend_ticks=10)
    previous = gate.lower + share * (gate.upper - gate.lower)
    with np.errstate(over="ignore"):
        admitted = gate.admit(wanted, previous, driven)
    assert np.isfinite(admitted).all()
    assert ((gate.lower <= admitted) & (admitted <= gate.upper)).all()
    if kind == "position":
        assert (np.abs(admitted - previous) <= np.array([1.0, 2.0, 3.0]) / 50.0 + 1e-12).all()
    elif not driven:
        assert (np.abs(admitted - previous) <= (gate.upper - gate.lower) / 10 + 1e-12).all()
    if not np.isfinite(wanted).all():
        np.testing.assert_array_equal(admitted, previous)
    assert admitted is not previous and admitted is not wanted, "aliased"


@given(previous=SHARES, wanted=SANE)
def test_position_commands_are_limited_as_in_training(contracts, previous, wanted):
    gate, contract = OutputGate(contracts["position"], 10), contracts["position"]
    previous = gate.lower + previous * (gate.upper - gate.lower)
    expected = np.clip(limit_rate(contract, previous, wanted), gate.lower, gate.upper)
    np.testing.assert_allclose(gate.admit(wanted, previous, driven=True), expected, atol=1e-12)


@pytest.mark.parametrize("kind", ["velocity", "effort"])
def test_other_commands_of_a_policy_are_its_own_within_the_limits(contracts, kind):
    gate = OutputGate(contracts[kind], 10)
    np.testing.assert_array_equal(gate.admit(gate.upper, gate.lower, driven=True), gate.upper)


def test_every_clamped_joint_is_counted_and_no_other(contracts):
    gate = OutputGate(contracts["position"], 10)
    start = np.array([0.0, 0.1, 0.2])
    assert (gate.admit(start, start, True) == start).all() and gate.clamps == 0
    gate.admit(start + np.array([0.0, 0.03, 0.0]), start, True)
    assert gate.clamps == 0, "2 m/s at 50 Hz"
    gate.admit(start + np.array([0.03, 0.03, 1.0]), start, True)
    assert gate.clamps == 2
    gate.admit(np.array([0.0, np.nan, 0.0]), start, True)
    assert gate.clamps == 5
    gate.admit(gate.upper + 1e-3, gate.upper, True)
    assert gate.clamps == 8


PREVIOUS, POSITIONS, VELOCITIES = np.array([0.1, 0.2, 0.3]), np.array([1.0, 2.0, 3.0]), np.array([1.0, -1.0, 9.0])


def test_safe_commands_are_those_of_the_table(contracts):
    safe = {kind: SafeCommands(contract) for kind, contract in contracts.items()}
    for kind, hold, damp, blind in (
        ("position", PREVIOUS, POSITIONS, PREVIOUS),
        ("velocity", 0 * PREVIOUS, 0 * PREVIOUS, 0 * PREVIOUS),
        ("effort", 0 * PREVIOUS, [0.0, 0.5, -0.7], 0 * PREVIOUS),  # -damping * velocity within 0.7
    ):
        np.testing.assert_allclose(safe[kind].hold(PREVIOUS), hold)
        np.testing.assert_allclose(safe[kind].damp(PREVIOUS, POSITIONS, VELOCITIES), damp, atol=1e-12)
        np.testing.assert_allclose(safe[kind].damp(PREVIOUS, None, None), blind)
