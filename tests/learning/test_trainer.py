"""The training loop: what it collects, that it repeats, resumes, and learns."""

from __future__ import annotations

import io

import pytest
import torch

from pgx_core.learning import trainer as trainer_module
from pgx_core.learning.layout import Member, make_layout
from pgx_core.learning.network import NetworkSize, Population, objective_one_hot
from pgx_core.learning.ppo import PPOConfig
from pgx_core.learning.trainer import Trainer
from pgx_core.objectives.suites import TINY
from pgx_core.simulation.simulation import Simulation, SimulationConfig


def equal_states(one, other):
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal_states(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(equal_states, one, other))
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


def saved(trainer):
    buffer = io.BytesIO()
    torch.save(trainer.state_dict(), buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


@pytest.fixture
def collected(make_trainer, monkeypatch):
    """Two iterations: what each handed to the update, the population that acted, and what its worlds returned."""
    trainer = make_trainer(config=PPOConfig(horizon=60))  # longer than an episode
    batches, steps, actors = [], [], []
    step, update = trainer.worlds.step, trainer_module.update

    def recorded_step(actions):
        steps.append(step(actions))
        return steps[-1]

    def recorded_update(population, optimiser, batch, *rest):
        batches.append(batch)
        return update(population, optimiser, batch, *rest)

    monkeypatch.setattr(trainer.worlds, "step", recorded_step)
    monkeypatch.setattr(trainer_module, "update", recorded_update)
    iterations = []
    for _ in range(2):
        actors.append({name: value.clone() for name, value in trainer.population.state_dict().items()})
        iterations.append(trainer.iterate())
    return trainer, iterations, batches, steps, actors


def test_a_batch_holds_what_the_worlds_returned(collected):
    trainer, iterations, batches, steps, _ = collected
    layout, real = trainer.layout, trainer.layout.mask.bool()
    for k, batch in enumerate(batches):
        own = steps[60 * k : 60 * (k + 1)]
        for t, step in enumerate(own):
            ended = step.terminated | step.truncated
            for mine, theirs in (
                (batch.rewards, step.rewards),
                (batch.terminated, step.terminated),
                (batch.ended, ended),
            ):
                assert torch.equal(layout.scatter(mine[t]), theirs)
        assert batch.ended[:, real].any(0).all() and not batch.terminated.any()
        scores = torch.stack([step.scores for step in own]).mean(0)
        slot_scores = layout.gather(scores)
        for policy, objective in ((0, 0), (0, 3), (1, 2), (2, 3)):
            chosen = real[policy] & (layout.slot_objectives[policy] == objective)
            expected = slot_scores[policy][chosen].mean().item()
            assert iterations[k].scores[policy, objective].item() == pytest.approx(expected, abs=1e-5)
        served = [[True] * 4, [False, True, True, False], [False, False, False, True]]
        assert (~iterations[k].scores.isnan()).tolist() == served


@pytest.mark.parametrize("rate", [1 / 3, 0.02, 0.001, 0.0])
def test_an_episode_lives_as_long_as_its_terminations_let_it(rate):
    steps, generator = 50, torch.Generator().manual_seed(0)
    ends = torch.rand(20_000, steps, generator=generator) < rate
    lived = (ends.cumsum(1) - ends.int() == 0).float().mean()  # the step that terminates still counts
    assert trainer_module.lived_share(torch.tensor(rate), steps).item() == pytest.approx(lived.item(), abs=0.01)


def test_the_value_after_a_step_is_the_value_before_the_next_unless_the_episode_ended(collected):
    trainer, _, batches, steps, actors = collected
    for k, batch in enumerate(batches):
        inside = ~batch.ended[:-1]
        torch.testing.assert_close(batch.next_values[:-1][inside], batch.values[1:][inside])
        assert (batch.next_values[:-1] - batch.values[1:])[~inside].abs().min() > 1e-5
        # Where it ended: the critic on the state before the reset.
        trainer.population.load_state_dict(actors[k])
        one_hot = objective_one_hot(trainer.layout.slot_objectives, 4)
        for t in range(60):
            final = trainer.layout.gather(steps[60 * k + t].final_observations)
            with torch.no_grad():
                expected = trainer.population.critic(trainer.population.inputs(final, one_hot)[1]).squeeze(-1)
            torch.testing.assert_close(batch.next_values[t], expected, atol=1e-5, rtol=1e-4)


def test_log_probabilities_are_those_of_the_policy_that_acted(collected):
    trainer, _, batches, _, actors = collected
    for batch, actor in zip(batches, actors, strict=True):
        trainer.population.load_state_dict(actor)
        for index in range(3):
            policy = trainer.population.policy(index)
            policy.observation_mean.zero_()  # the recorded inputs are normalised already
            policy.observation_std.fill_(1.0)
            expected = policy.log_prob(batch.actor_inputs[:, index], batch.actions[:, index])
            torch.testing.assert_close(batch.log_probs[:, index], expected, atol=1e-4, rtol=1e-4)


def test_the_normaliser_has_seen_every_observation_a_policy_acted_on(collected):
    trainer, iterations, batches, _, actors = collected
    real = trainer.layout.mask.bool()
    first = batches[0].actor_inputs[..., :2]  # the first iteration's normaliser was the identity
    for policy in range(3):
        seen = first[:, policy, real[policy]].flatten(0, 1)
        torch.testing.assert_close(actors[1]["observation_mean"][policy, 0], seen.mean(0), atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(
            actors[1]["observation_std"][policy, 0], seen.std(0, unbiased=False), atol=1e-4, rtol=1e-3
        )
        assert actors[1]["observation_count"][policy].item() == 60 * int(real[policy].sum())
    assert [i.steps for i in iterations] == [60 * 12, 120 * 12]


def test_the_seed_decides_a_whole_training(make_trainer):
    first, again, other = make_trainer(3), make_trainer(3), make_trainer(4)
    for _ in range(3):
        one, two = first.iterate(), again.iterate()
        assert torch.equal(one.scores.nan_to_num(9.0), two.scores.nan_to_num(9.0))
        other.iterate()
    assert equal_states(first.state_dict(), again.state_dict())
    assert not equal_states(first.state_dict()["population"], other.state_dict()["population"])


@pytest.mark.parametrize("backend", ["mujoco", "fake"])
def test_a_resumed_training_equals_one_that_was_never_broken_off(make_trainer, backend):
    whole, broken = make_trainer(backend=backend), make_trainer(backend=backend)
    for _ in range(2):
        whole.iterate()
        broken.iterate()
    checkpoint = saved(broken)
    resumed = make_trainer(seed=77, backend=backend)
    resumed.load_state_dict(checkpoint)
    for _ in range(6):  # across resets
        whole.iterate()
        resumed.iterate()
    assert resumed.steps == whole.steps
    assert equal_states(resumed.state_dict(), whole.state_dict())


def test_steps_are_counted_and_the_learning_rate_falls_late(make_trainer):
    trainer = make_trainer(total_steps=8 * 12 * 10, config=PPOConfig(horizon=8, learning_rate=1e-2))
    rates = []
    while not trainer.finished:
        trainer.iterate()
        rates.append(trainer.state_dict()["optimiser"]["param_groups"][0]["lr"])
    assert trainer.steps == 8 * 12 * 10
    assert rates == pytest.approx([1e-2] * 9 + [1e-2 * 0.1 / 0.15])
    trainer.iterate()
    assert trainer.state_dict()["optimiser"]["param_groups"][0]["lr"] == pytest.approx(0.05e-2)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_policy_that_sees_the_objective_learns_tiny(seed, unchecked):
    layout = make_layout((Member((0, 1, 2, 3), True, 64),))
    worlds = Simulation(TINY, layout.objectives, seed, SimulationConfig(threads=1))
    population = Population(NetworkSize(2, 4, 1, (32, 32)), (True,), (seed,))
    trainer = Trainer(population, worlds, layout, PPOConfig(), total_steps=30 * 24 * 64, seed=seed)
    with unchecked():
        before = trainer.iterate().scores.mean()
        while not trainer.finished:
            after = trainer.iterate().scores.mean()
    assert before < 0.3 and after > 0.6
