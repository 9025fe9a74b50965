"""Floating-point operations of a network's matrix products.

A product of an a x b and a b x c matrix is 2abc operations. Everything else (activations, physics, eigenvectors)
is small beside the products or not a matter of operations; the seconds include it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from pgx_core.learning.network import Population
from pgx_core.learning.ppo import PPOConfig

Matrices = Sequence[tuple[int, int]]  # (inputs, outputs) of every layer


def network_flops(layers: Matrices, samples: int, backward: bool = False) -> int:
    """Operations of one pass of `samples` through a network, or of a forward and a backward pass.

    Backwards every layer has two products of its own size, by its weights and by its inputs; the first layer does not
    need the latter.
    """
    forward = sum(2 * i * o for i, o in layers)
    backwards = 2 * forward - 2 * layers[0][0] * layers[0][1] if backward else 0
    return samples * (forward + backwards)


def experience_flops(population: Population, steps: int) -> int:
    """Acting for so many environment steps, with the critic's values before and after each."""
    actor, critic = _layers(population)
    return network_flops(actor, steps) + network_flops(critic, 2 * steps)


def training_flops(population: Population, steps: int, config: PPOConfig) -> int:
    """PPO on so many environment steps: experience, then `epochs` passes over it by actor and critic."""
    seen = steps * config.epochs
    updates = sum(network_flops(layers, seen, backward=True) for layers in _layers(population))
    return experience_flops(population, steps) + updates


def evaluation_flops(population: Population, steps: int) -> int:
    """Acting for so many environment steps."""
    return network_flops(_layers(population)[0], steps)


def _layers(population: Population) -> tuple[Matrices, Matrices]:
    """Of one policy's (actor, critic)."""
    return _weights(population.actor), _weights(population.critic)


def _weights(stacked: nn.Module) -> Matrices:
    # [P, ..., inputs, outputs]; one input is a bias.
    matrices: list[Tensor] = [p for p in stacked.parameters() if p.ndim >= 3 and p.shape[-2] > 1]
    shapes = [(int(p.shape[-2]), int(p.shape[-1]), math.prod(p.shape[1:-2])) for p in matrices]
    return [(inputs, outputs) for inputs, outputs, count in shapes for _ in range(count)]
