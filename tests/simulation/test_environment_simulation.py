"""Episodes of environments that do what no good environment does: break, succeed and end at will."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pgx_core.environments.environment import Environment, Outcome, Space, Task, drawn_tasks
from pgx_core.errors import RunError, SuiteError
from pgx_core.learning.network import NetworkSize, Population
from pgx_core.objectives.environment_suite import EnvironmentSuite
from pgx_core.simulation.environment_simulation import EnvironmentSimulation
from pgx_core.training.evaluation import EvaluationConfig, evaluate


class Counting:
    """Observes the steps since its start; the parameters say at which of them something happens."""

    def __init__(self, tasks, seed):
        self.tasks, self.count, self.total = tasks, torch.zeros(len(tasks)), 0

    def reset(self, worlds):
        self.count[worlds] = 0.0
        return self.count[worlds][:, None].clone()

    def step(self, actions):
        self.count += 1
        self.total += 1
        at = {
            name: self.count == torch.tensor([t.parameters.get(name, -1.0) for t in self.tasks])
            for name in ("breaks", "pays_nan", "succeeds", "ends")
        }
        late = torch.tensor([t.parameters.get("succeeds_in_all") == self.total for t in self.tasks])
        observations = self.count.masked_fill(at["breaks"], torch.inf)[:, None]
        rewards = torch.ones(len(self.tasks)).masked_fill(at["pays_nan"], torch.nan) * actions[:, 0]
        return Outcome(observations, rewards, 0.5 * rewards, at["succeeds"] | late, at["ends"])

    def snapshot(self):
        return None

    def restore(self, snapshot):
        raise AssertionError


TASKS = (Task("plain"), Task("breaks", {"breaks": 3}), Task("pays_nan", {"pays_nan": 2}),
         Task("succeeds", {"succeeds": 4}), Task("late", {"succeeds_in_all": 4, "ends": 3}))  # fmt: skip
COUNTING = Environment("counting", Space(1, 1), 5, Counting, reports_success=True)
SUITE = EnvironmentSuite("counting", COUNTING, TASKS)


@pytest.fixture
def simulation():
    simulation = EnvironmentSimulation(SUITE, np.arange(5), 0, stagger=False)
    simulation.reset()
    return simulation


def test_what_is_not_finite_stays_inside(simulation):
    steps = [simulation.step(torch.ones(5, 1)) for _ in range(4)]
    diverged = torch.stack([step.diverged for step in steps])
    assert diverged.nonzero().tolist() == [[1, 2], [2, 1], [3, 2]]  # step, world
    assert simulation.diverged_count == 3
    for step in steps:
        assert torch.isfinite(step.observations).all() and torch.isfinite(step.final_observations).all()
        assert torch.equal(step.rewards, (~step.diverged).float())
        assert (step.terminated | ~step.diverged).all() and not (step.terminated & step.truncated).any()
    assert steps[2].final_observations[1] == 2.0  # the last that was sound
    assert steps[2].observations[1] == 0.0 and steps[3].observations[1] == 1.0  # a new episode


def test_actions_are_clipped_and_numbers(simulation):
    assert simulation.step(torch.tensor([[7.0], [-9.0], [0.5], [0.0], [1.0]])).rewards.tolist() == [1, -1, 0.5, 0, 1]
    with pytest.raises(RunError, match="expected numbers as actions, got NaN"):
        simulation.step(torch.full((5, 1), torch.nan))


def test_success_is_told_apart_from_the_score_and_counts_within_the_first_episode_alone():
    population = Population(NetworkSize(1, 5, 1, (2,)), (False,), (0,))
    with torch.no_grad():
        population.actor.weights[-1].zero_()
        population.actor.biases[-1].fill_(1.0)
    measured = evaluate(population, SUITE, EvaluationConfig(2))
    assert measured.successes.tolist() == [[0.0, 0.0, 0.0, 1.0, 0.0]]
    np.testing.assert_allclose(measured.scores, [[0.5, 0.2, 0.1, 0.5, 0.3]])


def test_a_resumed_training_of_what_cannot_be_saved_starts_new_episodes(simulation):
    simulation.step(torch.ones(5, 1))
    state = simulation.state_dict()
    assert simulation.load_state_dict(state).flatten().tolist() == [0.0] * 5


def test_an_unusable_suite_says_why():
    with pytest.raises(SuiteError, match="at least 2 objectives, got 1"):
        EnvironmentSuite("one", COUNTING, TASKS[:1])
    with pytest.raises(SuiteError, match="'plain' occurs twice"):
        EnvironmentSuite("twice", COUNTING, TASKS, held_out=TASKS[:1])


def test_drawn_tasks_lie_in_their_ranges_and_are_always_the_same():
    tasks = drawn_tasks({"gravity": (1.0, 2.0), "wind": (-3.0, -2.0)}, 12)
    assert tasks == drawn_tasks({"gravity": (1.0, 2.0), "wind": (-3.0, -2.0)}, 12)
    assert len({task.name for task in tasks}) == 12
    assert all(1.0 <= t.parameters["gravity"] <= 2.0 and -3.0 <= t.parameters["wind"] <= -2.0 for t in tasks)
