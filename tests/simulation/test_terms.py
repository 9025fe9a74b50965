"""A user's faulty term is named, with its objective, in one line."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch

from pgx_core.errors import SuiteError
from pgx_core.objectives.objective import Objective, Reward
from pgx_core.objectives.suites import TINY, slide
from pgx_core.simulation.simulation import Simulation, SimulationConfig


def simulate(objective):
    """One step of `tiny` with its third objective replaced."""
    objectives = (*TINY.objectives[:2], objective, TINY.objectives[3])
    simulation = Simulation(
        replace(TINY, objectives=objectives), torch.arange(4).repeat_interleave(3).numpy(), 0, SimulationConfig("fake")
    )
    simulation.reset()
    return simulation.step(torch.ones(simulation.n_worlds, 1))


def too_few(state, command):
    return torch.zeros(1)


def too_wide(state, command):
    return state.qvel


def plain_number(state, command):
    return 1.0


def not_a_number(state, command):
    return torch.full_like(state.time, torch.nan)


def infinite_somewhere(state, command):
    return 1.0 / (torch.arange(len(state.time)) - 1.0)


def raising(state, command):
    raise RuntimeError("first line\nsecond line")


def forgetful(state, command):
    return state.time * command["speed"]


def unaware(state, command):
    return state.sensor("gyro")[:, 0]


def generous(state, command, scale):
    return torch.full_like(state.time, scale)


FAULTS = [
    (too_few, r"must return a tensor of shape \(3,\), one value per world, and returned \(1,\)"),
    (too_wide, r"and returned \(3, 1\)"),
    (plain_number, "and returned float"),
    (raising, "failed: RuntimeError: first line second line"),
    (forgetful, "failed: KeyError: 'speed'"),
    (unaware, "no sensor 'gyro' in the robot's MJCF"),
]
NUMBERS = [
    (not_a_number, "returned nan; expected a finite number"),
    (infinite_somewhere, "returned inf; expected a finite number"),
    (partial(generous, scale=float("-inf")), "returned -inf; expected a finite number"),
]


def check(objective, term, message):
    with pytest.raises(SuiteError, match=message) as caught:
        simulate(objective)
    name = getattr(term, "func", term).__name__
    assert str(caught.value).startswith(f"objective 'mine': term '{name}'")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("term", "message"), FAULTS + NUMBERS)
def test_a_faulty_reward_is_named(term, message):
    check(Objective("mine", (Reward(slide, 0.5), Reward(term, 0.1)), {"velocity": 1.0}), term, message)


@pytest.mark.parametrize(("term", "message"), FAULTS + NUMBERS)
def test_a_faulty_score_is_named(term, message):
    check(Objective("mine", (Reward(slide),), {"velocity": 1.0}, score=term), term, message)


@pytest.mark.parametrize(("term", "message"), FAULTS)
def test_a_faulty_termination_is_named(term, message):
    check(Objective("mine", (Reward(slide),), {"velocity": 1.0}, terminate=term), term, message)


def test_a_target_of_zero_is_explained():
    check(Objective("mine", (Reward(slide),), {"velocity": 0.0}), slide, "other than 0; `still` rewards standing")


def test_a_term_used_twice_is_computed_once_and_added_twice():
    calls = []

    def counted(state, command):
        calls.append(1)
        return torch.ones_like(state.time)

    step = simulate(Objective("mine", (Reward(counted, 0.5), Reward(counted, 0.25)), score=counted))
    assert len(calls) == 1
    torch.testing.assert_close(step.rewards[6:9], torch.full((3,), 0.75))
    torch.testing.assert_close(step.scores[6:9], torch.ones(3))


@pytest.mark.parametrize("dtype", [torch.float64, torch.int64, torch.bool])
def test_a_term_may_return_any_kind_of_number(dtype):
    step = simulate(Objective("mine", (Reward(lambda state, command: torch.ones(3, dtype=dtype), 0.5),)))
    torch.testing.assert_close(step.rewards[6:9], torch.full((3,), 0.5))
    torch.testing.assert_close(step.scores[6:9], torch.ones(3))


def test_terms_that_ignore_the_command_are_computed_for_all_worlds_at_once():
    asked = []

    def blind(state, command):
        asked.append(("blind", len(state.time)))
        return state.qvel[:, 0]

    def seeing(state, command):
        asked.append(("seeing", len(state.time)))
        return state.qvel[:, 0] * command["velocity"]

    def swallowing(state, command):
        try:
            return state.qvel[:, 0] * command.get("velocity", 0.0)
        except Exception:
            return torch.zeros_like(state.time)

    terms = (Reward(blind), Reward(seeing, 0.5), Reward(swallowing, 0.25))
    objectives = tuple(
        Objective(name, terms, {"velocity": velocity}, terminate=lambda state, command: state.time < 0.0)
        for name, velocity in (("a", 1.0), ("b", -2.0), ("c", 3.0))
    )
    worlds = torch.tensor([0, 1, 2, 1, 0, 2, 2]).numpy()  # those of an objective are not side by side
    simulation = Simulation(replace(TINY, objectives=objectives), worlds, 0, SimulationConfig("fake"))
    simulation.reset()
    for _ in range(2):
        asked.clear()
        step = simulation.step(torch.linspace(-1.0, 1.0, 7)[:, None])
        assert [count for name, count in asked if name == "blind"] == [7]
    assert sorted(count for name, count in asked if name == "seeing") == [2, 2, 3], "it is not asked in vain again"
    speed = simulation._engine.read()[1][:, 0]
    commanded = torch.tensor([1.0, -2.0, 3.0])[worlds]
    torch.testing.assert_close(step.rewards, speed * (1.0 + 0.75 * commanded))


def test_a_term_that_looks_at_the_command_only_later_is_given_the_real_one():
    def moody(state, command):
        late = state.time[0] > 1.5 / TINY.robot.control_rate
        return torch.full_like(state.time, command["velocity"] if late else 7.0)

    objectives = tuple(Objective(name, (Reward(moody),), {"velocity": v}) for name, v in (("a", 1.0), ("b", 2.0)))
    simulation = Simulation(
        replace(TINY, objectives=objectives), torch.tensor([0, 1]).numpy(), 0, SimulationConfig("fake"), stagger=False
    )
    simulation.reset()
    rewards = [simulation.step(torch.zeros(2, 1)).rewards.tolist() for _ in range(3)]
    assert rewards == [[7.0, 7.0], [1.0, 2.0], [1.0, 2.0]]
