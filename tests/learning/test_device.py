"""The learner lives on one device: nothing is left on another, and the host waits for it once per iteration."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from pgx_core.learning.layout import Member, make_layout
from pgx_core.learning.network import NetworkSize, Population
from pgx_core.learning.ppo import PPOConfig, update
from pgx_core.learning.trainer import Trainer

MEMBERS = (Member((0, 1, 2), False, 7), Member((0, 2), True, 3))
CONFIG = PPOConfig(horizon=3, epochs=2, minibatches=2)


class SyntheticWorlds:
    """Worlds on a device whose observations are noise; no step waits for anything."""

    diverged_count = 0
    episode_steps = 10

    def __init__(self, n_worlds, device):
        self.n_worlds, self.device = n_worlds, device

    def reset(self):
        return torch.randn(self.n_worlds, 5, device=self.device)

    def step(self, actions):
        observations, reward = torch.randn(self.n_worlds, 5, device=self.device), -actions.square().sum(1)
        ended = reward < -3.0
        return SimpleNamespace(
            observations=observations,
            final_observations=observations,
            rewards=reward,
            scores=reward.exp(),
            terminated=ended,
            truncated=~ended & (reward < -2.0),
        )

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        return self.reset()


def make_trainer(device, seed=0):
    layout = make_layout(MEMBERS)
    population = Population(NetworkSize(5, 3, 2, (8, 8)), tuple(m.conditioned for m in MEMBERS), (1, 2))
    return Trainer(population, SyntheticWorlds(len(layout.objectives), device), layout, CONFIG, 1000, seed)


def collect_and_update(trainer):
    batch, scores = trainer._collect()
    metrics = update(trainer.population, trainer._optimiser, batch, trainer.layout, CONFIG, trainer._generator)
    return scores, metrics


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_collecting_and_updating_never_waits_for_the_gpu():
    trainer = make_trainer(torch.device("cuda"))
    trainer.iterate()  # libraries initialise themselves, which waits
    torch.cuda.set_sync_debug_mode("error")
    try:
        collect_and_update(trainer)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_training_moves_to_another_kind_of_device(monkeypatch):
    saved = make_trainer(torch.device("cpu"))
    saved.iterate()
    state = saved.state_dict() | {"generator": torch.zeros(16, dtype=torch.uint8)}  # as CUDA's generator saves itself
    resumed = make_trainer(torch.device("cpu"))
    resumed.load_state_dict(state)
    assert resumed.steps == saved.steps
    assert resumed.iterate().finite


def test_broken_parameters_are_reported():
    trainer = make_trainer(torch.device("cpu"))
    assert trainer.iterate().finite
    with torch.no_grad():
        trainer.population.critic.biases[0][0] = torch.nan
    assert not trainer.iterate().finite


def test_what_worlds_deferred_is_raised_once_per_iteration():
    trainer = make_trainer(torch.device("cpu"))
    calls = []
    trainer.worlds.check = lambda: calls.append(trainer.steps)
    trainer.iterate()
    trainer.iterate()
    assert calls == [3 * 10, 6 * 10]
