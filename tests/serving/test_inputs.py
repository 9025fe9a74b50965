"""The input gate takes what is whole, finite, in order and fresh, and says what is wrong with everything else."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgx_core.contract import ObservationTerm
from pgx_core.serving import Instant, ServingConfig
from pgx_core.serving.inputs import InputGate

NOW = Instant(monotonic=50.0, ros=1000.0)
CONFIG = ServingConfig(joint_state_age_s=0.1, imu_age_s=0.1, sensor_age_s=0.2, odometry_age_s=0.2, future_s=0.05)
NAMES = ["joint_0", "joint_1", "joint_2"]
LEVEL, STILL = [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0]


def later(seconds, ros=None):
    return Instant(NOW.monotonic + seconds, NOW.ros + (seconds if ros is None else ros))


@pytest.fixture
def contract(contents):
    return contents.contract


@pytest.fixture
def gate(contract):
    return InputGate(contract, CONFIG)


def fill(gate, now=NOW):
    assert gate.joint_state(NAMES, [1, 2, 3], [4, 5, 6], now.ros, now) == ""
    assert gate.imu(LEVEL, STILL, now.ros, now) == ""
    assert gate.sensor("touch", [7, 8], now.ros, now) == ""
    return gate


def test_the_contract_says_which_inputs_are_required(contract):
    def required(*sources):
        terms = tuple(ObservationTerm(source, 3) for source in sources)
        return InputGate(replace(contract, observation=terms), CONFIG).required

    assert InputGate(contract, CONFIG).required == ("joint_states", "imu", "sensor:touch")
    assert required("last_action") == ("joint_states",), "holding and damping need the joints"
    assert required("projected_gravity") == required("angular_velocity") == ("joint_states", "imu")
    assert required("linear_velocity", "sensor:a", "sensor:b") == ("joint_states", "odometry", "sensor:a", "sensor:b")


@given(order=st.permutations(["joint_0", "joint_1", "joint_2", "gripper", "", "lid"]))
def test_joints_are_found_by_name_in_any_order_among_others(contents, order):
    gate, number = InputGate(contents.contract, CONFIG), {name: k for k, name in enumerate(order)}
    for names in (order, order[::-1]):  # a second message may come in another order than the first
        positions = [10.0 * number[name] for name in names]
        assert gate.joint_state(names, positions, np.array(positions) + 1, NOW.ros, NOW) == ""
        inputs = gate.read(NOW)
        np.testing.assert_array_equal(inputs.positions, [10.0 * number[name] for name in NAMES])
        np.testing.assert_array_equal(inputs.velocities, inputs.positions + 1)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["joint_0", "joint_2"], "joint joint_1 is missing; it has: joint_0, joint_2"),
        ([], "joint joint_0, joint_1, joint_2 is missing; it has: none"),
        (["", "", ""], "is missing"),
        ([*NAMES, "joint_1"], "joint 'joint_1' occurs twice"),
        (None, "expected numbers"),
        ([None, 3, "joint_0"], "joint_1, joint_2 is missing"),
        (NAMES[0], "is missing"),
    ],
)
def test_a_joint_that_is_missing_or_repeated_is_named(gate, names, words):
    n = len(names or ())
    assert words in gate.joint_state(names, [0.0] * n, [0.0] * n, NOW.ros, NOW)
    assert gate.read(NOW).positions is None


BAD = {
    "NaN": ([0.0, math.nan, 0.0], "not finite"),
    "infinite": ([0.0, -math.inf, 0.0], "not finite"),
    "beyond float32": ([0.0, 4e38, 0.0], "beyond float32"),
    "too short": ([0.0, 0.0], "expected 3 numbers, got the shape (2,)"),
    "too long": ([0.0] * 4, "expected 3 numbers, got the shape (4,)"),
    "empty": ([], "expected 3 numbers, got the shape (0,)"),
    "one number": (0.0, "got the shape ()"),
    "nested": ([[0.0, 0.0, 0.0]], "got the shape (1, 3)"),
    "ragged": ([[0.0], 0.0, 0.0], "expected numbers"),
    "none": (None, "expected 3 numbers"),
    "nones": ([None] * 3, "not finite"),
    "words": (["a", "b", "c"], "expected numbers"),
    "a whole number too large": ([0, 10**400, 0], "expected numbers"),
    "complex": ([1j, 0, 0], "expected numbers"),
}


def test_what_another_joint_says_is_no_matter(contract):
    gate = InputGate(contract, CONFIG)
    values = np.append(STILL, math.nan)
    assert gate.joint_state([*NAMES, "gripper"], values, values, NOW.ros, NOW) == ""
    assert "not finite" in gate.joint_state(["gripper", *NAMES], values, values, NOW.ros, NOW)


@pytest.mark.parametrize(("values", "words"), BAD.values(), ids=BAD)
def test_values_that_are_no_finite_numbers_are_refused_and_the_old_ones_stay(contract, values, words):
    terms = tuple(ObservationTerm(source, 3) for source in ("angular_velocity", "linear_velocity", "sensor:touch"))
    gate = InputGate(replace(contract, observation=terms), CONFIG)

    def calls(value):
        yield gate.joint_state(NAMES, value, STILL, NOW.ros, NOW)
        yield gate.joint_state(NAMES, STILL, value, NOW.ros, NOW)
        yield gate.imu(LEVEL, value, NOW.ros, NOW)
        yield gate.odometry(value, NOW.ros, NOW)
        yield gate.sensor("touch", value, NOW.ros, NOW)

    assert set(calls([1.0, 2.0, 3.0])) == {""}
    before = gate.read(NOW)
    for reason in calls(values):
        assert (words if values is not None else "measures none") in reason and "\n" not in reason
    np.testing.assert_equal(vars(gate.read(NOW)), vars(before))


@pytest.mark.parametrize("scale", [0.0, 0.9, 1.1, 1e6, math.nan])
def test_a_quaternion_must_have_norm_one(gate, scale):
    assert gate.imu([scale * x for x in (0.6, 0.0, 0.8, 0.0)], STILL, NOW.ros, NOW).startswith("orientation: ")
    assert gate.imu([0.6004, 0.0, 0.8004, 0.0], STILL, NOW.ros, NOW) == "", "drivers round"


def test_what_the_policies_do_not_observe_is_not_looked_at(contract):
    blind = InputGate(replace(contract, observation=(ObservationTerm("angular_velocity", 3),)), CONFIG)
    assert blind.imu(None, STILL, NOW.ros, NOW) == "", "an IMU without orientation"
    assert "angular_velocity" in blind.imu(LEVEL, None, NOW.ros, NOW)
    assert blind.odometry(STILL, NOW.ros, NOW) == ""
    assert blind.sensor("touch", [0.0], NOW.ros, NOW) == "unknown sensor 'touch'; known: none"


@pytest.mark.parametrize(
    ("stamp", "words"),
    [
        (NOW.ros + 0.051, "0.051 s in the future"),
        (NOW.ros - 0.101, "0.101 s old by its stamp, expected at most 0.1 s"),
        (0.0, "1000.000 s old by its stamp"),
        (-1e300, "old by its stamp"),
        (math.nan, "finite time"),
        (math.inf, "finite time"),
        (None, "expected numbers"),
        (NOW.ros + 0.049, ""),
        (NOW.ros - 0.099, ""),
    ],
)
def test_stamps_of_the_future_and_of_the_past_are_refused(gate, stamp, words):
    for reason in (gate.joint_state(NAMES, STILL, STILL, stamp, NOW), gate.imu(LEVEL, STILL, stamp, NOW)):
        assert words in reason and bool(reason) == bool(words)


def test_a_message_that_was_overtaken_is_refused_and_an_equal_stamp_is_not(gate):
    assert gate.sensor("touch", [1, 1], NOW.ros, NOW) == ""
    assert gate.sensor("touch", [2, 2], NOW.ros, later(0.01)) == ""
    assert "0.010 s before that of an earlier one" in gate.sensor("touch", [3, 3], NOW.ros - 0.01, later(0.02))
    assert gate.sensor("touch", [4, 4], NOW.ros + 0.01, later(0.02)) == ""


def test_readings_age_by_arrival_and_by_stamp(gate):
    fill(gate)
    assert gate.read(later(0.1 - 1e-6)).fault == ""
    assert gate.read(later(0.11, ros=0.0)).fault.startswith("joint_states: 0.110 s since it arrived")
    assert gate.read(later(0.0, ros=0.11)).fault.startswith("joint_states: 0.000 s since it arrived, 0.110 s since its")
    assert gate.read(later(0.0, ros=-0.06)).fault.startswith("joint_states: "), "a clock that went backward"
    assert gate.ages(later(0.25)) == pytest.approx({"joint_states": 0.25, "imu": 0.25, "sensor:touch": 0.25})


def test_each_input_has_its_own_limit_and_the_first_fault_is_told(gate):
    fill(gate)
    now = later(0.15)
    gate.joint_state(NAMES, STILL, STILL, now.ros, now)
    inputs = gate.read(now)
    assert inputs.fault.startswith("imu: 0.150 s since it arrived")
    assert inputs.orientation is None and inputs.angular_velocity is None
    np.testing.assert_array_equal(inputs.positions, STILL)
    np.testing.assert_array_equal(inputs.sensors["touch"], [7, 8])


@pytest.mark.parametrize("name", ["positions", "orientation"])
def test_a_sensor_may_have_the_name_of_another_reading(contents, name):
    terms = (*contents.contract.observation, ObservationTerm(f"sensor:{name}", 3))
    gate = InputGate(replace(contents.contract, observation=terms), CONFIG)
    fill(gate)
    assert gate.sensor(name, [7.0, 8.0, 9.0], NOW.ros, NOW) == ""
    inputs = gate.read(NOW)
    np.testing.assert_array_equal(inputs.sensors[name], [7.0, 8.0, 9.0])
    np.testing.assert_array_equal(inputs.positions, [1.0, 2.0, 3.0])
    assert inputs.orientation.shape == (4,)


def test_a_fault_tells_why_the_last_message_was_refused(gate):
    assert gate.read(NOW).fault == "joint_states: nothing has come yet"
    gate.joint_state(["joint_0"], [0.0], [0.0], NOW.ros, NOW)
    assert "nothing has come yet; the last one was refused: joint joint_1, joint_2 is missing" in gate.read(NOW).fault
    assert fill(gate).read(NOW).fault == ""


def test_forgotten_readings_must_come_again_with_whatever_stamps(gate):
    fill(gate)
    gate.forget()
    assert gate.read(NOW).fault == "joint_states: nothing has come yet"
    assert gate.ages(NOW) == {"joint_states": math.inf, "imu": math.inf, "sensor:touch": math.inf}
    assert fill(gate, Instant(NOW.monotonic, 3.0)).read(Instant(NOW.monotonic, 3.0)).fault == ""


def test_a_message_that_was_being_taken_when_all_was_forgotten_is_forgotten_too(gate):
    """Messages come on another thread."""

    class Names(list):
        def __iter__(self):
            gate.forget(before=NOW.ros + 0.01)
            return super().__iter__()

    fill(gate)
    assert gate.joint_state(Names(NAMES), STILL, STILL, NOW.ros, NOW) == ""
    assert gate.read(NOW).fault == "joint_states: nothing has come yet" and gate.read(NOW).positions is None
    gate.forget()
    assert fill(gate).read(NOW).fault == ""


def test_readings_are_the_gates_own(gate):
    mine = np.array([1.0, 2.0, 3.0])
    gate.joint_state(NAMES, mine, mine, NOW.ros, NOW)
    mine[:] = np.nan
    np.testing.assert_array_equal(gate.read(NOW).positions, [1.0, 2.0, 3.0])


ODD = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=3) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=6,
)


@given(names=ODD, values=st.tuples(ODD, ODD), stamp=ODD | st.floats(999.8, 1000.2))
def test_nothing_whatever_raises_or_is_read_unless_it_is_finite(contents, names, values, stamp):
    gate = InputGate(contents.contract, CONFIG)
    for reason in (
        gate.joint_state(names, *values, stamp, NOW),
        gate.joint_state(NAMES, *values, stamp, NOW),
        gate.imu(*values, stamp, NOW),
        gate.odometry(values[0], stamp, NOW),
        gate.sensor("touch", values[0], stamp, NOW),
        gate.sensor(str(names), values[0], stamp, NOW),
    ):
        assert isinstance(reason, str)
    inputs = gate.read(NOW)
    for value in (inputs.positions, inputs.velocities, inputs.orientation, *inputs.sensors.values()):
        assert value is None or np.isfinite(value).all()
