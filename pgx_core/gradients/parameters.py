"""A module's parameters as one flat vector, in the order of `named_parameters()`."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

LogProb = Callable[[Mapping[str, Tensor], Tensor, Tensor], Tensor]


def flatten_parameters(module: nn.Module) -> Float[Tensor, "p"]:
    """All parameters, detached."""
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()])


def unflatten_parameters(module: nn.Module, flat: Float[Tensor, "p"]) -> dict[str, Tensor]:
    """The vector as named tensors with the shapes of the module's parameters."""
    named = dict(module.named_parameters())
    blocks = flat.split([parameter.numel() for parameter in named.values()])
    return {name: block.view_as(named[name]) for name, block in zip(named, blocks, strict=True)}


def with_parameters(module: nn.Module, flat: Float[Tensor, "p"]) -> nn.Module:
    """A copy of the module with other parameters; the module itself is left alone."""
    changed = copy.deepcopy(module)
    with torch.no_grad():
        for name, value in unflatten_parameters(changed, flat).items():
            changed.get_parameter(name).copy_(value)
    return changed


def functional_log_prob(policy: nn.Module) -> LogProb:
    """log pi(a|s) [N] as a pure function of (named parameters, observations [N, I], actions [N, A])."""
    wrapper = _LogProb(policy)

    def log_prob(parameters: Mapping[str, Tensor], observations: Tensor, actions: Tensor) -> Tensor:
        named = {f"policy.{name}": value for name, value in parameters.items()}
        values: Tensor = torch.func.functional_call(wrapper, named, (observations, actions))
        return values

    return log_prob


class _LogProb(nn.Module):
    """`functional_call` reaches only `forward`; this makes `log_prob` the forward."""

    def __init__(self, policy: nn.Module) -> None:
        super().__init__()
        self.policy = policy

    def forward(self, observations: Tensor, actions: Tensor) -> Tensor:
        values: Tensor = self.policy.log_prob(observations, actions)  # type: ignore[operator]
        return values
