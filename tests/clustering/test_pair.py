"""Two objectives: the smallest suite a user can bring."""

import numpy as np
import pytest

from pgx_core.clustering.auto import ClusteringConfig, cluster
from pgx_core.types import Affinity


def pair(mean, error, seed=0):
    draws = mean + error * np.random.default_rng(seed).standard_normal(200)
    matrices = np.array([[[0, u], [u, 0]] for u in draws])
    return Affinity(np.array([[0, mean], [mean, 0]]), matrices.std(0), matrices, ("ahead", "back"))


@pytest.mark.parametrize(("mean", "k"), [(-0.9, 2), (0.9, 1), (-0.05, 1), (0.0, 1)])
def test_two_objectives_part_only_where_they_surely_harm_each_other(mean, k):
    for seed in range(10):
        assert cluster(pair(mean, 0.1, seed), ClusteringConfig()).partition.k == k


def test_a_pair_can_be_forced():
    assert cluster(pair(0.9, 0.1), ClusteringConfig(k=2)).partition.k == 2
    assert cluster(pair(-0.9, 0.1), ClusteringConfig(k_max=1)).partition.k == 1
