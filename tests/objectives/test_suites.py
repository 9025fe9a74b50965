"""Laws over every objective of every embedded suite."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch

from pgx_core.errors import SuiteError
from pgx_core.objectives.arm import reached
from pgx_core.objectives.classic import advanced
from pgx_core.objectives.objective import Objective, Physics, Reward, Suite
from pgx_core.objectives.quadruped import turned, walked
from pgx_core.objectives.state import State
from pgx_core.objectives.suites import RUNNER, SKILLS, SUITES, TINY, jump, slide, stand
from pgx_core.simulation.simulation import Simulation, SimulationConfig

# Of robots whose task must be positive, or falling would end what only costs.
SCORES = (walked, turned, reached, advanced)
every_suite = pytest.mark.parametrize("suite", SUITES.values(), ids=SUITES)
every_objective = pytest.mark.parametrize(
    "objective",
    [objective for suite in SUITES.values() for objective in suite.objectives],
    ids=[f"{suite.name}-{name}" for suite in SUITES.values() for name in suite.names],
)


def rollout(suite, seed=0, steps=20):
    """Steps under violent random actions, two worlds per objective."""
    simulation = Simulation(suite, np.repeat(np.arange(len(suite.objectives)), 2), seed, SimulationConfig(threads=1))
    simulation.reset()
    generator = torch.Generator().manual_seed(seed)
    joints = simulation.robot.contract.action_size
    return [simulation.step(3 * torch.randn(simulation.n_worlds, joints, generator=generator)) for _ in range(steps)]


@every_suite
def test_names_are_unique_and_the_table_is_keyed_by_them(suite):
    assert SUITES[suite.name] is suite
    assert len(set(suite.names)) == len(suite.names)
    assert suite.episode_steps >= 1 and suite.steps >= suite.episode_steps * len(suite.objectives)


@every_suite
def test_scores_are_bounded_and_rewards_finite_whatever_the_policy_does(suite):
    steps = rollout(suite)
    scores, rewards = (torch.stack([getattr(step, field) for step in steps]) for field in ("scores", "rewards"))
    assert torch.isfinite(rewards).all() and not torch.stack([step.diverged for step in steps]).any()
    assert ((scores >= -1.0) & (scores <= 1.0)).all()
    assert (rewards <= 1.0).all()  # regularisers only take away
    assert scores.std() > 0.0


@every_suite
def test_a_rollout_repeats_bit_for_bit(suite):
    for first, second in zip(rollout(suite, 4, 5), rollout(suite, 4, 5), strict=True):
        assert torch.equal(first.rewards, second.rewards) and torch.equal(first.observations, second.observations)


@every_objective
def test_the_command_and_the_physics_are_what_the_name_says(objective):
    moving = re.fullmatch(r"(forward|backward|right|left)_([\d.]+)(_light)?", objective.name)
    if moving:
        direction, speed, light = moving.groups()
        sign = 1.0 if direction in ("forward", "right") else -1.0
        assert objective.command == {"velocity": sign * float(speed)}
        assert (objective.physics.gravity < 1.0) == bool(light)
    elif objective.name in ("stand", "jump"):
        assert objective.physics == Physics()


@every_objective
def test_the_task_comes_first_and_outweighs_its_regularisers(objective):
    task, *regularisers = objective.rewards
    assert task.weight == 1.0 and objective.score in (None, *SCORES)
    assert objective.score or objective.score_term is task.term
    assert all(0.0 < term.weight < 0.5 for term in regularisers)


@pytest.mark.parametrize(
    ("height", "vertical", "along", "standing", "jumping"),
    [(0.0, 0.0, 0.0, 1.0, 0.0), (0.3, 0.0, 0.0, 1.0, 1.0), (0.15, 0.25, 0.0, 0.5, 0.5), (9.0, 0.0, 0.0, 1.0, 1.0),
     (0.3, 0.0, 0.5, 0.0, 0.5), (0.3, 0.0, -1.0, 0.0, 0.0), (-0.2, 0.0, 0.0, 1.0, 0.0)],
)  # fmt: skip
def test_stand_and_jump_at_known_points(height, vertical, along, standing, jumping):
    state = _runner_state(height, vertical, along)
    assert stand(state, {}).item() == pytest.approx(standing)
    assert jump(state, SKILLS.objectives[SKILLS.names.index("jump")].command).item() == pytest.approx(jumping)


def _runner_state(height, vertical, along):
    qpos = torch.zeros(1, 9)
    qpos[0, 1] = height
    velocity = torch.tensor([[along, 0.0, vertical]])
    return State(*(torch.zeros(1), qpos, qpos, qpos, qpos, velocity), {"com_velocity": slice(0, 3)})


def test_an_unusable_suite_says_why():
    objectives = TINY.objectives
    for change, message in (
        ({"objectives": objectives[:1]}, "at least 2 objectives, got 1"),
        ({"objectives": (*objectives, objectives[0])}, "'right_1' occurs twice"),
        ({"episode_seconds": 0.0}, "shorter than one control step of 0.04 s"),
    ):
        with pytest.raises(SuiteError, match=message):
            replace(TINY, **change)
    with pytest.raises(SuiteError, match="'idle': expected at least one Reward"):
        Objective("idle", ())
    with pytest.raises(SuiteError, match="control rate above 0 Hz, got 0"):
        replace(RUNNER, control_rate=0.0)


@pytest.mark.parametrize("value", [np.arange(3)[2], np.float32(2.0), np.float64(2.0), 2, Fraction(2)])
def test_a_command_takes_every_kind_of_number(value, unchecked):
    with unchecked():
        given = Objective("go", (Reward(slide),), {"velocity": value}).command["velocity"]
    assert (type(given), given) == (float, 2.0)


@pytest.mark.parametrize("value", ["fast", None, float("nan"), float("inf"), [1.0], torch.tensor(1.0)])
def test_a_command_that_no_bundle_can_hold(value, unchecked):
    message = rf"objective 'go': command 'velocity': expected a (finite )?number, got {re.escape(repr(value))}"
    with unchecked(), pytest.raises(SuiteError, match=message):
        Objective("go", (Reward(slide),), {"velocity": value})


def test_a_robot_takes_every_kind_of_number(unchecked):
    with unchecked():
        robot = replace(RUNNER, control_rate=25, velocity_limit=np.int64(20), maximum_tilt=np.float32(0.5))
        with pytest.raises(SuiteError, match="robot 'planar_runner': action_scale: expected a number, got 'wide'"):
            replace(RUNNER, action_scale="wide")
    given = (robot.control_rate, robot.velocity_limit, robot.maximum_tilt)
    assert given == (25.0, 20.0, 0.5) and {type(value) for value in given} == {float}


@pytest.mark.parametrize("name", ["", 3])
def test_an_objective_without_a_name(name, unchecked):
    with unchecked(), pytest.raises(SuiteError, match=f"expected a text as the objective's name, got {name!r}"):
        Objective(name, (Reward(slide),))


def test_the_score_may_differ_from_the_reward():
    reward, score = (lambda state, command: state.time), (lambda state, command: 2 * state.time)
    objectives = tuple(Objective(name, (Reward(reward),), score=score) for name in "ab")
    simulation = Simulation(Suite("both", TINY.robot, objectives), np.array([0, 1]), 0, stagger=False)
    simulation.reset()
    step = simulation.step(torch.zeros(2, 1))
    torch.testing.assert_close(step.rewards, torch.full((2,), 0.04))
    torch.testing.assert_close(step.scores, 2 * step.rewards)
