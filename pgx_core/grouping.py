"""From a policy and what it did to groups of objectives: the method itself, for any trainer.

Nothing here knows how the policy was trained. Whoever trains elsewhere needs only a torch module with
`log_prob(observations, actions)` and arrays of observations, actions, advantages and objective indices.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import nn

from pgx_core.affinity.matrix import AffinityConfig, estimate_affinity
from pgx_core.affinity.subsets import SubsetConfig, sample_subsets
from pgx_core.clustering.auto import ClusteringConfig, cluster
from pgx_core.clustering.cosine import cosine_affinity
from pgx_core.errors import require, require_seed
from pgx_core.gradients.features import FeatureConfig, compute_features
from pgx_core.surrogate.scores import score_subsets
from pgx_core.surrogate.solve import SurrogateConfig, solve_subsets
from pgx_core.surrogate.split import split_episodes
from pgx_core.types import Affinity, Features, Partition, SubsetScores, Transitions


@dataclass(frozen=True)
class GroupingConfig:
    """Settings of the estimate, stage by stage."""

    features: FeatureConfig = field(default_factory=FeatureConfig)
    surrogate: SurrogateConfig = field(default_factory=SurrogateConfig)
    subsets: SubsetConfig = field(default_factory=SubsetConfig)
    affinity: AffinityConfig = field(default_factory=AffinityConfig)
    clustering: ClusteringConfig = field(default_factory=ClusteringConfig)

    def __post_init__(self) -> None:
        for name, part in vars(self).items():
            require_seed(part.seed, f"grouping.{name}.seed")
        require(self.affinity.bootstrap >= 2, "grouping.affinity.bootstrap", "2 or more", self.affinity.bootstrap)


def check_grouping(config: GroupingConfig, n: int) -> None:
    """Find settings that do not fit n objectives before anything is computed with them.

    Raises:
        ConfigError: the first that does not.
    """
    sample_subsets(n, config.subsets)
    config.clustering.choices(n)


def group_objectives(policy: nn.Module, transitions: Transitions, config: GroupingConfig | None = None) -> Partition:
    """Which objectives belong together (PolicyGradEx, arXiv 2511.12779, Algorithm 1 up to the training).

    Args:
        policy: trained on all objectives; `policy.log_prob(observations [N, inputs], actions [N, actions])`
            returns [N].
        transitions: what that policy did on each objective (some thousand transitions each), and the
            advantage of each action, from a critic that sees the objective.
        config: settings; the defaults are those of `pgx train`.

    Raises:
        ConfigError: a setting does not fit the objectives, or there is too little experience.
    """
    config = config or GroupingConfig()
    check_grouping(config, len(transitions.names))
    features = compute_features(policy, transitions, config.features).features
    subsets, device = sample_subsets(len(transitions.names), config.subsets), next(policy.parameters()).device
    fitted = split_episodes(features, config.surrogate.held_out, config.surrogate.seed)
    solution = solve_subsets(features, subsets, fitted, config.surrogate, device)
    scores = score_subsets(features, subsets, solution, ~fitted, config.surrogate.blocks, device)
    return cluster(affinity_of(features, scores, config.affinity), config.clustering).partition


def affinity_of(features: Features, scores: SubsetScores, config: AffinityConfig) -> Affinity:
    """Affinity from the subsets' scores, or for two objectives from their gradients.

    Two objectives have one subset, and its scores compare with nothing; the cosine of their policy gradients
    stands in.
    """
    if len(features.names) == 2:
        return cosine_affinity(features, config.bootstrap, config.seed)
    return estimate_affinity(scores, config)
