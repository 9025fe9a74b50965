"""Which policy serves which objective, and what it counts."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from pgx_core.learning.network import TASK_NETWORKS, NetworkSize, Population
from pgx_core.training.methods import (
    Method,
    actor_parameters,
    is_conditioned,
    is_single,
    labels_of,
    own_objectives,
    policy_parameters,
    wide_hidden,
)
from pgx_core.training.session import members_of
from pgx_core.types import Affinity, Features, Partition

NAMES = tuple("abcdef")
LABELS = np.array([0, 1, 0, 1, 2, 2])


@pytest.fixture
def found():
    rng = np.random.default_rng(0)
    same = LABELS[:, None] == LABELS
    replicates = rng.normal(np.where(same, 1.0, -1.0), 0.1, (4, 6, 6))
    affinity = Affinity(np.where(same, 1.0, -1.0), np.full((6, 6), 0.1), (replicates + replicates.mT) / 2, NAMES)
    objectives = np.repeat(np.arange(6), 20)
    features = Features(
        np.eye(3, dtype=np.float32)[LABELS[objectives]] + rng.normal(0, 0.1, (120, 3)).astype(np.float32),
        np.ones(120), np.ones(120), objectives, np.repeat(np.arange(12), 10), NAMES, 1.0, 1.0,
    )  # fmt: skip
    return Partition(LABELS, NAMES, 1.0, 1.0, "sdp"), affinity, features


@pytest.mark.parametrize("method", get_args(Method))
def test_labels_are_a_partition_into_the_right_number_of_groups(method, found) -> None:
    labels = labels_of(method, *found, seed=3)
    k = 1 if is_single(method) else 6 if method == "specialists" else 3
    assert labels.shape == (6,)
    assert set(labels) == set(range(k))
    assert (labels == labels_of(method, *found, seed=3)).all()
    if (blind := method.removesuffix("_id")) in get_args(Method):
        assert (labels == labels_of(blind, *found, seed=3)).all()


def test_labels_of_each_method(found) -> None:
    assert (labels_of("groups", *found, seed=0) == LABELS).all()
    assert (labels_of("cosine", *found, seed=0) == LABELS).all()  # the gradients were made so
    assert sorted(np.bincount(labels_of("random", *found, seed=0))) == [2, 2, 2]
    assert len({tuple(labels_of("random", *found, seed=seed)) for seed in range(10)}) > 3


@pytest.mark.parametrize("method", get_args(Method))
def test_only_the_id_methods_see_the_objective(method) -> None:
    assert is_conditioned(method) == ("id" in method.split("_") or method in TASK_NETWORKS)


def test_members_share_the_worlds_in_proportion() -> None:
    for labels in itertools.product(range(3), repeat=4):
        if set(labels) != set(range(max(labels) + 1)):
            continue
        for worlds in (1, 7, 96):
            members = members_of(np.array(labels), True, worlds)
            assert sorted(objective for member in members for objective in member.objectives) == [0, 1, 2, 3]
            for group, member in enumerate(members):
                assert all(labels[objective] == group for objective in member.objectives)
                assert abs(member.worlds - worlds * len(member.objectives) / 4) <= 0.5
                assert member.conditioned


def test_own_objectives_is_the_transposed_labels() -> None:
    own = own_objectives(LABELS)
    assert own.shape == (3, 6)
    assert (own.argmax(0) == LABELS).all() and (own.sum(0) == 1).all()


@pytest.mark.parametrize("hidden", [(8,), (8, 5), (3, 4, 5)])
@pytest.mark.parametrize("conditioned", [False, True])
def test_actor_parameters_are_those_that_can_matter(hidden, conditioned, make_population) -> None:
    population = make_population(3, conditioned, hidden)
    policy = population.policy(0)
    count = sum(parameter.numel() for parameter in policy.parameters())
    unused = 0 if conditioned else 4 * hidden[0]  # weights of the one-hot that a blind actor never gets
    assert actor_parameters(population) == 3 * (count - unused)


@pytest.mark.parametrize("network", list(TASK_NETWORKS))
@pytest.mark.parametrize("conditioned", [False, True])
def test_actor_parameters_of_the_other_networks(network, conditioned) -> None:
    population = Population(NetworkSize(2, 4, 1, (8, 8), network=network), (conditioned,) * 3, (0, 1, 2))
    named = dict(population.policy(0).named_parameters())
    unused = 0 if conditioned else named["network.values.task"].numel()
    assert actor_parameters(population) == 3 * (sum(value.numel() for value in named.values()) - unused)


@pytest.mark.parametrize("hidden", [(8,), (64, 64), (32, 16, 8)])
@pytest.mark.parametrize("n_policies", [1, 2, 5])
def test_a_wide_policy_has_as_many_parameters_as_the_groups(hidden, n_policies, make_population) -> None:
    size = make_population(1, True, hidden).size
    wide = wide_hidden(size, n_policies)
    count, wanted = (policy_parameters(replace(size, hidden=layers)) for layers in (wide, hidden))
    unit = policy_parameters(replace(size, hidden=(wide[0] + 1, *wide[1:]))) - count
    assert abs(count - n_policies * wanted) <= 2 * len(hidden) * unit
    assert np.allclose(np.array(wide) / hidden, wide[0] / hidden[0], atol=0.5 / min(hidden))
    assert wide == hidden or n_policies > 1
