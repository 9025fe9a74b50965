"""The ways to spend one budget of environment steps: a grouping of the objectives, with or without their id."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Literal

import numpy as np
from jaxtyping import Bool, Int

from pgx_core.clustering.cosine import cosine_affinity
from pgx_core.clustering.strategies import cosine_groups, random_groups
from pgx_core.learning.network import NetworkSize, Population
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
        case "joint" | "joint_wide":
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
    return method.endswith("_id")


def is_single(method: Method) -> bool:
    """Whether one policy serves every objective."""
    return method.startswith("joint")


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
    widths = (size.n_inputs, *size.hidden, size.distribution.n_outputs)
    return sum((inputs + 1) * outputs for inputs, outputs in pairwise(widths)) + size.distribution.n_free


def actor_parameters(population: Population) -> int:
    """Actor parameters of all policies that can ever matter: a blind actor's inputs for the id do not."""
    size = population.size
    blind = int((population.conditioned == 0).sum())
    return population.n_policies * policy_parameters(size) - blind * size.n_objectives * size.hidden[0]


def wide_hidden(size: NetworkSize, n_policies: int) -> tuple[int, ...]:
    """Hidden layers, in the proportions of `size`, with which one actor has as many parameters as `n_policies` of them.

    As many as whole units allow: the width of the first layer nearest to it.
    """
    wanted, first = n_policies * policy_parameters(size), size.hidden[0]
    widths = [
        tuple(round(units * width / first) for units in size.hidden) for width in range(first, n_policies * first + 1)
    ]
    return min(widths, key=lambda hidden: abs(policy_parameters(replace(size, hidden=hidden)) - wanted))
