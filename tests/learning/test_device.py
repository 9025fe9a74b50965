"""The learner lives on one device: nothing is left on another, and the host waits for it once per iteration."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from pgx_core.learning import trainer as module
from pgx_core.learning.layout import Member, make_layout
from pgx_core.learning.network import NetworkSize, Population
from pgx_core.learning.ppo import PPOConfig, update
from pgx_core.learning.trainer import Trainer, fetched
from pgx_core.objectives.suites import SIGNS
from pgx_core.simulation import simulation
from pgx_core.simulation.engine import FakeEngine
from pgx_core.simulation.simulation import Simulation, SimulationConfig

MEMBERS = (Member((0, 1, 2), False, 7), Member((0, 2), True, 3))
CONFIG = PPOConfig(horizon=3, epochs=2, minibatches=2)


class SyntheticWorlds:
    """Worlds on a device whose observations are noise; no step waits for anything."""

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

    def faults(self):
        return torch.tensor([0]).to(self.device)

    def check(self, faults):
        return int(faults)

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


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU here")
def test_collecting_and_updating_never_waits_for_the_gpu():
    trainer = make_trainer(torch.device("cuda"))
    trainer.iterate()  # libraries initialise themselves, which waits
    torch.cuda.set_sync_debug_mode("error")
    try:
        collect_and_update(trainer)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def resident_trainer(monkeypatch):
    """Real worlds that believe they are on a device."""
    monkeypatch.setattr(
        simulation, "make_engine", lambda suite, robot, objectives, *_: FakeEngine(robot, len(objectives))
    )
    layout = make_layout((Member((0, 1, 2, 3, 4, 5), False, 12), Member((0, 2), True, 3)))
    worlds = Simulation(SIGNS, layout.objectives, 0, SimulationConfig("warp"))
    space = worlds.space
    size = NetworkSize(space.n_observations, 6, space.n_actions, (8, 8), space.n_privileged)
    return Trainer(Population(size, (False, True), (1, 2)), worlds, layout, CONFIG, 1000, 0)


def test_the_host_waits_once_per_iteration_and_only_for_its_results(monkeypatch, no_waiting):
    trainer = resident_trainer(monkeypatch)
    trainer.iterate()
    # Adam counts its steps on the host.
    guard = no_waiting(on_host=[state["step"] for state in trainer._optimiser.state.values()])
    waits = []

    def counted(*tensors):
        waits.append(len(tensors))
        with torch._C.DisableTorchFunction():
            results = fetched(*tensors)
        guard.on_host += results
        return results

    monkeypatch.setattr(module, "fetched", counted)
    with guard:
        for _ in range(2):
            assert trainer.iterate().finite
    assert len(waits) == 2


def test_results_are_fetched_as_they_are():
    given = torch.tensor([[1 / 3, torch.nan]]), torch.tensor(True), torch.tensor([2**40 + 1]), torch.zeros(0)
    for came, tensor in zip(fetched(*given), given, strict=True):
        assert (came.dtype, came.shape) == (tensor.dtype, tensor.shape)
        torch.testing.assert_close(came, tensor, rtol=0, atol=0, equal_nan=True)


def test_a_training_moves_to_another_kind_of_device():
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
    trainer.worlds.faults = lambda: torch.tensor([trainer.steps])
    assert [trainer.iterate().diverged for _ in range(2)] == [3 * 10, 6 * 10]


def test_worlds_move_to_another_kind_of_device(monkeypatch):
    trainer = resident_trainer(monkeypatch)
    trainer.iterate()
    state = trainer.worlds.state_dict() | {
        "rng": torch.zeros(16, dtype=torch.uint8)
    }  # as CUDA's generator saves itself
    first, again, other = (resident_trainer(monkeypatch).worlds for _ in range(3))
    observations = first.load_state_dict(state)
    assert torch.equal(observations, again.load_state_dict(state))
    assert torch.equal(first.reset(), again.reset())
    other.load_state_dict(state | {"rng": torch.ones(16, dtype=torch.uint8)})
    assert not torch.equal(first.reset(), other.reset())
