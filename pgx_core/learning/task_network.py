"""Networks that take the objective apart from the observation, alone or as P stacked ones: what their kinds share."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

Network = Literal["mlp", "soft_modules", "paco"]

HIDDEN_GAIN = math.sqrt(2)  # of orthogonal initial weights before a tanh
OUTPUT_GAIN = 0.01  # of those that an actor's outputs come from, so that it starts undecided


@dataclass(frozen=True)
class TaskNetworkSize:
    """Shapes of a network whose inputs are the observation and then the one-hot objective."""

    n_observations: int
    n_objectives: int
    n_outputs: int
    n_layers: int  # hidden layers, >= 1
    width: int = 1  # units of one module or of one parameter set, >= 1


class TaskNetwork(nn.Module, ABC):
    """One network, or P of one shape with a leading dimension on every parameter. Abstract; its kinds are final.

    The same `forward` serves both, by broadcasting. The weights of the one-hot objective are the parameter `task`;
    they start at 0, so that a network that has not seen the objective is blind to it.
    """

    def __init__(self, size: TaskNetworkSize, seeds: tuple[int, ...] | None = None) -> None:
        """Args: `seeds` are those of P stacked networks; None makes a single one, all its drawn weights 0."""
        super().__init__()
        self.size = size
        leading = () if seeds is None else (len(seeds),)
        arrays = {name: torch.zeros(*leading, *shape) for name, shape in self.shapes(size).items()}
        self.values = nn.ParameterDict(arrays)
        for policy, seed in enumerate(seeds or ()):
            generator = torch.Generator().manual_seed(seed)
            for name, gain in self.gains(size).items():
                weight = self.values[name].data[policy]
                for matrix in weight.view(-1, *weight.shape[-2:]):
                    nn.init.orthogonal_(matrix, gain, generator=generator)

    @staticmethod
    @abstractmethod
    def shapes(size: TaskNetworkSize) -> dict[str, tuple[int, ...]]:
        """Name and shape of every parameter of one network. Matrices are inputs x outputs."""

    @staticmethod
    @abstractmethod
    def gains(size: TaskNetworkSize) -> Mapping[str, float]:
        """Which parameters are drawn, each of their matrices orthogonal, and with which gain."""

    @abstractmethod
    def forward(self, inputs: Float[Tensor, "*P B inputs"]) -> Float[Tensor, "*P B outputs"]:
        """Every network on its own batch."""

    @classmethod
    def count(cls, size: TaskNetworkSize) -> int:
        """Parameters of one network."""
        return sum(map(math.prod, cls.shapes(size).values()))

    @classmethod
    def fitted(cls, size: TaskNetworkSize, parameters: int) -> TaskNetworkSize:
        """The size with the width that comes nearest to a number of parameters."""
        widths, found = 1, [size]
        while cls.count(found[-1]) < parameters:
            widths += 1
            found.append(replace(size, width=widths))
        return min(found, key=lambda one: abs(cls.count(one) - parameters))
