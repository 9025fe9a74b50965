"""The ways to spend one budget of environment steps: a grouping of the objectives, with or without their id."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Bool, Int

from pgx_core.clustering.cosine import cosine_affinity
from pgx_core.clustering.strategies import cosine_groups, random_groups
from pgx_core.learning.network import Population
from pgx_core.types import Affinity, Features, Partition

Method = Literal[
    "joint", "joint_id", "groups", "groups_id", "random", "random_id", "cosine", "cosine_id", "specialists"
]


def labels_of(
    method: Method, partition: Partition, affinity: Affinity, features: Features, seed: int
) -> Int[np.ndarray, "n"]:
    """Which policy serves each objective under a method. All but `joint` and `specialists` use the same k.

    Args:
        method: the way to group.
        partition: the groups found, and their number k.
        affinity: what they were found from.
        features: what the gradient-similarity baseline groups by.
        seed: of the random groups and of the baseline's clustering.
    """
    n = len(partition.names)
    match method.removesuffix("_id"):
        case "joint":
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


def own_objectives(labels: Int[np.ndarray, "n"]) -> Bool[np.ndarray, "P n"]:
    """Which policy serves which objective."""
    own: np.ndarray = np.arange(int(labels.max()) + 1)[:, None] == labels
    return own


def actor_parameters(population: Population) -> int:
    """Actor parameters of all policies that can ever matter: a blind actor's inputs for the id do not."""
    size = population.size
    per_policy = sum(p[0].numel() for p in population.actor.parameters()) + population.log_std[0].numel()
    blind = int((population.conditioned == 0).sum())
    return population.n_policies * per_policy - blind * size.n_objectives * size.hidden[0]
