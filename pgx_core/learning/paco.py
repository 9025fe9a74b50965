"""PaCo (Sun, Zhang, Xu, Tomizuka 2022, arXiv 2210.11653): each objective's network is a mixture of shared ones."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from pgx_core.learning.task_network import HIDDEN_GAIN, OUTPUT_GAIN, TaskNetwork, TaskNetworkSize

SETS = 5  # parameter sets that are mixed, as in the paper


class PaCo(TaskNetwork):
    """A tanh MLP whose parameters are theta_i = Phi w_i (eq. 3): 5 shared sets, mixed by the objective's own weights.

    w_i = `task_bias` + `task`[i]; the common part is ours, so that a network blind to the objective has one too. Every
    layer is mixed. The paper's reset of weights whose loss explodes is left out.
    """

    @staticmethod
    def shapes(size: TaskNetworkSize) -> dict[str, tuple[int, ...]]:
        """See TaskNetwork."""
        widths = (size.n_observations, *(size.width,) * size.n_layers, size.n_outputs)
        shapes: dict[str, tuple[int, ...]] = {"task": (size.n_objectives, SETS), "task_bias": (1, SETS)}
        for layer in range(size.n_layers + 1):
            shapes[f"weight_{layer}"] = (SETS, widths[layer], widths[layer + 1])
            shapes[f"bias_{layer}"] = (SETS, 1, widths[layer + 1])
        return shapes

    @staticmethod
    def gains(size: TaskNetworkSize) -> dict[str, float]:
        """See TaskNetwork."""
        hidden = {f"weight_{layer}": HIDDEN_GAIN for layer in range(size.n_layers)}
        return {**hidden, f"weight_{size.n_layers}": OUTPUT_GAIN}

    def __init__(self, size: TaskNetworkSize, seeds: tuple[int, ...] | None = None) -> None:
        """See TaskNetwork."""
        super().__init__(size, seeds)
        self.values["task_bias"].data.fill_(1.0 / math.sqrt(SETS))  # a mixture as large as each of its sets

    def forward(self, inputs: Float[Tensor, "*P B inputs"]) -> Float[Tensor, "*P B outputs"]:
        """See TaskNetwork. Mixing a layer's outputs is mixing its parameters, one objective per row."""
        values = self.values
        hidden, task = inputs.tensor_split([self.size.n_observations], -1)
        weights = (task @ values["task"] + values["task_bias"]).mT.unsqueeze(-1)  # [*P, sets, B, 1]
        for layer in range(self.size.n_layers + 1):
            each = hidden.unsqueeze(-3) @ values[f"weight_{layer}"] + values[f"bias_{layer}"]
            hidden = (weights * each).sum(-3)
            if layer < self.size.n_layers:
                hidden = torch.tanh(hidden)
        return hidden
