"""The choice in `learning.precision` against float64: what TF32 would cost, emulated so that no GPU is needed."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from pgx_core.gradients.features import FeatureConfig, compute_features
from pgx_core.gradients.parameters import flatten_parameters
from pgx_core.learning.network import GaussianPolicy
from pgx_core.learning.ppo import PPOConfig
from pgx_core.learning.precision import fast_products
from pgx_core.types import Transitions

SAMPLES, INPUTS, ACTIONS = 200, 10, 3


class Tf32(TorchDispatchMode):
    """What a GPU does: the operands of a float32 product keep 10 bits of their mantissa."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if str(func) in ("aten.mm.default", "aten.addmm.default", "aten.bmm.default", "aten.baddbmm.default"):
            args = (*args[:-2], *map(rounded, args[-2:]))
        return func(*args, **(kwargs or {}))


def rounded(operand):
    if operand.dtype != torch.float32:
        return operand
    return ((operand.contiguous().view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)


@pytest.fixture
def policy():
    torch.manual_seed(0)
    return GaussianPolicy(INPUTS, ACTIONS, (16, 16))


@pytest.fixture
def transitions():
    rng = np.random.default_rng(0)
    return Transitions(
        observations=rng.standard_normal((SAMPLES, INPUTS)).astype(np.float32),
        actions=rng.standard_normal((SAMPLES, ACTIONS)).astype(np.float32),
        advantages=rng.standard_normal(SAMPLES).astype(np.float32),
        objectives=np.arange(SAMPLES) % 2,
        episodes=np.arange(SAMPLES) // 20,
        names=("a", "b"),
    )


def margins(policy, transitions):
    """g_i . dtheta along the policy gradient, from features that keep everything: the same in any basis."""
    config = FeatureConfig(dimensions=len(flatten_parameters(policy)))
    features = compute_features(policy, transitions, config).features
    coordinates = features.coordinates.astype(np.float64)
    return coordinates @ (coordinates.T @ (features.labels * features.weights))


def error(found, exact):
    return np.linalg.norm(found - exact) / np.linalg.norm(exact)


def test_margins_need_more_than_tf32_and_get_it(policy, transitions):
    exact = margins(copy.deepcopy(policy).double(), transitions)
    assert error(margins(policy, transitions), exact) < 1e-5
    with Tf32():
        rough = margins(policy, transitions)
    assert 1e-4 < error(rough, exact) < 1e-2


def test_actions_do_with_tf32(policy, transitions):
    observations = torch.from_numpy(transitions.observations)
    with torch.no_grad():
        exact = copy.deepcopy(policy).double()(observations.double())
        with Tf32():
            rough = policy(observations)
    off = (rough.double() - exact).abs().max().item()
    assert 1e-6 < off < 0.01 * PPOConfig().minimum_std


@pytest.mark.parametrize(("device", "inside"), [("cuda", "high"), ("cpu", "highest")])
def test_tf32_is_allowed_inside_only_and_on_a_gpu_only(device, inside):
    with pytest.raises(KeyError), fast_products(torch.device(device)):
        assert torch.get_float32_matmul_precision() == inside
        raise KeyError
    assert torch.get_float32_matmul_precision() == "highest"
