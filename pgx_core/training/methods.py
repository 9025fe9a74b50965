"""The ways to spend one budget of environment steps: a grouping of the objectives, with or without their id."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
from jaxtyping import Bool, Int

from pgx_core.clustering.cosine import cosine_affinity
from pgx_core.clustering.strategies import cosine_groups, random_groups
from pgx_core.learning.network import TASK_NETWORKS, NetworkSize, Population
from pgx_core.learning.task_network import Network, TaskNetwork
from pgx_core.types import Affinity, Features, Partition

Method = Literal[
    "joint",
    "joint_id",
    "joint_wide_id",  # as many actor parameters as the groups have together
    "groups",
    "groups_id",
    "random",
    "random_id",
    "cosine",
    "cosine_id",
    "specialists",
    "soft_modules",  # one policy that sees the objective, with that network
    "paco",
]


def labels_of(
    method: Method, partition: Partition, affinity: Affinity, features: Features, seed: int
) -> Int[np.ndarray, "n"]:
    """Which policy serves each objective under a method. All but single policies and specialists use the same k.

    Args:
        method: the way to group.
        partition: the groups found, and their number k.
        affinity: what they were found from.
        features: what the gradient-similarity baseline groups by.
        seed: of the random groups and of the baseline's clustering.
    """
    n = len(partition.names)
    match method.removesuffix("_id"):
        case "joint" | "joint_wide" | "soft_modules" | "paco":
            return np.zeros(n, dtype=np.int64)
        case "specialists":
            return np.arange(n)
        case "random":
            return random_groups(affinity, partition.k, seed).labels
        case "cosine":
            return cosine_groups(cosine_affinity(features), partition.k, seed).labels
        case _:
            return partition.labels


def is_conditioned(method: Method) -> bool:
    """Whether the actors see which objective is commanded."""
    return method.endswith("_id") or method in TASK_NETWORKS


def is_single(method: Method) -> bool:
    """Whether one policy serves every objective."""
    return method.startswith("joint") or method in TASK_NETWORKS


def network_of(method: Method, network: Network) -> Network:
    """The network of a method's actors: its own where it is named after one, else the run's."""
    named: dict[Method, Network] = {"soft_modules": "soft_modules", "paco": "paco"}
    return named.get(method, network)


def starts_afresh(method: Method) -> bool:
    """Whether it is trained from nothing with ALL steps: the strongest use of the budget for one policy we know of.

    The others start from the meta policy.
    """
    return is_single(method) and is_conditioned(method)


def own_objectives(labels: Int[np.ndarray, "n"]) -> Bool[np.ndarray, "P n"]:
    """Which policy serves which objective."""
    own: np.ndarray = np.arange(int(labels.max()) + 1)[:, None] == labels
    return own


def policy_parameters(size: NetworkSize) -> int:
    """Parameters of one conditioned actor."""
    network = size.mlp_parameters
    if size.network != "mlp":
        network = TASK_NETWORKS[size.network].count(size.task_network)
    return network + size.distribution.n_free


def actor_parameters(population: Population) -> int:
    """Actor parameters of all policies that can ever matter: a blind actor's inputs for the id do not."""
    size = population.size
    blind = int((population.conditioned == 0).sum())
    if isinstance(population.actor, TaskNetwork):
        unused = int(population.actor.values["task"][0].numel())
    else:
        unused = size.n_objectives * size.hidden[0]
    return population.n_policies * policy_parameters(size) - blind * unused


def wide_hidden(size: NetworkSize, n_policies: int) -> tuple[int, ...]:
    """Hidden layers, in the proportions of `size`, with which one actor has as many parameters as `n_policies` of them.

    As many as whole units allow: the width of the first layer nearest to it.
    """
    size = replace(size, network="mlp")  # the others follow its count
    wanted, first = n_policies * policy_parameters(size), size.hidden[0]
    widths = [
        tuple(round(units * width / first) for units in size.hidden) for width in range(first, n_policies * first + 1)
    ]
    return min(widths, key=lambda hidden: abs(policy_parameters(replace(size, hidden=hidden)) - wanted))
