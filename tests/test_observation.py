"""One definition of observation and command: numpy and torch agree, and nothing is filled in."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pgx_core.contract import SOURCES, JointContract, ObservationTerm, PolicyContract
from pgx_core.observation import Readings, decode_action, limit_rate, observe, projected_gravity

SIZES = {"projected_gravity": 3, "angular_velocity": 3, "linear_velocity": 3, "objective": 4, "sensor:touch": 5}
READ_FROM = {"projected_gravity": "orientation", "sensor:touch": "sensors"}


def joint(k):
    return JointContract(f"j{k}", 0.1 * k, 0.5 + k, -0.4, 0.9, None, None, 1.0 + k, 10.0, 20.0, 1.0)


CONTRACT = PolicyContract(
    robot="arm",
    control_rate=50.0,
    command_type="position",
    joints=(joint(0), joint(1)),
    observation=tuple(
        ObservationTerm(source, SIZES.get(source, 2), scale=1.0 + k)
        for k, source in enumerate((*SOURCES, "sensor:touch"))
    ),
    safe_state="hold",
    maximum_tilt=None,
)


def make_readings(batch=(), seed=0):
    random = np.random.default_rng(seed)
    quaternion = random.normal(size=(*batch, 4))
    return Readings(
        joint_positions=random.normal(size=(*batch, 2)),
        joint_velocities=random.normal(size=(*batch, 2)),
        last_action=random.normal(size=(*batch, 2)),
        orientation=quaternion / np.linalg.norm(quaternion, axis=-1, keepdims=True),
        angular_velocity=random.normal(size=(*batch, 3)),
        linear_velocity=random.normal(size=(*batch, 3)),
        objective=random.normal(size=(*batch, 4)),
        sensors={"touch": random.normal(size=(*batch, 5))},
    )


def to_torch(readings):
    values = {f.name: getattr(readings, f.name) for f in fields(readings)}
    sensors = {name: torch.tensor(value) for name, value in values.pop("sensors").items()}
    return Readings(**{name: torch.tensor(value) for name, value in values.items()}, sensors=sensors)


def join_numpy(blocks):
    return np.concatenate(blocks, -1)


def join_torch(blocks):
    return torch.cat(blocks, -1)


@pytest.mark.parametrize("batch", [(), (7,), (2, 3)])
def test_numpy_and_torch_and_every_row_of_a_batch_agree(batch):
    readings = make_readings(batch)
    observation = observe(CONTRACT, readings, join_numpy)
    assert observation.shape == (*batch, CONTRACT.observation_size)
    np.testing.assert_allclose(observe(CONTRACT, to_torch(readings), join_torch), observation, atol=1e-12)
    if batch == (7,):
        rows = [
            Readings(
                **{f.name: getattr(readings, f.name)[k] for f in fields(readings) if f.name != "sensors"},
                sensors={"touch": readings.sensors["touch"][k]},
            )
            for k in range(7)
        ]
        np.testing.assert_array_equal([observe(CONTRACT, row, join_numpy) for row in rows], observation)


def test_each_block_is_its_reading_times_its_scale():
    readings = make_readings()
    expected = {
        "joint_positions": readings.joint_positions - [0.0, 0.1],
        "projected_gravity": projected_gravity(readings.orientation),
        "sensor:touch": readings.sensors["touch"],
    }
    start, observation = 0, observe(CONTRACT, readings, join_numpy)
    for term in CONTRACT.observation:
        block = expected.get(term.source, getattr(readings, term.source, None))
        np.testing.assert_allclose(observation[start : start + term.size], block * term.scale, atol=1e-12)
        start += term.size


@pytest.mark.parametrize("term", CONTRACT.observation, ids=lambda term: term.source)
def test_a_missing_or_misshapen_reading_names_its_term(term):
    readings = make_readings()
    name = READ_FROM.get(term.source, term.source)
    wrong = [None, np.float64(1.0), np.zeros(6), np.zeros(1)]
    for value in wrong[:1] + (wrong[1:] if name != "orientation" else []):
        value = {"touch": value} if name == "sensors" else value
        with pytest.raises(ValueError, match=f"'{term.source}': expected size {term.size}"):
            observe(CONTRACT, replace(readings, **{name: value}), join_numpy)


@pytest.mark.parametrize("source", ["joint_position", "orientation", "sensors", "sensor:none", ""])
def test_an_unknown_term_is_an_error(source):
    contract = replace(CONTRACT, observation=(ObservationTerm(source, 4),))
    with pytest.raises(ValueError, match=f"'{source}': expected size 4, got nothing"):
        observe(contract, make_readings(), join_numpy)


def test_an_observation_is_a_new_array_and_leaves_the_readings_alone():
    readings, before = make_readings(), make_readings()
    contract = replace(CONTRACT, observation=(ObservationTerm("joint_velocities", 2),))
    observe(contract, readings, join_numpy)[:] = np.nan
    observe(CONTRACT, readings, join_numpy)[:] = np.nan
    for f in fields(readings):
        np.testing.assert_equal(getattr(readings, f.name), getattr(before, f.name))


@given(arrays(np.float64, 4, elements=st.floats(-1, 1)).filter(lambda q: np.linalg.norm(q) > 0.1))
def test_projected_gravity_is_the_worlds_gravity_turned_into_the_base(quaternion):
    quaternion = quaternion / np.linalg.norm(quaternion)
    w, v = quaternion[0], quaternion[1:]
    cross = np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])
    rotation = np.eye(3) + 2 * w * cross + 2 * cross @ cross  # Rodrigues: base to world
    expected = rotation.T @ [0, 0, -1]
    np.testing.assert_allclose(projected_gravity(quaternion), expected, atol=1e-12)
    np.testing.assert_allclose(projected_gravity(torch.tensor(quaternion)), expected, atol=1e-12)


def test_a_robot_that_leans_forward_feels_gravity_in_front():
    half = np.deg2rad(30) / 2
    leaning = np.array([np.cos(half), 0, np.sin(half), 0])  # nose down about y
    np.testing.assert_allclose(projected_gravity(leaning), [0.5, 0, -np.sqrt(0.75)], atol=1e-12)


def command_oracle(action):
    """Joint by joint, in plain Python."""
    return [
        min(max(j.default + j.scale * min(max(a, -1.0), 1.0), j.lower), j.upper)
        for j, a in zip(CONTRACT.joints, action, strict=True)
    ]


@given(arrays(np.float64, 2, elements=st.floats(-1e6, 1e6)))
def test_commands_follow_the_contract(action):
    np.testing.assert_allclose(decode_action(CONTRACT, action), command_oracle(action.tolist()), atol=1e-12)
    np.testing.assert_allclose(
        decode_action(CONTRACT, torch.tensor(action)), decode_action(CONTRACT, action), atol=1e-12
    )


def test_nan_is_never_turned_into_a_command():
    for array in (np.array([np.nan, 0.0]), torch.tensor([torch.nan, 0.0])):
        assert np.isnan(float(decode_action(CONTRACT, array)[0]))
        assert np.isnan(float(limit_rate(CONTRACT, 0 * array[1:].repeat(2), array)[0]))


@given(*[arrays(np.float64, 2, elements=st.floats(-10, 10))] * 2)
def test_position_commands_move_no_faster_than_the_joints(previous, command):
    limited = limit_rate(CONTRACT, previous, command)
    reach = np.array([1.0, 2.0]) / 50.0
    moved = np.abs(limited - previous)
    assert (moved <= reach + 1e-12).all()
    assert (np.abs(limited - command) <= np.abs(previous - command) + 1e-12).all()
    near = np.abs(command - previous) <= reach
    np.testing.assert_allclose(limited[near], command[near], atol=1e-12)
    np.testing.assert_allclose(limit_rate(CONTRACT, torch.tensor(previous), torch.tensor(command)), limited, atol=1e-12)


@pytest.mark.parametrize("command_type", ["velocity", "effort"])
def test_other_commands_have_no_rate_limit(command_type):
    contract = replace(CONTRACT, command_type=command_type)
    np.testing.assert_array_equal(limit_rate(contract, np.zeros(2), np.full(2, 9.0)), [9.0, 9.0])
