"""The gradients g_i = grad_theta log pi(a_i|s_i) of a batch, in the two forms that the features are built from.

Both forms answer the same questions, so few need to know which one they hold. A plain MLP's
gradients stay factored: layer by layer grad W = delta (x) a, so an inner product of two gradients costs two
short inner products, and no vector of length p is ever formed. Any other module's are held in full.

Shapes: N samples, M samples of another batch, p parameters, r weightings.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution

from pgx_core.gradients.parameters import functional_log_prob
from pgx_core.learning.network import GaussianPolicy, gaussian_log_prob

SAMPLE_BLOCK = 128  # samples that `torch.func` differentiates at a time
PARAMETER_BLOCK = 16384  # parameters that `DenseGradients.self_gram` widens to float64 at a time


@dataclass(frozen=True)
class FactoredGradients:
    """Gradients of a `GaussianPolicy`: of each layer its inputs a and output gradients delta, and of log_std."""

    inputs: tuple[Float[Tensor, "N _"], ...]
    deltas: tuple[Float[Tensor, "N _"], ...]
    log_std: Float[Tensor, "N actions"]

    def gram(self, other: FactoredGradients) -> Float[Tensor, "N M"]:
        """<g_i, g_j> = sum over layers (a_i.a_j + 1)(delta_i.delta_j) + the log_std term; the 1 is the bias."""
        products = self.log_std @ other.log_std.T
        # Reused, since fresh pages for every product would take as long as the arithmetic.
        left, right = torch.empty_like(products), torch.empty_like(products)
        for a, delta, a_other, delta_other in zip(self.inputs, self.deltas, other.inputs, other.deltas, strict=True):
            torch.mm(a, a_other.T, out=left)
            torch.mm(delta, delta_other.T, out=right)
            products.addcmul_(left.add_(1.0), right)
        return products

    def self_gram(self) -> Float[Tensor, "N N"]:
        """<g_i, g_j> in float64."""
        inputs, deltas = (tuple(block.double() for block in blocks) for blocks in (self.inputs, self.deltas))
        double = FactoredGradients(inputs, deltas, self.log_std.double())
        return double.gram(double)

    def squared_norms(self) -> Float[Tensor, "N"]:
        """<g_i, g_i>."""
        norms = self.log_std.square().sum(1)
        for a, delta in zip(self.inputs, self.deltas, strict=True):
            norms = norms + (a.square().sum(1) + 1.0) * delta.square().sum(1)
        return norms

    def combine(self, weights: Float[Tensor, "N r"]) -> Float[Tensor, "r p"]:
        """sum_i weights[i, j] g_i for each j: one weighted backward pass, two products per layer."""
        return torch.stack([self._weighted_sum(weight.unsqueeze(1)) for weight in weights.T])

    def dense(self) -> Float[Tensor, "N p"]:
        """The gradients in full."""
        weights = [d.unsqueeze(2) * a.unsqueeze(1) for d, a in zip(self.deltas, self.inputs, strict=True)]
        return torch.cat([block.flatten(1) for block in self._in_order(self.log_std, weights, self.deltas)], 1)

    def _weighted_sum(self, weight: Float[Tensor, "N 1"]) -> Float[Tensor, "p"]:
        scaled = [delta * weight for delta in self.deltas]
        weights = [delta.T @ a for delta, a in zip(scaled, self.inputs, strict=True)]
        blocks = self._in_order((self.log_std * weight).sum(0), weights, [delta.sum(0) for delta in scaled])
        return torch.cat([block.flatten() for block in blocks])

    @staticmethod
    def _in_order(log_std: Tensor, weights: list[Tensor], biases: list[Tensor] | tuple[Tensor, ...]) -> list[Tensor]:
        """The blocks in the order of `GaussianPolicy.named_parameters()`: log_std, then each layer."""
        return [log_std, *(block for pair in zip(weights, biases, strict=True) for block in pair)]


@dataclass(frozen=True)
class DenseGradients:
    """Gradients of any module, held in full."""

    values: Float[Tensor, "N p"]

    def self_gram(self) -> Float[Tensor, "N N"]:
        """<g_i, g_j> in float64, summed over blocks of parameters to spare memory."""
        products = torch.zeros(len(self.values), len(self.values), dtype=torch.float64)
        for block in self.values.split(PARAMETER_BLOCK, dim=1):
            products += block.double() @ block.double().T
        return products

    def squared_norms(self) -> Float[Tensor, "N"]:
        """<g_i, g_i>."""
        return self.values.square().sum(1)

    def combine(self, weights: Float[Tensor, "N r"]) -> Float[Tensor, "r p"]:
        """sum_i weights[i, j] g_i for each j."""
        return weights.T @ self.values

    def dense(self) -> Float[Tensor, "N p"]:
        """The gradients themselves."""
        return self.values


Gradients = FactoredGradients | DenseGradients


def gradients_of(
    policy: nn.Module, observations: Float[Tensor, "N inputs"], actions: Float[Tensor, "N actions"]
) -> Gradients:
    """The gradients of log pi(a|s) for every sample, factored where the policy is the plain MLP."""
    # A subclass may compute its density otherwise, so only the very class takes the fast path.
    if type(policy) is GaussianPolicy:
        return factored_gradients(policy, observations, actions)
    return dense_gradients(policy, observations, actions)


def factored_gradients(policy: GaussianPolicy, observations: Tensor, actions: Tensor) -> FactoredGradients:
    """One forward and one backward pass of sum_i log pi(a_i|s_i) down to every layer's outputs."""
    inputs, outputs = [], []
    hidden = policy.normalise(observations)
    for layer in policy.layers:
        inputs.append(hidden.detach())
        outputs.append(layer(hidden))
        hidden = torch.tanh(outputs[-1])
    # One copy of log_std per sample, so that the summed density still yields each sample's own gradient.
    log_std = policy.log_std.expand_as(actions)
    total = gaussian_log_prob(outputs[-1], log_std, actions).sum()
    *deltas, log_std_gradient = torch.autograd.grad(total, [*outputs, log_std])
    return FactoredGradients(tuple(inputs), tuple(deltas), log_std_gradient)


def dense_gradients(policy: nn.Module, observations: Tensor, actions: Tensor) -> DenseGradients:
    """Per-sample gradients by `torch.func`, for any module with a `log_prob`."""
    log_prob = functional_log_prob(policy)
    parameters = {name: parameter.detach() for name, parameter in policy.named_parameters()}

    def one(parameters: dict[str, Tensor], observation: Tensor, action: Tensor) -> Tensor:
        return log_prob(parameters, observation[None], action[None]).squeeze(0)

    with _unchecked_distributions():
        per_sample = torch.func.vmap(torch.func.grad(one), in_dims=(None, 0, 0), chunk_size=SAMPLE_BLOCK)
        named = per_sample(parameters, observations, actions)
    return DenseGradients(torch.cat([named[name].flatten(1) for name in parameters], 1))


def per_sample_gradients(
    policy: nn.Module, observations: Float[Tensor, "N inputs"], actions: Float[Tensor, "N actions"]
) -> Float[Tensor, "N p"]:
    """The slow oracle: one autograd call per sample."""
    parameters = list(policy.parameters())
    rows = []
    for i in range(len(observations)):
        log_prob = policy.log_prob(observations[i : i + 1], actions[i : i + 1])  # type: ignore[operator]
        blocks = torch.autograd.grad(log_prob.sum(), parameters)
        rows.append(torch.cat([block.flatten() for block in blocks]))
    return torch.stack(rows)


@contextmanager
def _unchecked_distributions() -> Iterator[None]:
    """Argument checks of torch.distributions branch on data, which `vmap` forbids."""
    checked = Distribution._validate_args
    Distribution.set_default_validate_args(False)
    try:
        yield
    finally:
        Distribution.set_default_validate_args(checked)
