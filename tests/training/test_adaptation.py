"""Starting points: resumed bit for bit, chosen and adapted objective by objective."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from pgx_core.errors import ConfigError
from pgx_core.learning.maml import MAMLConfig
from pgx_core.learning.network import NetworkSize, Population
from pgx_core.learning.ppo import PPOConfig
from pgx_core.objectives.environment_suites import CARTPOLE_SUITE
from pgx_core.training import session
from pgx_core.training.adaptation import AdaptationConfig, adapt, choose_starts, train_starts
from pgx_core.training.evaluation import EvaluationConfig
from pgx_core.training.session import TrainingConfig

SUITE = replace(
    CARTPOLE_SUITE,
    environment=replace(CARTPOLE_SUITE.environment, episode_steps=40),
    objectives=CARTPOLE_SUITE.objectives[:4],
    held_out=CARTPOLE_SUITE.held_out[:3],
)
PPO = PPOConfig(horizon=5)
CONFIG = TrainingConfig(worlds=8, hidden=(8,), checkpoint_seconds=0.0, ppo=PPO)
LABELS = np.array([0, 1, 1, 0])


def train(folder, steps=400, **changed):
    return train_starts(SUITE, LABELS, replace(CONFIG, **changed), MAMLConfig(), steps, 0, folder, "test")


def test_an_interrupted_training_ends_bit_for_bit_alike(tmp_path, monkeypatch) -> None:
    whole = train(tmp_path / "whole")
    saved, save = [], session._save_checkpoint

    def save_and_die(*arguments) -> None:
        save(*arguments)
        saved.append(1)
        if len(saved) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(session, "_save_checkpoint", save_and_die)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut")
    monkeypatch.undo()
    resumed = train(tmp_path / "cut")
    assert [row["steps"] for row in resumed.rows] == [80, 160, 240, 320, 400] and resumed.rows == whole.rows
    state = resumed.population.state_dict()
    for name, value in whole.population.state_dict().items():
        assert torch.equal(value, state[name]), name


def test_only_an_mlp_is_adapted(tmp_path) -> None:
    with pytest.raises(ConfigError, match="expected mlp, which MAML adapts, got paco"):
        train(tmp_path, network="paco")


@pytest.fixture
def starts() -> Population:
    """One starting point that always pushes to the right, and one that pushes against the tilt and its speed."""
    population = Population(NetworkSize(4, 4, 2, (2,), discrete=True), (False, False), (0, 1))
    with torch.no_grad():
        population.actor.weights[0][1] = 0.0
        population.actor.weights[0][1, 2:4, 0] = torch.tensor([1.0, 0.5])
        population.actor.weights[1][:] = torch.tensor([[0.2, -0.2], [0.0, 0.1]])
        population.actor.weights[1][1, 0, 1] = 100.0
        population.actor.biases[1][0, 0, 1] = 2.0
    return population


def test_the_start_that_does_best_is_chosen(starts) -> None:
    assert choose_starts(starts, SUITE.unseen()).tolist() == [1, 1, 1]


def test_adaptation_learns_and_depends_on_nothing_but_its_seed(starts) -> None:
    unseen, evaluation, chosen = SUITE.unseen(), EvaluationConfig(3), np.array([0, 1, 0])
    config = AdaptationConfig((0, 12), 8, MAMLConfig(1, 5.0))
    first, again, other = (
        adapt(starts, chosen, unseen, config, PPOConfig(horizon=20), evaluation, seed) for seed in (0, 0, 1)
    )
    assert first.shape == (2, 3) and np.array_equal(first, again) and not np.array_equal(first[1], other[1])
    assert first[0, 1] == 1.0 and (first[0, [0, 2]] < 0.6).all()
    assert (first[1] - first[0])[[0, 2]].mean() > 0.1


@pytest.mark.parametrize("steps", [(), (3, 1), (-1, 2)])
def test_steps_that_do_not_rise_are_refused(steps) -> None:
    with pytest.raises(ConfigError, match=r"adaptation.steps: expected numbers from 0, rising"):
        AdaptationConfig(steps)
