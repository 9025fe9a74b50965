"""A robot that falls or runs away is noticed, and one that does not is left alone."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pgx_core.observation import projected_gravity
from pgx_core.serving.hazards import LAG_S, Hazards
from pgx_core.serving.inputs import Inputs


@pytest.fixture(scope="module")
def hazards(contents):
    return Hazards(replace(contents.contract, maximum_tilt=1.0), overspeed=3.0)


@given(quaternion=arrays(np.float64, 4, elements=st.floats(-1, 1)).filter(lambda q: np.linalg.norm(q) > 0.1))
def test_the_tilt_is_the_angle_of_gravity_whatever_the_heading(hazards, quaternion):
    quaternion = quaternion / np.linalg.norm(quaternion)
    tilt = math.acos(min(1.0, max(-1.0, -projected_gravity(quaternion)[2])))
    if abs(tilt - 1.0) > 1e-6:
        assert bool(hazards.find(Inputs("", orientation=quaternion))) == (tilt > 1.0)


def test_a_fall_is_told_in_radians(hazards, contents):
    on_its_side = Inputs("", orientation=np.array([math.sqrt(0.5), math.sqrt(0.5), 0.0, 0.0]))
    assert hazards.find(on_its_side) == "the base leans by 1.57 rad, beyond 1"
    upside_down = Inputs("", orientation=1.005 * np.array([0.0, 1.0, 0.0, 0.0]))  # a norm the gate lets through
    assert hazards.find(upside_down) == "the base leans by 3.14 rad, beyond 1"
    assert Hazards(contents.contract, 3.0).find(upside_down) == "", "not watched"


@pytest.mark.parametrize(("speed", "found"), [(5.9, False), (-5.9, False), (6.1, True), (-6.1, True), (3e38, True)])
def test_a_joint_beyond_three_times_its_limit_is_named(hazards, speed, found):
    reason = hazards.find(Inputs("", velocities=np.array([0.0, speed, 5.0])))
    assert bool(reason) == found
    assert not found or (reason.startswith("joint 'joint_1' moves at ") and reason.endswith("faster than 6"))


def test_what_is_not_fresh_shows_no_danger(hazards):
    assert hazards.find(Inputs("imu: nothing has come yet")) == ""


def test_a_joint_that_stays_far_from_its_command_is_named(contents):
    hazards = Hazards(contents.contract, 3.0, following_error=0.5)
    most = round(LAG_S * contents.contract.control_rate)
    near, far = np.zeros(contents.contract.action_size), np.zeros(contents.contract.action_size)
    far[1] = -0.51
    command = np.zeros(contents.contract.action_size)
    assert [hazards.find(Inputs("", positions=far), command) for _ in range(most)] == [""] * most
    assert hazards.find(Inputs("", positions=near), command) == "", "it came"
    reasons = [hazards.find(Inputs("", positions=far), command) for _ in range(most + 1)]
    assert reasons == [""] * most + ["joint 'joint_1' stays 0.51 from its command: has it power, is it held?"]
    assert hazards.find(Inputs("", positions=far), None) == "", "nothing is commanded"
    assert hazards.find(Inputs("", positions=far), command) == "", "it is counted anew"


@pytest.mark.parametrize(("command_type", "limit"), [("position", 0.0), ("velocity", 0.5), ("effort", 0.5)])
def test_a_joint_need_not_follow_where_nobody_asks_or_it_is_no_position(contents, command_type, limit):
    hazards = Hazards(replace(contents.contract, command_type=command_type), 3.0, limit)
    command = np.full(contents.contract.action_size, 9.0)
    assert not any(hazards.find(Inputs("", positions=0.0 * command), command) for _ in range(200))
