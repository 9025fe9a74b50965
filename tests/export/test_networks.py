"""The ONNX files of a suite without a robot, read back by ONNX Runtime."""

from __future__ import annotations

import json

import numpy as np
import onnxruntime
import pytest
import torch

from pgx_core.errors import BundleError
from pgx_core.export import networks
from pgx_core.export.networks import Networks, write_networks
from pgx_core.learning.network import CategoricalPolicy, GaussianPolicy, NetworkSize, Population

KINDS = pytest.mark.parametrize("kind", [GaussianPolicy, CategoricalPolicy])


def make(kind) -> Networks:
    torch.manual_seed(0)
    policies = tuple(kind(5, 3, (8,)) for _ in range(2))
    for policy in policies:
        policy.observation_mean.normal_()
    return Networks("suite", policies, True, np.array([0, 1]), ("a", "b"), np.array([0.5, 1.0]))


@KINDS
def test_a_network_answers_as_torch_and_says_what_it_takes(tmp_path, kind) -> None:
    content = make(kind)
    folder = write_networks(tmp_path / "networks", content)
    observations = np.random.default_rng(0).normal(size=(20, 5)).astype(np.float32)
    for index, policy in enumerate(content.policies):
        session = onnxruntime.InferenceSession(folder / f"group_{index}.onnx")
        action, outputs = session.run(None, {"observation": observations})
        expected = policy(torch.from_numpy(observations)).detach()
        np.testing.assert_allclose(outputs, expected, atol=1e-5)
        likeliest = outputs.argmax(1, keepdims=True) if kind is CategoricalPolicy else outputs
        np.testing.assert_array_equal(action, likeliest)
    note = json.loads((folder / "networks.json").read_text())
    assert note["objectives"][1] == {"name": "b", "group": "group_1", "score": 1.0}
    assert ("index of the choice" in note["action"]) == (kind is CategoricalPolicy)


@KINDS
def test_a_network_that_answers_otherwise_is_refused(tmp_path, kind, monkeypatch) -> None:
    monkeypatch.setattr(networks, "PARITY", 0.0)
    with pytest.raises(BundleError, match="group_0: ONNX against torch: expected a difference of at most"):
        write_networks(tmp_path / "networks", make(kind))
    assert not (tmp_path / "networks").exists()


@pytest.mark.parametrize(("network", "discrete"), [("soft_modules", True), ("paco", False)])
def test_a_network_that_takes_the_objective_apart_is_exported_too(tmp_path, network, discrete) -> None:
    population = Population(NetworkSize(3, 2, 2, (6, 6), 0, discrete, network), (True,), (4,))
    policy = population.policy(0)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
    folder = write_networks(
        tmp_path / "networks", Networks("suite", (policy,), True, np.zeros(2, int), ("a", "b"), np.ones(2))
    )
    observations = np.concatenate([np.random.default_rng(0).normal(size=(20, 3)), np.eye(2)[np.arange(20) % 2]], 1)
    observations = observations.astype(np.float32)
    session = onnxruntime.InferenceSession(folder / "group_0.onnx")
    _, outputs = session.run(None, {"observation": observations})
    np.testing.assert_allclose(outputs, policy(torch.from_numpy(observations)).detach(), atol=1e-5)
    assert outputs.std(0).min() > 0.01
