"""Every setting has a range, and says so in one line."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pgx_core.affinity.matrix import AffinityConfig
from pgx_core.affinity.subsets import SubsetConfig
from pgx_core.clustering.auto import ClusteringConfig
from pgx_core.errors import ConfigError
from pgx_core.grouping import GroupingConfig, check_grouping
from pgx_core.learning.ppo import PPOConfig
from pgx_core.objectives.suites import SIGNS, TINY
from pgx_core.run import Run, RunConfig, check_settings
from pgx_core.simulation.simulation import SimulationConfig
from pgx_core.training.evaluation import EvaluationConfig
from pgx_core.training.session import TrainingConfig
from pgx_core.training.transitions import RolloutConfig

NAN = float("nan")


@pytest.mark.parametrize(
    ("kind", "name", "values"),
    [
        (RunConfig, "seed", (-1, 2**31)),
        (RunConfig, "steps", (0, -5)),
        (RunConfig, "meta_share", (0.0, 1.0, 2.0, -0.1, NAN)),
        (RunConfig, "compare", (("joint", "groups", "joint"),)),
        (TrainingConfig, "worlds", (0, -3)),
        (TrainingConfig, "hidden", ((), (0,), (64, -1))),
        (TrainingConfig, "initial_std", (0.0, -1.0, NAN, float("inf"))),
        (TrainingConfig, "checkpoint_seconds", (-1.0, NAN, float("inf"))),
        (RolloutConfig, "samples", (0, -1)),
        (EvaluationConfig, "episodes", (1, 0, -2)),
        (EvaluationConfig, "seed", (-1,)),
        (SimulationConfig, "threads", (0, -1)),
        (PPOConfig, "horizon", (0,)),
        (PPOConfig, "epochs", (0, -1)),
        (PPOConfig, "minibatches", (0,)),
        (PPOConfig, "learning_rate", (0.0, -1e-3, NAN, float("inf"))),
        (PPOConfig, "discount", (1.0, -0.1, NAN)),
        (PPOConfig, "trace", (1.1, -0.1, NAN)),
        (PPOConfig, "clip", (0.0, NAN)),
        (PPOConfig, "value_weight", (-1.0, NAN)),
        (PPOConfig, "entropy_weight", (-1.0, NAN)),
        (PPOConfig, "minimum_std", (0.0, NAN)),
        (PPOConfig, "max_gradient_norm", (0.0, NAN)),
        (GroupingConfig, "affinity", (AffinityConfig(bootstrap=1), AffinityConfig(seed=-1))),
        (GroupingConfig, "clustering", (ClusteringConfig(seed=-1),)),
        (ClusteringConfig, "bootstrap", (1, 0)),
        (ClusteringConfig, "stability_threshold", (2.0, -0.1, NAN)),
        (GroupingConfig, "subsets", (SubsetConfig(seed=-1),)),
    ],
)
def test_a_value_out_of_range(kind, name, values) -> None:
    for value in values:
        with pytest.raises(ConfigError, match=rf"{name}.*: expected .*, got") as caught:
            replace(kind(), **{name: value})
        assert "\n" not in str(caught.value)


def test_the_defaults_fit_the_embedded_suites(tmp_path) -> None:
    for suite in (TINY, SIGNS):
        check_settings(Run(tmp_path, suite.name, suite, RunConfig()))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"steps": 500},
            "steps: expected at least 19296, since the meta policy takes 15% and its rollouts 16400, got ",
        ),
        (
            {"steps": 18_000},
            "steps: expected at least 19296, since the meta policy takes 15% and its rollouts 16400, got ",
        ),  # the rollouts alone are 16,400
        ({"steps": 3, "meta_share": 0.1}, "a meta_share above 0.1"),
        ({"rollouts": RolloutConfig(100)}, "rollouts.samples: expected at least 3 episodes of 50 steps, got 100"),
        ({"grouping": GroupingConfig(clustering=ClusteringConfig(k=5))}, "k: expected auto, or 1 to the 4 objectives"),
    ],
)
def test_settings_that_contradict_the_suite(changes, words, tmp_path) -> None:
    with pytest.raises(ConfigError) as caught:
        check_settings(Run(tmp_path, "tiny", TINY, RunConfig(**changes)))
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "grouping",
    [
        GroupingConfig(clustering=ClusteringConfig(k=0)),
        GroupingConfig(clustering=ClusteringConfig(k=7)),
        GroupingConfig(clustering=ClusteringConfig(k_max=6)),
        GroupingConfig(clustering=ClusteringConfig(k_max=0)),
        GroupingConfig(subsets=SubsetConfig(sizes=(7,))),
        GroupingConfig(subsets=SubsetConfig(count=1)),
    ],
)
def test_grouping_that_does_not_fit_six_objectives(grouping) -> None:
    with pytest.raises(ConfigError):
        check_grouping(grouping, 6)


def test_every_method_gets_the_same_steps_in_all(tmp_path) -> None:
    run = Run(tmp_path, "signs", SIGNS, RunConfig(compare=("joint", "joint_id", "groups", "cosine", "random")))
    meta, rollouts = run.meta_steps, run.rollout_steps
    assert (run.steps, meta) == (800_000, 120_000)
    assert rollouts == 6 * 21 * 200  # 4096 samples are 21 episodes of 200 steps
    own = {method: run.training_steps(method) for method in run.methods}
    assert own == {
        "groups_id": 800_000 - meta - rollouts,
        "groups": 800_000 - meta - rollouts,
        "cosine": 800_000 - meta - rollouts,
        "joint": 800_000 - meta,
        "random": 800_000 - meta,
        "joint_id": 800_000,
    }


def test_the_command_line_of_a_run_names_what_is_not_usual(tmp_path) -> None:
    assert Run(tmp_path, "tiny", TINY, RunConfig()).command == "pgx train tiny"
    training = TrainingConfig(hidden=(8, 4), ppo=PPOConfig(learning_rate=1e-3))
    config = RunConfig(seed=3, meta_conditioned=True, groups_conditioned=False, training=training)
    assert Run(tmp_path, "my suite.py:suite", TINY, config).command == (
        "pgx train 'my suite.py:suite' --seed 3 --meta-conditioned --no-groups-conditioned --training.hidden 8 4 "
        "--training.ppo.learning-rate 0.001"
    )
