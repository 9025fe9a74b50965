"""The PPO step against its definition, finite differences, and separate policies."""

from __future__ import annotations

import copy
from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from pgx_core.learning.layout import Member, make_layout
from pgx_core.learning.network import clone_policy
from pgx_core.learning.ppo import PPOConfig, advantages_of, clip_gradients, floor_entropy, update

FAR = PPOConfig(max_divergence=1e30)  # the batch is not the population's own, which must not hold it back
# One gradient step on all data, unclipped: what is left in `.grad` is the gradient of the loss.
ONCE = replace(FAR, epochs=1, minibatches=1, max_gradient_norm=1e9, entropy_weight=0.03, value_weight=0.7)


def standstill(population):
    return torch.optim.SGD(population.parameters(), lr=0.0)


def loss_of(population, batch, layout, config=ONCE):
    metrics = update(population, standstill(population), batch, layout, config, torch.Generator())
    return (
        metrics.policy_loss + config.value_weight * metrics.value_loss - config.entropy_weight * metrics.entropy
    ).sum()


def gradients(population):
    return [parameter.grad.clone() for parameter in population.parameters()]


def test_the_loss_follows_its_definition(population, batch, layout):
    """Schulman et al. 2017, eq. 7 and 9, sample by sample."""
    advantages, targets = advantages_of(batch, layout, 3, ONCE)
    metrics = update(population, standstill(population), batch, layout, ONCE, torch.Generator())
    for p in range(population.n_policies):
        means, values = (
            network(inputs.transpose(0, 1).flatten(1, 2))[p].detach().numpy()
            for network, inputs in ((population.actor, batch.actor_inputs), (population.critic, batch.critic_inputs))
        )
        std = population.log_std[p, 0].exp().detach().numpy()
        surrogate, errors, divergences = [], [], []
        width = layout.mask.shape[1]
        for t in range(len(batch.rewards)):
            for b in range(int(layout.mask[p].sum())):
                row = t * width + b
                density = np.exp(-0.5 * ((batch.actions[t, p, b].numpy() - means[row]) / std) ** 2) / (
                    std * np.sqrt(2 * np.pi)
                )
                ratio = density.prod() / np.exp(batch.log_probs[t, p, b].item())
                a = advantages[t, p, b].item()
                surrogate.append(min(ratio * a, min(max(ratio, 0.8), 1.2) * a))
                errors.append((values[row, 0] - targets[t, p, b].item()) ** 2)
                divergences.append(ratio - 1 - np.log(ratio))
        assert metrics.policy_loss[p].item() == pytest.approx(-np.mean(surrogate))
        assert metrics.value_loss[p].item() == pytest.approx(np.mean(errors))
        assert metrics.divergence[p].item() == pytest.approx(np.mean(divergences))
        assert metrics.entropy[p].item() == pytest.approx(population.log_std[p].sum().item())


def test_the_gradient_is_that_of_finite_differences(population, batch, layout):
    loss_of(population, batch, layout)
    analytic = gradients(population)
    step, generator = 1e-6, torch.Generator().manual_seed(0)
    for parameter, gradient in zip(population.parameters(), analytic, strict=True):
        direction = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        ends = []
        for sign in (1, -1):
            with torch.no_grad():
                parameter += sign * step * direction
            ends.append(loss_of(population, batch, layout).item())
            with torch.no_grad():
                parameter -= sign * step * direction
        numeric = (ends[0] - ends[1]) / (2 * step)
        assert (gradient * direction).sum().item() == pytest.approx(numeric, rel=1e-5, abs=1e-8)
        assert numeric != 0.0


def test_targets_are_discounted_sums_of_rewards(batch, layout):
    """With one constant reward r and a perfect critic, the value is r / (1 - gamma)."""
    for discount in (0.5, 0.97):
        ones = torch.ones_like(batch.rewards)
        value = 3 * ones / (1 - discount)
        steady = replace(batch, rewards=3 * ones, values=value, next_values=value,
                         terminated=torch.zeros_like(batch.ended))  # fmt: skip
        advantages, targets = advantages_of(steady, layout, 3, PPOConfig(discount=discount))
        torch.testing.assert_close(targets, value)
        torch.testing.assert_close(advantages, torch.zeros_like(ones), atol=1e-5, rtol=0)


def test_a_population_learns_as_its_policies_would_alone(population, batch, layout, members, select):
    together = copy.deepcopy(population)
    optimiser = torch.optim.Adam(together.parameters(), lr=1e-2)
    metrics = update(together, optimiser, batch, layout, ONCE, torch.Generator())
    for p, member in enumerate(members):
        alone = clone_policy(population, p, (member.conditioned,)).double()
        for name, tensor in alone.state_dict().items():
            tensor.copy_(population.state_dict()[name][p])  # the clone is in single precision
        own = make_layout((member,))
        own_optimiser = torch.optim.Adam(alone.parameters(), lr=1e-2)
        own = replace(own, mask=own.mask.double())
        own_metrics = update(alone, own_optimiser, select(batch, layout, p), own, ONCE, torch.Generator())
        for (name, mine), (_, ours) in zip(alone.named_parameters(), together.named_parameters(), strict=True):
            torch.testing.assert_close(ours.grad[p], mine.grad[0], msg=f"gradient of {name}")
            torch.testing.assert_close(ours[p], mine[0], msg=name)
            assert not torch.equal(mine, dict(population.named_parameters())[name][p : p + 1]) or "weights.0" in name
        for f in fields(metrics):
            torch.testing.assert_close(getattr(metrics, f.name)[p], getattr(own_metrics, f.name)[0], msg=f.name)


def test_empty_slots_teach_nothing(population, batch, layout):
    loss_of(population, batch, layout)
    expected = gradients(population)
    empty = layout.mask == 0
    values = {f.name: getattr(batch, f.name).clone() for f in fields(batch)}
    for value in values.values():
        if value.dtype == torch.float64:
            value[:, empty] = 3 * value[:, empty] - 7
    polluted = type(batch)(**values)
    assert not torch.equal(polluted.rewards, batch.rewards)
    loss_of(population, polluted, layout)
    for one, other in zip(gradients(population), expected, strict=True):
        torch.testing.assert_close(one, other)


def test_scaling_one_objectives_reward_changes_no_policy_gradient(population, batch, layout):
    """The advantages are normalised per objective: its units do not matter to the actor."""
    config = replace(ONCE, value_weight=0.0)
    quiet = replace(batch, values=0 * batch.values, next_values=0 * batch.values)
    loss_of(population, quiet, layout, config)
    expected = gradients(population)
    scale = torch.where(layout.slot_objectives == 1, 1000.0, 1.0).double()
    loss_of(population, replace(quiet, rewards=quiet.rewards * scale), layout, config)
    for one, other in zip(gradients(population), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_gradients_are_clipped_policy_by_policy(population):
    scales = torch.tensor([100.0, 1e-3, 0.0]).double().view(3, 1, 1)
    for parameter in population.parameters():
        parameter.grad = scales * torch.randn_like(parameter)
    before = gradients(population)
    clip_gradients(population, 1.0)
    after = gradients(population)

    def norms(values):
        return torch.stack([(value**2).sum((1, 2)) for value in values]).sum(0).sqrt()

    assert norms(before)[0] > 1.0 > norms(before)[1]
    assert norms(after)[0].item() == pytest.approx(1.0)
    for one, other in zip(before, after, strict=True):
        torch.testing.assert_close(other[0], one[0] / norms(before)[0])
        assert torch.equal(other[1:], one[1:])


def test_no_policy_moves_further_than_its_clipped_gradient(population, batch, layout):
    before = copy.deepcopy(dict(population.named_parameters()))
    loud = replace(batch, rewards=1e4 * batch.rewards)
    optimiser = torch.optim.SGD(population.parameters(), lr=1.0)
    update(population, optimiser, loud, layout, replace(ONCE, max_gradient_norm=0.05), torch.Generator())
    moved = torch.stack([(value - before[name]).square().sum((1, 2)) for name, value in population.named_parameters()])
    torch.testing.assert_close(moved.sum(0).sqrt(), torch.full((3,), 0.05).double())


def test_a_policy_that_runs_away_goes_back_and_the_others_learn(population, batch, layout):
    """As little noise as policy 0 has makes a small step of its mean a large divergence."""
    with torch.no_grad():
        population.log_std[0] = -6.0
        outputs = population.actor(batch.actor_inputs.transpose(0, 1).flatten(1, 2))
        actions = batch.actions.transpose(0, 1).flatten(1, 2)
        noise = population.log_std.exp() * torch.randn(outputs.shape, generator=torch.Generator().manual_seed(0))
        log_probs = population.log_prob(outputs, outputs + noise)
    old = replace(
        batch,
        actions=(outputs + noise).unflatten(1, batch.rewards.shape[::2]).transpose(0, 1).to(actions),
        log_probs=log_probs.unflatten(1, batch.rewards.shape[::2]).transpose(0, 1),
    )
    ends = {}
    for limit in (50.0, 1e30):
        one, config = copy.deepcopy(population), PPOConfig(learning_rate=1e-2, max_divergence=limit, minimum_std=1e-3)
        optimiser = torch.optim.Adam(one.parameters(), lr=config.learning_rate)
        update(one, optimiser, old, layout, config, torch.Generator().manual_seed(0))
        ends[limit] = one
    before, limited, free = ([*p.actor.parameters(), p.log_std] for p in (population, ends[50.0], ends[1e30]))
    assert all(torch.equal(a[0], b[0]) for a, b in zip(before, limited, strict=True))
    assert any(not torch.equal(a[0], b[0]) for a, b in zip(before, free, strict=True))
    assert all(torch.equal(a[1:], b[1:]) for a, b in zip(limited, free, strict=True)), "who stays near is not touched"
    assert any(not torch.equal(a[1:], b[1:]) for a, b in zip(before, limited, strict=True))
    critics = [next(iter(p.critic.parameters()))[0] for p in (population, ends[50.0])]
    assert not torch.equal(*critics), "its critic goes on"


def test_noise_never_falls_below_its_floor(population, batch, layout):
    with torch.no_grad():
        population.log_std.copy_(torch.tensor([0.01, 0.5]).log())
    floor_entropy(population, 0.1)
    torch.testing.assert_close(population.log_std.exp()[:, 0], torch.tensor([[0.1, 0.5]]).double().expand(3, 2))
    with torch.no_grad():
        population.log_std.copy_(torch.tensor([0.01, 0.5]).log())
    update(population, standstill(population), batch, layout, ONCE, torch.Generator())  # every update ends with it
    torch.testing.assert_close(population.log_std.exp()[:, 0], torch.tensor([[0.1, 0.5]]).double().expand(3, 2))


def test_every_sample_is_used_once_per_pass(population, batch, layout):
    """The mean of the minibatch losses at a standstill is the loss of the whole, where minibatches are of one size."""
    one = make_layout((Member((0, 1, 2), False, 7),))
    one = replace(one, mask=one.mask.double())
    alone = clone_policy(population, 0, (False,)).double()
    mine = type(batch)(*(getattr(batch, f.name)[:, :1] for f in fields(batch)))
    whole = update(alone, standstill(alone), mine, one, ONCE, torch.Generator())
    parts = update(alone, standstill(alone), mine, one, replace(ONCE, minibatches=6, epochs=2), torch.Generator())
    torch.testing.assert_close(parts.policy_loss, whole.policy_loss)
    torch.testing.assert_close(parts.value_loss, whole.value_loss)


def test_the_generator_decides(population, batch, layout):
    results = []
    for seed in (0, 0, 1):
        copied = copy.deepcopy(population)
        optimiser = torch.optim.Adam(copied.parameters(), lr=1e-2)
        update(copied, optimiser, batch, layout, FAR, torch.Generator().manual_seed(seed))
        results.append(copied.actor.weights[0])
    assert torch.equal(results[0], results[1]) and not torch.equal(results[0], results[2])
