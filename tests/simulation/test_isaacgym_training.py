"""From worlds of Isaac Gym's stand-in to a trained policy: the whole way, on a cart that is the same in MuJoCo."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pgx_core.learning.layout import Member
from pgx_core.objectives.suites import TINY
from pgx_core.simulation.simulation import Simulation, SimulationConfig
from pgx_core.training.progress import Progress
from pgx_core.training.session import TrainingConfig, train_population

from . import isaacgym_standin, isaacgym_stubs

CONFIG = TrainingConfig(worlds=8, hidden=(8,), simulation=SimulationConfig("isaacgym"), checkpoint_seconds=0.0)
MEMBERS = (Member((0, 1), True, 4), Member((2, 3), False, 4))
STEPS = 500  # three iterations


@pytest.fixture(scope="module", autouse=True)
def isaacgym():
    if not isaacgym_stubs.folder().exists():
        pytest.skip("isaacgym-stubs is not installed")
    with isaacgym_standin.installed():
        yield


class Impatient(Progress):
    """Interrupts the training after its first iteration, as Ctrl-C does."""

    def advance(self, steps: int, note: str) -> None:
        raise KeyboardInterrupt


def test_its_episodes_are_those_of_mujoco():
    """Starts, commands, rewards and ends alike; the two integrate a little differently."""
    worlds = [Simulation(TINY, np.arange(8) % 4, 0, SimulationConfig(name)) for name in ("isaacgym", "mujoco")]
    generator = torch.Generator().manual_seed(0)
    torch.testing.assert_close(*(world.reset() for world in worlds))
    for _ in range(2 * TINY.episode_steps):
        action = 2 * torch.rand(8, 1, generator=generator) - 1
        ours, oracle = (world.step(action) for world in worlds)
        assert torch.equal(ours.truncated, oracle.truncated) and not ours.diverged.any()
        torch.testing.assert_close(ours.observations, oracle.observations, atol=0.02, rtol=0)
        torch.testing.assert_close(ours.rewards, oracle.rewards, atol=0.02, rtol=0)


def test_a_policy_is_trained_and_a_training_that_was_stopped_ends_alike(tmp_path):
    whole = train_population(TINY, MEMBERS, CONFIG, STEPS, 0, tmp_path / "whole", "test")
    with pytest.raises(KeyboardInterrupt):
        train_population(
            TINY, MEMBERS, CONFIG, STEPS, 0, tmp_path / "twice", "test", progress=Impatient("impatient", STEPS)
        )
    again = train_population(TINY, MEMBERS, CONFIG, STEPS, 0, tmp_path / "twice", "test")
    one, other = (trained.population.state_dict() for trained in (whole, again))
    assert all(torch.equal(one[name], other[name]) and torch.isfinite(one[name]).all() for name in one)
