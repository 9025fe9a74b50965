"""The ONNX file answers as the trained policy does, and holds everything it must."""

from __future__ import annotations

import copy
import logging
import warnings

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from pgx_core import __version__
from pgx_core.errors import BundleError
from pgx_core.export.onnx import export_policy, without_objective
from pgx_core.learning.network import NetworkSize, Population
from pgx_core.observation import decode_action
from pgx_core.serving.manifest import OPSET, contract_hash


@pytest.fixture(scope="module")
def contract(make):
    return make.make_contract("position")


@pytest.fixture(scope="module")
def policy(make, contract):
    return make.make_policy(contract.observation_size, 3, seed=5, n_objectives=0)


@pytest.fixture(scope="module")
def observations(contract):
    return np.random.default_rng(0).normal(size=(40, contract.observation_size)).astype(np.float32)


@pytest.fixture(scope="module")
def exported(policy, contract, observations, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "group_0.onnx"
    return path, export_policy(policy, contract, path, "walkers", observations)


def test_the_file_answers_as_torch_for_any_batch_size(exported, policy, contract, observations):
    path, golden = exported
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for n in (1, 2, 40):
        action, command = session.run(None, {"observation": observations[:n]})
        with torch.no_grad():
            expected = policy(torch.from_numpy(observations[:n])).clip(-1, 1)
        np.testing.assert_allclose(action, expected, atol=1e-5)
        np.testing.assert_allclose(command, decode_action(contract, expected.numpy().astype(np.float64)), atol=1e-5)
        np.testing.assert_allclose(action, golden.outputs.action[:n], atol=1e-5)
    assert (np.abs(golden.outputs.action) == 1).any(), "the law is vacuous unless some actions saturate"


def test_the_file_states_its_opset_and_origin_and_no_source_paths(exported, contract):
    model = onnx.load(exported[0])
    onnx.checker.check_model(model, full_check=True)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", OPSET)]
    assert {entry.key: entry.value for entry in model.metadata_props} == {
        "pgx_version": __version__,
        "pgx_group": "walkers",
        "pgx_contract": contract_hash(contract),
        "pgx_opset": str(OPSET),
    }
    assert b".py" not in exported[0].read_bytes()


def test_export_is_deterministic_and_quiet_and_leaves_the_policy_alone(
    exported, policy, contract, observations, tmp_path, capfd, caplog
):
    before = copy.deepcopy(policy.state_dict())
    training = policy.training
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        export_policy(policy, contract, tmp_path / "again.onnx", "walkers", observations)
    assert (tmp_path / "again.onnx").read_bytes() == exported[0].read_bytes()
    assert capfd.readouterr() == ("", "")
    assert not [record for record in caplog.records if record.levelno >= logging.INFO]
    assert policy.training == training
    assert all(torch.equal(before[name], tensor) for name, tensor in policy.state_dict().items())


def test_a_policy_without_its_objective_answers_as_with_zeros_there(make):
    policy = make.make_policy(20, 3, seed=1)
    with torch.no_grad():
        policy.log_std.copy_(torch.randn(3))
    narrow = without_objective(policy, 4)
    observations = torch.randn(50, 16)
    wide = torch.cat([observations, torch.zeros(50, 4)], 1)
    torch.testing.assert_close(narrow(observations), policy(wide), atol=1e-6, rtol=1e-6)
    assert torch.equal(narrow.log_std, policy.log_std)
    assert narrow.observation_mean.shape == (16,)
    assert policy.observation_mean.shape == (20,)


def test_a_blind_network_is_exported_without_its_objective(contract, observations, tmp_path):
    size = NetworkSize(contract.observation_size, 4, 3, (6, 6), network="soft_modules")
    policy = Population(size, (False,), (0,)).policy(0)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
    narrow = without_objective(policy, 4)
    seen = torch.from_numpy(observations)
    wide = torch.cat([seen, torch.zeros(len(seen), 4)], 1)
    torch.testing.assert_close(narrow(seen), policy(wide), atol=1e-6, rtol=1e-6)
    pairs = export_policy(narrow, contract, tmp_path / "x.onnx", "walkers", observations)
    torch.testing.assert_close(torch.from_numpy(pairs.outputs.action), policy(wide).detach().clip(-1, 1))


def _with_nan(policy):
    broken = copy.deepcopy(policy)
    with torch.no_grad():
        broken.layers[1].weight[0, 0] = float("nan")
    return broken


@pytest.mark.parametrize(
    ("change_policy", "change_observations", "match"),
    [
        (lambda p: p, lambda o: o[:, :-1], "golden observations"),
        (lambda p: p, lambda o: o[:0], "golden observations"),
        (lambda p: p, lambda o: np.where(o > 1, np.nan, o), "not finite"),
        (_with_nan, lambda o: o, "not finite"),
        (lambda p: without_objective(p, 4), lambda o: o, "inputs, actions"),
    ],
)
def test_a_policy_that_does_not_fit_is_refused_before_anything_is_written(
    policy, contract, observations, tmp_path, change_policy, change_observations, match
):
    with pytest.raises(BundleError, match=match):
        export_policy(
            change_policy(policy), contract, tmp_path / "x.onnx", "walkers", change_observations(observations)
        )
    assert not list(tmp_path.iterdir())
