"""A randomised suite with a privileged critic, trained, resumed, rolled out and measured."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from pgx_core.errors import SuiteError
from pgx_core.learning.layout import Member
from pgx_core.learning.ppo import PPOConfig
from pgx_core.objectives.quadruped import SUITE
from pgx_core.run import population_from_state
from pgx_core.simulation.robot_model import compile_robot
from pgx_core.simulation.simulation import SimulationConfig
from pgx_core.training.evaluation import EvaluationConfig, evaluate
from pgx_core.training.session import TrainingConfig, _save_checkpoint, load_checkpoint, train_population
from pgx_core.training.transitions import RolloutConfig, collect_transitions

SHORT = replace(SUITE, episode_seconds=0.4, objectives=SUITE.objectives[:3])
CONFIG = TrainingConfig(
    worlds=6, hidden=(8,), simulation=SimulationConfig(threads=1), checkpoint_seconds=0.0, ppo=PPOConfig(horizon=8)
)


def train(folder, steps):
    return train_population(SHORT, (Member((0, 1, 2), True, 6),), CONFIG, steps, 0, folder, "test")


def test_a_killed_training_resumes_bit_for_bit(tmp_path, monkeypatch):
    whole = train(tmp_path / "whole", 192).population

    saves = []

    def save_and_die(*arguments):
        _save_checkpoint(*arguments)
        saves.append(1)
        if len(saves) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("pgx_core.training.session._save_checkpoint", save_and_die)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", 192)
    monkeypatch.undo()
    resumed = train(tmp_path / "cut", 192).population
    for one, other in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_what_is_privileged_stays_in_training(tmp_path):
    population = train(tmp_path, 96).population
    observed = compile_robot(SHORT.robot).contract.observation_size
    assert population.size.n_observations == observed == 12 + 12 + 3 + 3 + 12
    assert population.size.n_privileged == 3 + 4
    transitions = collect_transitions(population, SHORT, RolloutConfig(40), CONFIG.ppo, 0, CONFIG.simulation)
    assert transitions.observations.shape[1] == observed + 3
    assert evaluate(population, SHORT, EvaluationConfig(2), CONFIG.simulation).scores.shape == (1, 3)
    state = load_checkpoint(tmp_path / "checkpoint.pt")["trainer"]
    assert population_from_state(state).size == population.size
    assert np.isfinite(transitions.advantages).all()


def test_an_unknown_privileged_source_is_named():
    with pytest.raises(SuiteError, match="observation 'sensor:wind' needs the sensor 'wind'"):
        compile_robot(replace(SUITE.robot, privileged=("sensor:wind",)))
