"""Action distributions: what a network's outputs mean, and how actions are drawn from them.

Each is a few pure functions of the outputs and of `log_std`, free parameters that no observation changes. Actions are
stored as numbers whatever their kind: a discrete one is the index of its choice, in one column.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

LOG_2PI = math.log(2 * math.pi)


@dataclass(frozen=True)
class Gaussian:
    """Independent normal distributions around the outputs."""

    size: int  # action dimensions

    @property
    def n_outputs(self) -> int:
        """Outputs of the network."""
        return self.size

    @property
    def n_free(self) -> int:
        """Length of `log_std`."""
        return self.size

    def sample(
        self, outputs: Float[Tensor, "*B outputs"], log_std: Tensor, generator: torch.Generator
    ) -> Float[Tensor, "*B actions"]:
        """Draw an action for each row."""
        return outputs + torch.randn(outputs.shape, generator=generator, device=outputs.device) * log_std.exp()

    def mode(self, outputs: Float[Tensor, "*B outputs"]) -> Float[Tensor, "*B actions"]:
        """The likeliest action of each row."""
        return outputs

    def log_prob(
        self, outputs: Float[Tensor, "*B outputs"], log_std: Tensor, actions: Float[Tensor, "*B actions"]
    ) -> Float[Tensor, "*B"]:
        """log pi(a|s) of each row, summed over action dimensions."""
        z = (actions - outputs) * torch.exp(-log_std)
        return -0.5 * (z.square() + 2 * log_std + LOG_2PI).sum(-1)

    def entropy(
        self, outputs: Float[Tensor, "P B outputs"], log_std: Tensor, weight: Float[Tensor, "P B"]
    ) -> Float[Tensor, "P"]:
        """Each policy's mean entropy, up to a constant, under weights that sum to 1: here equal for all rows."""
        return log_std.sum((1, 2))


@dataclass(frozen=True)
class Categorical:
    """One of several choices, whose unnormalised log-probabilities are the outputs. `log_std` is empty."""

    choices: int

    @property
    def n_outputs(self) -> int:
        """Outputs of the network."""
        return self.choices

    @property
    def n_free(self) -> int:
        """Length of `log_std`."""
        return 0

    def sample(
        self, outputs: Float[Tensor, "*B outputs"], log_std: Tensor, generator: torch.Generator
    ) -> Float[Tensor, "*B 1"]:
        """Draw a choice for each row: the largest of the outputs with Gumbel noise is an exact draw."""
        noise = torch.empty_like(outputs).exponential_(generator=generator).log()
        return self.mode(outputs - noise)

    def mode(self, outputs: Float[Tensor, "*B outputs"]) -> Float[Tensor, "*B 1"]:
        """The likeliest choice of each row."""
        return outputs.argmax(-1, keepdim=True).to(outputs)

    def log_prob(
        self, outputs: Float[Tensor, "*B outputs"], log_std: Tensor, actions: Float[Tensor, "*B 1"]
    ) -> Float[Tensor, "*B"]:
        """log pi(a|s) of each row."""
        return outputs.log_softmax(-1).gather(-1, actions.long()).squeeze(-1)

    def entropy(
        self, outputs: Float[Tensor, "P B outputs"], log_std: Tensor, weight: Float[Tensor, "P B"]
    ) -> Float[Tensor, "P"]:
        """Each policy's mean entropy under weights that sum to 1."""
        log_probs = outputs.log_softmax(-1)
        return -((log_probs.exp() * log_probs).sum(-1) * weight).sum(1)


ActionDistribution = Gaussian | Categorical
