"""Floating-point operations of matrix products: analytic for networks, counted as it runs for numpy.

A product of an a x b and a b x c matrix is 2abc operations. Everything else (activations, physics, eigenvectors)
is small beside the products or not a matter of operations; the seconds include it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
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


class Tally:
    """Operations counted so far."""

    flops = 0


class CountedArray(np.ndarray):
    """An array that adds the operations of every `@` with it, or with anything computed from it, to a tally."""

    tally: Tally | None

    def __array_finalize__(self, source: Any) -> None:
        self.tally = getattr(source, "tally", None)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = (), **options: Any) -> Any:
        """Do what a plain array would; note the size of a product."""
        if out:
            options["out"] = tuple(_plain(array) for array in out)
        arrays = [_plain(array) for array in inputs]
        result = getattr(ufunc, method)(*arrays, **options)
        if ufunc is np.matmul and self.tally is not None:
            self.tally.flops += 2 * np.size(result) * arrays[0].shape[-1]
        return counted(result, self.tally) if isinstance(result, np.ndarray) else result


def counted(array: np.ndarray, tally: Tally | None) -> CountedArray:
    """The array, counting into `tally`."""
    view = array.view(CountedArray)
    view.tally = tally
    return view


def _plain(value: Any) -> Any:
    return value.view(np.ndarray) if isinstance(value, CountedArray) else value
