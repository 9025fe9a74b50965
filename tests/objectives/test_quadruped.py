"""The quadruped's terms at known points; its objectives are what their names say."""

from __future__ import annotations

import pytest
import torch

from pgx_core.objectives import quadruped as q
from pgx_core.objectives.state import State

SENSORS = {"orientation": 4, "linear_velocity": 3, "angular_velocity": 3}
SENSORS |= {
    f"{leg}_{kind}": size for kind, size in (("contact", 1), ("velocity", 3), ("position", 3)) for leg in q.LEGS
}
SENSORS |= dict.fromkeys(q.TORQUES, 1)
AHEAD = {"velocity": 0.5, "lateral": 0.0, "turn": 0.0}


def state(height=0.29, hips=q.HIPS, touch_time=(0.0,) * 4, **readings):
    """One world at rest and level, but for what is given."""
    qpos = torch.zeros(1, 19)
    qpos[0, 2], qpos[0, 7::3] = height, torch.tensor(hips)
    values = {name: [0.0] * size for name, size in SENSORS.items()} | {"orientation": [1.0, 0.0, 0.0, 0.0]}
    values |= readings
    slices, at = {}, 0
    for name, size in SENSORS.items():
        slices[name], at = slice(at, at + size), at + size
    data = torch.tensor([[x for name in SENSORS for x in values[name]]])
    zeros = torch.zeros(1, 12)
    return State(torch.zeros(1), qpos, torch.zeros(1, 18), zeros, zeros, data, slices, torch.tensor([touch_time]))


@pytest.mark.parametrize(("velocity", "score"), [(0.5, 1.0), (0.0, 0.0), (0.25, 0.5), (1.0, 0.0), (-3.0, -1.0)])
def test_walking_is_scored_by_the_share_of_the_commanded_velocity(velocity, score):
    moving = state(linear_velocity=[velocity, 0.0, 0.0])
    assert q.walked(moving, AHEAD).item() == pytest.approx(score, abs=1e-6)
    assert (q.walk(moving, AHEAD).item() == pytest.approx(1.0)) == (score == 1.0)


@pytest.mark.parametrize(("rate", "score"), [(0.8, 1.0), (0.0, 0.0), (-0.8, -1.0)])
def test_turning_is_scored_by_the_share_of_the_commanded_rate(rate, score):
    command = {"velocity": 0.0, "lateral": 0.0, "turn": 0.8}
    turning = state(angular_velocity=[0.0, 0.0, rate])
    assert q.turned(turning, command).item() == pytest.approx(score, abs=1e-6)
    assert (q.turn(turning, command).item() == pytest.approx(1.0)) == (score == 1.0)


def test_a_stance_wants_its_height_and_rest():
    command = {"velocity": 0.0, "lateral": 0.0, "turn": 0.0, "height": 0.23}
    assert q.hold_height(state(0.23), command).item() == pytest.approx(1.0)
    assert q.hold_height(state(0.29), command).item() < 0.3
    assert q.hold_height(state(0.23, linear_velocity=[0.3, 0.0, 0.0]), command).item() == pytest.approx(
        0.3679, abs=1e-3
    )


@pytest.mark.parametrize(
    ("bearing", "cost"),
    [(("FL", "RR"), 0.0), (("FR", "RL"), 0.0), (q.LEGS, -1.0), ((), -1.0), (("FL", "FR"), -1.0), (("FL",), -1.0)],
)
def test_a_trot_bears_on_one_diagonal_pair(bearing, cost):
    for speed, share in ((0.5, 1.0), (0.25, 0.25), (0.0, 0.0)):  # no gait is asked of a robot that stands
        contacts = {f"{leg}_contact": [40.0] for leg in bearing}
        walking = state(linear_velocity=[speed, 0.0, 0.0], **contacts)
        assert q.trot(walking, AHEAD).item() == pytest.approx(share * cost)


def test_feet_scuff_near_the_ground_alone():
    def swing(height):
        return state(FL_velocity=[1.0, 0.0, 0.0], FL_position=[0.0, 0.0, height + q.FOOT_RADIUS])

    assert [q.scuff(swing(h), AHEAD).item() for h in (0.0, 0.04, 0.08, 0.2)] == pytest.approx([-0.25, -0.125, 0.0, 0.0])


def test_a_foot_dawdles_after_a_step_in_the_air_or_on_the_ground():
    for times, cost in (((0.3, -0.3, 0.1, 0.0), 0.0), ((0.6, 0.0, 0.0, 0.0), -0.25), ((-9.0, 9.0, 0.45, 0.0), -0.625)):
        walking = state(touch_time=times, linear_velocity=[0.5, 0.0, 0.0])
        assert q.dawdle(walking, AHEAD).item() == pytest.approx(cost, abs=1e-6)
        assert q.dawdle(state(touch_time=times), AHEAD).item() == 0.0


def test_the_other_costs_are_nothing_at_rest_and_bounded():
    rest = state(linear_velocity=[0.5, 0.0, 0.0])
    wild = state(
        2.0, (9.0,) * 4, linear_velocity=[9.0, 9.0, 9.0], angular_velocity=[9.0, 9.0, 9.0],
        orientation=[0.0, 1.0, 0.0, 0.0],
    )  # fmt: skip
    for term, lowest in ((q.drift, -1), (q.bounce, -1), (q.stoop, -1), (q.splay, -1), (q.upright, -2)):
        assert term(rest, AHEAD).item() == pytest.approx(0.0, abs=1e-6)
        assert term(wild, AHEAD).item() == pytest.approx(lowest, abs=1e-3)
    assert q.effort(state(**{name: [5.0] for name in q.TORQUES}), AHEAD).item() == pytest.approx(-0.25)


def test_a_robot_on_its_side_or_its_belly_has_fallen():
    leaning = torch.tensor(0.6)  # rad, half the angle
    quaternion = [leaning.cos().item(), leaning.sin().item(), 0.0, 0.0]
    assert [bool(q.fallen(s, AHEAD)) for s in (state(), state(0.1), state(orientation=quaternion))] == [0, 1, 1]


@pytest.mark.parametrize("objective", q.SUITE.objectives, ids=q.SUITE.names)
def test_commands_are_what_the_names_say(objective):
    key, sign = {
        "forward": ("velocity", 1), "backward": ("velocity", -1), "left": ("lateral", 1), "right": ("lateral", -1),
        "turn_left": ("turn", 1), "turn_right": ("turn", -1),
    }.get(objective.name.removesuffix("_slow").removesuffix("_fast").removesuffix("_laden").removesuffix("_weak"),
          ("height", 1))  # fmt: skip
    assert sign * objective.command[key] > 0.0
    assert all(value == 0.0 for other, value in objective.command.items() if other != key)
    assert (objective.physics.mass > 1.0) == objective.name.endswith("laden")
    assert (objective.physics.actuator_strength < 1.0) == objective.name.endswith("weak")
