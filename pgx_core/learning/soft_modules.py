"""Soft Modularization (Yang, Xu, Wu, Wang 2020, arXiv 2003.13661): modules, and a network that routes between them."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from pgx_core.learning.task_network import HIDDEN_GAIN, OUTPUT_GAIN, TaskNetwork, TaskNetworkSize

MODULES = 4  # per layer, as in the paper


class SoftModules(TaskNetwork):
    """Layers of 4 modules; how much each listens to those before it depends on the observation and the objective.

    With f the observation's embedding, h that of the objective and (.) the elementwise product (section 4):

        routing   p_1 = D_1 relu(f . h),  p_l = D_l relu((U_l p_l-1) . f . h),  P_l = softmax(p_l) over senders
        modules   g_l+1,i = sum_j P_l,ij tanh(W_l,j g_l,j + b_l,j),  g_1,j = f
        outputs   sum_j V_j g_j

    Two choices are ours: tanh in the modules, as in all our networks, and an embedding twice as wide as a module.
    """

    @staticmethod
    def shapes(size: TaskNetworkSize) -> dict[str, tuple[int, ...]]:
        """See TaskNetwork."""
        width, embedded, pairs = size.width, 2 * size.width, MODULES**2
        shapes: dict[str, tuple[int, ...]] = {
            "observation": (size.n_observations, embedded),
            "observation_bias": (1, embedded),
            "task": (size.n_objectives, embedded),
            "task_bias": (1, embedded),
        }
        for layer in range(size.n_layers):
            shapes[f"module_{layer}"] = (MODULES, width if layer else embedded, width)
            shapes[f"module_bias_{layer}"] = (MODULES, 1, width)
            shapes[f"down_{layer}"] = (embedded, pairs)
            shapes[f"down_bias_{layer}"] = (1, pairs)
            if layer:
                shapes[f"up_{layer}"] = (pairs, embedded)
        return shapes | {"output": (MODULES, width, size.n_outputs), "output_bias": (1, size.n_outputs)}

    @staticmethod
    def gains(size: TaskNetworkSize) -> dict[str, float]:
        """See TaskNetwork. The routing's are 1."""
        drawn = {
            name: 1.0 for name in SoftModules.shapes(size) if name.startswith(("down_", "up_")) and "bias" not in name
        }
        modules = {f"module_{layer}": HIDDEN_GAIN for layer in range(size.n_layers)}
        return {"observation": HIDDEN_GAIN, **modules, **drawn, "output": OUTPUT_GAIN}

    def __init__(self, size: TaskNetworkSize, seeds: tuple[int, ...] | None = None) -> None:
        """See TaskNetwork."""
        super().__init__(size, seeds)
        self.values["task_bias"].data.fill_(1.0)  # the embedding of no objective leaves the observation's as it is

    def forward(self, inputs: Float[Tensor, "*P B inputs"]) -> Float[Tensor, "*P B outputs"]:
        """See TaskNetwork."""
        values = self.values
        observations, task = inputs.tensor_split([self.size.n_observations], -1)
        embedded = torch.tanh(observations @ values["observation"] + values["observation_bias"])
        routes = self.routes(embedded, task)
        hidden = embedded.unsqueeze(-3)  # [*P, modules, B, width] from here on
        for layer, route in enumerate(routes):
            sent = torch.tanh(hidden @ values[f"module_{layer}"] + values[f"module_bias_{layer}"])
            hidden = (route @ sent.transpose(-3, -2)).transpose(-3, -2)
        outputs: Tensor = (hidden @ values["output"]).sum(-3) + values["output_bias"]
        return outputs

    def routes(
        self, embedded: Float[Tensor, "*P B embedded"], task: Float[Tensor, "*P B objectives"]
    ) -> list[Float[Tensor, "*P B to from_"]]:
        """How much each module of the next layer listens to each module of a layer; every row sums to 1."""
        values = self.values
        key = embedded * (task @ values["task"] + values["task_bias"])
        logits: list[Tensor] = []
        for layer in range(self.size.n_layers):
            signal = (logits[-1] @ values[f"up_{layer}"]) * key if layer else key
            logits.append(torch.relu(signal) @ values[f"down_{layer}"] + values[f"down_bias_{layer}"])
        return [pairs.unflatten(-1, (MODULES, MODULES)).softmax(-1) for pairs in logits]
