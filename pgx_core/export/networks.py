"""The policies of a suite without a robot: ONNX files and a note of what goes in and comes out. Not a bundle."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from jaxtyping import Float
from torch import Tensor, nn

from pgx_core.errors import BundleError
from pgx_core.export.onnx import random_observations, to_onnx
from pgx_core.files import atomic_folder
from pgx_core.learning.distribution import Categorical
from pgx_core.learning.network import Policy

NETWORKS_FILE = "networks.json"
PARITY = 1e-4  # largest difference of ONNX Runtime's outputs to torch's, absolute and relative


@dataclass(frozen=True)
class Networks:
    """One policy per group, and whom each serves."""

    suite: str
    policies: tuple[Policy, ...]
    conditioned: bool  # do the policies see the objective?
    labels: np.ndarray  # [n] which policy serves each objective
    names: tuple[str, ...]  # of the objectives, in the order of the one-hot
    scores: np.ndarray  # [n] of that policy on each


class ActingPolicy(nn.Module):
    """The observation with the one-hot objective in; the likeliest action and the network's outputs out."""

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.policy = policy

    def forward(self, observation: Float[Tensor, "B inputs"]) -> tuple[Tensor, Tensor]:
        """(action [B, actions], outputs [B, outputs]): what the note says of them."""
        outputs = self.policy(observation)
        return self.policy.distribution.mode(outputs), outputs


def write_networks(folder: Path, networks: Networks) -> Path:
    """Write `group_0.onnx` and so on, and `networks.json`, checked against torch.

    Raises:
        BundleError: ONNX Runtime answers otherwise than torch.
        RunError: the disk is full, or the folder cannot be written.
    """
    with atomic_folder(folder) as draft:
        for index, policy in enumerate(networks.policies):
            group = f"group_{index}"
            acting = ActingPolicy(policy).eval()
            model = to_onnx(acting, len(policy.observation_mean), ("action", "outputs"), {"pgx_group": group})
            _check(acting, model, group)
            (draft / f"{group}.onnx").write_bytes(model)
        (draft / NETWORKS_FILE).write_text(json.dumps(_note(networks), indent=2) + "\n")
    return folder


@torch.no_grad()
def _check(acting: ActingPolicy, model: bytes, group: str) -> None:
    observations = random_observations(acting.policy)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    _, came = session.run(None, {"observation": observations})
    expected = acting.policy(torch.from_numpy(observations)).numpy()
    if not np.allclose(came, expected, PARITY, PARITY):
        worst = float(np.abs(came - expected).max())
        raise BundleError(f"{group}: ONNX against torch: expected a difference of at most {PARITY}, got {worst:g}")


def _note(networks: Networks) -> dict[str, object]:
    discrete = isinstance(networks.policies[0].distribution, Categorical)
    return {
        "suite": networks.suite,
        "input": "observation: the environment's, then "
        + ("the one-hot objective" if networks.conditioned else "a zero for each objective"),
        "action": "index of the choice" if discrete else "mean of each action, to be clipped to [-1, 1]",
        "outputs": "logit of each choice" if discrete else "the same",
        "objectives": [
            {"name": name, "group": f"group_{label}", "score": float(score)}
            for name, label, score in zip(networks.names, networks.labels, networks.scores, strict=True)
        ],
    }
