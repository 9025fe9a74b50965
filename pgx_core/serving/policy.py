"""One policy of a bundle, ready to run."""

from __future__ import annotations

import numpy as np
import onnxruntime

from pgx_core.contract import PolicyContract
from pgx_core.errors import BundleError
from pgx_core.serving.golden import PolicyOutput
from pgx_core.serving.manifest import OPSET, contract_hash

CPU = ("CPUExecutionProvider",)
WARM_UP_RUNS = 5  # the first run allocates, and can take 1000 times as long as the next


class PolicySession:
    """A verified network: observation in, action and command out.

    It runs on one thread and never spins: small networks are slower on two, and a spinning pool takes whole
    cores from the control loop. Not safe to share between threads.

    Args:
        model: the content of the ONNX file.
        contract: what the network must take and give.
        group: the name it must carry.
        providers: ONNX Runtime's execution providers, best first; those that are not available are skipped.

    Raises:
        BundleError: the file is unreadable, or is another group's, another contract's or another shape's network.
    """

    def __init__(self, model: bytes, contract: PolicyContract, group: str, providers: tuple[str, ...] = CPU) -> None:
        self._session = _open(model, group, providers)
        _check_signature(self._session, contract, group)
        self._input = np.zeros((1, contract.observation_size), np.float32)
        for _ in range(WARM_UP_RUNS):
            self.run(self._input[0])

    @property
    def provider(self) -> str:
        """The execution provider that runs it: the first that worked."""
        return str(self._session.get_providers()[0])

    def run(self, observation: np.ndarray) -> PolicyOutput:
        """Answer one observation [observation_size]; the arrays of the answer are the caller's."""
        self._input[0] = observation
        action, command = self._session.run(None, {"observation": self._input})
        return PolicyOutput(action[0], command[0])

    def run_batch(self, observations: np.ndarray) -> PolicyOutput:
        """Answer many observations [N, observation_size] float32."""
        return PolicyOutput(*self._session.run(None, {"observation": observations}))


def _open(model: bytes, group: str, providers: tuple[str, ...]) -> onnxruntime.InferenceSession:
    known, available = onnxruntime.get_all_providers(), onnxruntime.get_available_providers()
    unknown = [provider for provider in providers if provider not in known]
    if unknown:
        raise BundleError(f"ONNX Runtime knows no provider '{unknown[0]}'; it knows: {', '.join(known)}")
    usable = [provider for provider in providers if provider in available]
    if not usable:
        raise BundleError(f"none of the providers {', '.join(providers)} is available here: {', '.join(available)} are")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # faults are reported by the exceptions below
    for pool in ("intra_op", "inter_op"):
        options.add_session_config_entry(f"session.{pool}.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(model, options, providers=usable)
    except Exception as error:  # ONNX Runtime's exceptions share no base class
        raise BundleError(f"group '{group}': ONNX Runtime cannot read it: {' '.join(str(error).split())}") from error


def _check_signature(session: onnxruntime.InferenceSession, contract: PolicyContract, group: str) -> None:
    metadata = session.get_modelmeta().custom_metadata_map
    wanted = {"pgx_group": group, "pgx_contract": contract_hash(contract), "pgx_opset": str(OPSET)}
    for key, value in wanted.items():
        if metadata.get(key) != value:
            raise BundleError(f"group '{group}': expected {key} '{value}' in its ONNX file, got '{metadata.get(key)}'")
    sizes = {"observation": contract.observation_size, "action": contract.action_size, "command": contract.action_size}
    expected = [(name, "tensor(float)", size) for name, size in sizes.items()]
    nodes = [*session.get_inputs(), *session.get_outputs()]
    found = [(node.name, node.type, *node.shape[1:]) for node in nodes]
    # A dimension that is given by name is free: the batch must be.
    if found != expected or not all(isinstance(node.shape[0], str) for node in nodes):
        raise BundleError(f"group '{group}': expected inputs and outputs [batch, size] {expected}, got {found}")
