"""The gradients g_i = grad_theta log pi(a_i|s_i) of a batch, in the two forms that the features are built from.

Every parameter is seen as a matrix (`matrix_shapes`), and both forms answer the same questions about its
gradients G_i, so few need to know which one they hold. A plain MLP's stay factored: G_i = l_i r_i^T with the
gradients l_i by a layer's outputs and the layer's inputs r_i, and no vector of length p is ever formed. Any
other module's are held in full.

Shapes: N samples, p parameters, o x i the matrix of one parameter, r kept coordinates.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.distributions import Distribution

from pgx_core.gradients.parameters import functional_log_prob
from pgx_core.learning.network import CategoricalPolicy, GaussianPolicy, MLPPolicy

SAMPLE_BLOCK = 128  # samples that `torch.func` differentiates at a time


@dataclass(frozen=True)
class Sides:
    """Something about the two sides of one parameter's matrix: second moments, or axes in columns."""

    left: Float[Tensor, "o o"]
    right: Float[Tensor, "i i"]


@dataclass(frozen=True)
class FactoredGradients:
    """Gradients of an `MLPPolicy`: two factors for every parameter, in the order of `named_parameters()`."""

    left: tuple[Float[Tensor, "N _"], ...]
    right: tuple[Float[Tensor, "N _"], ...]  # of vectors a column of ones

    def moments(self) -> tuple[Sides, ...]:
        """(sum_i G_i G_i^T, sum_i G_i^T G_i) of every parameter."""
        return tuple(
            Sides(left.T @ (left * _squares(right)[:, None]), right.T @ (right * _squares(left)[:, None]))
            for left, right in zip(self.left, self.right, strict=True)
        )

    def energies(self, axes: tuple[Sides, ...]) -> Float[Tensor, "p"]:
        """sum_i of the squared entries of G_i in the given axes."""
        sides = zip(self.left, self.right, axes, strict=True)
        turned = [((left @ a.left).square(), (right @ a.right).square()) for left, right, a in sides]
        return torch.cat([(left.T @ right).flatten() for left, right in turned])

    def entries(self, axes: tuple[Sides, ...], kept: tuple[Int[Tensor, "_"], ...]) -> Float[Tensor, "N r"]:
        """The kept entries (flat indices) of every parameter's G_i in the given axes."""
        blocks = []
        for left, right, a, chosen in zip(self.left, self.right, axes, kept, strict=True):
            rows, columns = chosen // right.shape[1], chosen % right.shape[1]
            o, i = _count(rows), _count(columns)
            product = (left @ a.left[:, :o])[:, :, None] * (right @ a.right[:, :i])[:, None]
            blocks.append(product.flatten(1).index_select(1, rows * i + columns))
        return torch.cat(blocks, 1)

    def squared_norms(self) -> Float[Tensor, "N"]:
        """<g_i, g_i>."""
        norms = [_squares(left) * _squares(right) for left, right in zip(self.left, self.right, strict=True)]
        return torch.stack(norms).sum(0)

    def dense(self) -> Float[Tensor, "N p"]:
        """The gradients in full."""
        pairs = zip(self.left, self.right, strict=True)
        return torch.cat([(left[:, :, None] * right[:, None]).flatten(1) for left, right in pairs], 1)


@dataclass(frozen=True)
class DenseGradients:
    """Gradients of any module, held in full."""

    values: Float[Tensor, "N p"]
    shapes: tuple[tuple[int, int], ...]  # of the parameters' matrices

    def moments(self) -> tuple[Sides, ...]:
        """(sum_i G_i G_i^T, sum_i G_i^T G_i) of every parameter."""
        return tuple(
            Sides(torch.einsum("noi,nqi->oq", g, g), torch.einsum("noi,noj->ij", g, g)) for g in self._matrices()
        )

    def energies(self, axes: tuple[Sides, ...]) -> Float[Tensor, "p"]:
        """sum_i of the squared entries of G_i in the given axes."""
        return torch.cat([turned.square().sum(0) for turned in self._turned(axes)])

    def entries(self, axes: tuple[Sides, ...], kept: tuple[Int[Tensor, "_"], ...]) -> Float[Tensor, "N r"]:
        """The kept entries (flat indices) of every parameter's G_i in the given axes."""
        pairs = zip(self._turned(axes), kept, strict=True)
        return torch.cat([turned.index_select(1, chosen) for turned, chosen in pairs], 1)

    def squared_norms(self) -> Float[Tensor, "N"]:
        """<g_i, g_i>."""
        return self.values.square().sum(1)

    def dense(self) -> Float[Tensor, "N p"]:
        """The gradients themselves."""
        return self.values

    def _matrices(self) -> list[Float[Tensor, "N _ _"]]:
        blocks = self.values.split([o * i for o, i in self.shapes], dim=1)
        return [block.unflatten(1, shape) for block, shape in zip(blocks, self.shapes, strict=True)]

    def _turned(self, axes: tuple[Sides, ...]) -> list[Float[Tensor, "N _"]]:
        return [(a.left.T @ g @ a.right).flatten(1) for g, a in zip(self._matrices(), axes, strict=True)]


Gradients = FactoredGradients | DenseGradients


def matrix_shapes(module: nn.Module) -> tuple[tuple[int, int], ...]:
    """(o, i) of every parameter seen as a matrix: its dimensions split where that is nearest to a square."""
    return tuple(_matrix_shape(tuple(parameter.shape)) for parameter in module.parameters())


def _matrix_shape(shape: tuple[int, ...]) -> tuple[int, int]:
    splits = [(math.prod(shape[:k]), math.prod(shape[k:])) for k in range(1, len(shape) + 1 - (len(shape) > 1))]
    return min(splits, key=sum, default=(1, 1))


def _squares(vectors: Float[Tensor, "N d"]) -> Float[Tensor, "N"]:
    squares: Tensor = torch.linalg.vecdot(vectors, vectors)
    return squares


def _count(indices: Int[Tensor, "_"]) -> int:
    """How many leading axes the indices reach."""
    return int(indices.max()) + 1 if len(indices) else 0


def gradients_of(
    policy: nn.Module, observations: Float[Tensor, "N inputs"], actions: Float[Tensor, "N actions"]
) -> Gradients:
    """The gradients of log pi(a|s) for every sample, factored where the policy is the plain MLP."""
    # A subclass may compute its density otherwise, so only the very classes take the fast path.
    if type(policy) in (GaussianPolicy, CategoricalPolicy):
        assert isinstance(policy, MLPPolicy)
        return factored_gradients(policy, observations, actions)
    return dense_gradients(policy, observations, actions)


def factored_gradients(policy: MLPPolicy, observations: Tensor, actions: Tensor) -> FactoredGradients:
    """One forward and one backward pass of sum_i log pi(a_i|s_i) down to every layer's outputs."""
    inputs, outputs = [], []
    hidden = policy.normalise(observations)
    for layer in policy.layers:
        inputs.append(hidden.detach())
        outputs.append(layer(hidden))
        hidden = torch.tanh(outputs[-1])
    # One copy of log_std per sample, so that the summed density still yields each sample's own gradient.
    log_std = policy.log_std.expand(len(actions), -1)
    free = [log_std] if log_std.requires_grad else []  # discrete actions have none
    total = policy.distribution.log_prob(outputs[-1], log_std, actions).sum()
    gradients = torch.autograd.grad(total, [*free, *outputs])
    deltas = gradients[len(free) :]
    one = torch.ones_like(actions[:, :1])
    return FactoredGradients(
        left=(*gradients[: len(free)], *(delta for delta in deltas for _ in ("weight", "bias"))),
        right=(*(one for _ in free), *(factor for hidden in inputs for factor in (hidden, one))),
    )


def dense_gradients(policy: nn.Module, observations: Tensor, actions: Tensor) -> DenseGradients:
    """Per-sample gradients by `torch.func`, for any module with a `log_prob`."""
    log_prob = functional_log_prob(policy)
    parameters = {name: parameter.detach() for name, parameter in policy.named_parameters()}

    def one(parameters: dict[str, Tensor], observation: Tensor, action: Tensor) -> Tensor:
        return log_prob(parameters, observation[None], action[None]).squeeze(0)

    with _unchecked_distributions():
        per_sample = torch.func.vmap(torch.func.grad(one), in_dims=(None, 0, 0), chunk_size=SAMPLE_BLOCK)
        named = per_sample(parameters, observations, actions)
    values = torch.cat([named[name].reshape(len(actions), -1) for name in parameters], 1)
    return DenseGradients(values, matrix_shapes(policy))


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
