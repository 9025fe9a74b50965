"""A policy as an ONNX file: normaliser, network and action decoding in one graph."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from pgx_core import __version__
from pgx_core.contract import PolicyContract
from pgx_core.errors import BundleError
from pgx_core.files import write_file
from pgx_core.learning.network import GaussianPolicy, NetworkPolicy, Policy
from pgx_core.observation import decode_action
from pgx_core.serving.golden import GoldenPairs, PolicyOutput, check_parity
from pgx_core.serving.manifest import OPSET, contract_hash
from pgx_core.serving.policy import PolicySession

RANDOM_CHECKS = 256


class ServedPolicy(nn.Module):
    """What runs on the robot: the observation in, the clipped mean action and the joint command out."""

    def __init__(self, policy: Policy, contract: PolicyContract) -> None:
        super().__init__()
        self.policy = policy
        self.contract = contract

    def forward(self, observation: Float[Tensor, "B inputs"]) -> tuple[Tensor, Tensor]:
        """(action, command), each [B, joints]."""
        action = self.policy(observation).clip(-1.0, 1.0)
        return action, decode_action(self.contract, action)


def export_policy(
    policy: Policy, contract: PolicyContract, path: Path, group: str, observations: np.ndarray
) -> GoldenPairs:
    """Write a policy as ONNX, and check that ONNX Runtime answers as torch does.

    Args:
        policy: takes exactly the contract's observation; see `without_objective`.
        contract: how observations are laid out and actions decoded.
        path: the file to write.
        group: the policy's name, kept in the file.
        observations: [N, observation_size] real ones, for the check and for the golden pairs.

    Returns:
        The observations and what torch answers to them.

    Raises:
        BundleError: the policy does not fit the contract, or the answers differ by more than PARITY.
        RunError: the file cannot be written.
    """
    served = ServedPolicy(copy.deepcopy(policy).cpu().float(), contract).eval()
    golden = np.ascontiguousarray(observations, np.float32)
    _check_fit(served.policy, contract, group, golden)
    notes = {"pgx_group": group, "pgx_contract": contract_hash(contract)}
    model = to_onnx(served, contract.observation_size, ("action", "command"), notes)
    session = PolicySession(model, contract, group)
    answers = _answer(served, golden)
    check_parity(contract, session.run_batch(golden), answers, f"group '{group}': ONNX against torch")
    spread = random_observations(served.policy)
    check_parity(
        contract, session.run_batch(spread), _answer(served, spread), f"group '{group}': ONNX against torch at random"
    )
    write_file(path, model)
    return GoldenPairs(golden, answers)


@torch.no_grad()
def without_objective(policy: Policy, n_objectives: int) -> Policy:
    """The policy without its last `n_objectives` inputs: the same answers as with zeros there."""
    state = dict(policy.state_dict())
    n_inputs = len(state["observation_mean"]) - n_objectives
    narrow: Policy
    if isinstance(policy, NetworkPolicy):
        network = type(policy.network)(replace(policy.network.size, n_objectives=0))
        narrow = NetworkPolicy(n_inputs, policy.distribution, network)
        state["network.values.task"] = state["network.values.task"][:0]
    else:
        assert isinstance(policy, GaussianPolicy)
        hidden = tuple(len(state[f"layers.{k}.bias"]) for k in range(len(policy.layers) - 1))
        narrow = GaussianPolicy(n_inputs, len(state["log_std"]), hidden)
        state["layers.0.weight"] = state["layers.0.weight"][:, :n_inputs]
    for name in ("observation_mean", "observation_std"):
        state[name] = state[name][:n_inputs]
    narrow.load_state_dict(state)
    return narrow


def _check_fit(policy: Policy, contract: PolicyContract, group: str, observations: np.ndarray) -> None:
    sizes = (policy.observation_mean.shape[0], policy.log_std.shape[0])
    wanted = (contract.observation_size, contract.action_size)
    if sizes != wanted:
        raise BundleError(f"group '{group}': expected a policy of (inputs, actions) {wanted}, got {sizes}")
    if observations.ndim != 2 or observations.shape[1] != wanted[0] or not len(observations):
        raise BundleError(f"group '{group}': expected golden observations [N, {wanted[0]}], got {observations.shape}")
    numbers = [*policy.state_dict().values(), torch.from_numpy(observations)]
    if not all(torch.isfinite(tensor).all() for tensor in numbers):
        raise BundleError(f"group '{group}': its weights or golden observations are not finite: was training stable?")


def to_onnx(module: nn.Module, n_inputs: int, outputs: tuple[str, ...], notes: dict[str, str]) -> bytes:
    """A module from observations [B, n_inputs] to some named outputs, as the content of an ONNX file."""
    example = torch.zeros(2, n_inputs)
    with _quiet():
        program = torch.onnx.export(
            module,
            (example,),
            input_names=["observation"],
            output_names=list(outputs),
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    assert opsets[""] == OPSET, opsets
    # The exporter's notes hold source paths of this machine.
    graph = model.graph
    parts: tuple[Any, ...] = (graph, *graph.node, *graph.value_info, *graph.input, *graph.output)
    for noted in parts:
        del noted.metadata_props[:]
    for key, value in {"pgx_version": __version__, **notes, "pgx_opset": str(opsets[""])}.items():
        model.metadata_props.add(key=key, value=value)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter reports what it lacks for operators that no policy has."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


@torch.no_grad()
def _answer(served: ServedPolicy, observations: np.ndarray) -> PolicyOutput:
    action, command = served(torch.from_numpy(observations))
    return PolicyOutput(action.numpy(), command.numpy())


def random_observations(policy: Policy) -> np.ndarray:
    """Observations around the training distribution, and far outside it."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(RANDOM_CHECKS, policy.observation_mean.shape[0], generator=generator)
    noise *= torch.logspace(-1, 1.5, RANDOM_CHECKS).unsqueeze(1)
    observations: np.ndarray = (policy.observation_mean + policy.observation_std * noise).numpy()
    return observations
