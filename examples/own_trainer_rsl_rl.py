"""Group objectives with a policy from your own trainer, here rsl_rl (`pip install rsl-rl-lib`). Half a minute.

All that pgx needs is a torch module with `log_prob(observations, actions)`, and what it did: observations,
actions, advantages and objectives. Judge the actions by a critic that sees the objective, as rsl_rl's own does here:
where objectives oppose each other a blind critic knows only their mean, and leaves more noise in the advantages.

    python examples/own_trainer_rsl_rl.py [SUITE] [ITERATIONS]
"""

from __future__ import annotations

import contextlib
import io
import sys
from typing import Any

import numpy as np
import torch
from rsl_rl.env import VecEnv
from rsl_rl.runners import OnPolicyRunner
from tensordict import TensorDict
from torch import Tensor, nn

from pgx_core.grouping import group_objectives
from pgx_core.learning.advantages import generalised_advantages, normalise_per_objective
from pgx_core.objectives.loading import load_suite
from pgx_core.objectives.objective import Suite
from pgx_core.simulation.simulation import Simulation
from pgx_core.types import Transitions

HORIZON, DISCOUNT, TRACE = 24, 0.97, 0.9
WORLDS_EACH, TRANSITIONS_EACH = 16, 8192  # per objective; the groups need some thousand transitions of each


class Worlds(VecEnv):
    """rsl_rl's view of a simulation: what the actor sees, and the objective for the critic alone."""

    device = "cpu"
    cfg: dict[str, Any] = {}  # noqa: RUF012 (the base class asks for it)

    def __init__(self, suite: Suite, each: int, seed: int, stagger: bool) -> None:
        n = len(suite.objectives)
        self.simulation = Simulation(suite, np.repeat(np.arange(n), each), seed, stagger=stagger)
        self.num_envs, self.num_actions = self.simulation.n_worlds, self.simulation.robot.contract.action_size
        self.max_episode_length = suite.episode_steps
        self.episode_length_buf = torch.zeros(self.num_envs, dtype=torch.int64)
        self.one_hot = torch.eye(n).repeat_interleave(each, 0)
        self.seen = self.simulation.reset()

    def view(self, observations: Tensor) -> TensorDict:
        """Both observation groups."""
        return TensorDict({"robot": observations, "objective": self.one_hot}, [self.num_envs])

    def get_observations(self) -> TensorDict:
        """See VecEnv."""
        return self.view(self.seen)

    def step(self, actions: Tensor) -> tuple[TensorDict, Tensor, Tensor, dict[str, Any]]:
        """See VecEnv."""
        step = self.simulation.step(actions)
        self.seen = step.observations
        return self.view(self.seen), step.rewards, step.terminated | step.truncated, {"time_outs": step.truncated}


class Policy(nn.Module):
    """What pgx asks of a policy. Only what `parameters()` lists is adapted: the mean network and the noise."""

    def __init__(self, actor: nn.Module) -> None:
        super().__init__()
        self.normalise, self.mean, self.noise = actor.obs_normalizer, actor.mlp, actor.distribution

    def log_prob(self, observations: Tensor, actions: Tensor) -> Tensor:
        """log pi(a|s), [N]."""
        mean = self.mean(self.normalise(observations))
        return torch.distributions.Normal(mean, self.noise.log_std_param.exp()).log_prob(actions).sum(-1)


def train(suite: Suite, iterations: int) -> OnPolicyRunner:
    """One policy on all objectives: the actor is blind to them, the critic is not."""
    torch.manual_seed(0)
    network = {"class_name": "MLPModel", "hidden_dims": (64, 64), "obs_normalization": True}
    noise = {"class_name": "GaussianDistribution", "init_std": 0.6, "std_type": "log"}
    settings = {
        "num_steps_per_env": HORIZON,
        "obs_groups": {"actor": ["robot"], "critic": ["robot", "objective"]},
        "algorithm": {"class_name": "PPO", "gamma": DISCOUNT, "lam": TRACE},
        "actor": {**network, "distribution_cfg": noise},
        "critic": network,
    }
    with contextlib.redirect_stdout(io.StringIO()):  # a page per iteration
        runner = OnPolicyRunner(Worlds(suite, WORLDS_EACH, seed=0, stagger=True), settings)
        runner.learn(iterations)
    runner.alg.eval_mode()
    return runner


@torch.no_grad()
def collect(runner: OnPolicyRunner, suite: Suite) -> Transitions:
    """Whole episodes on every objective, exploring; the critic judges each action, objective by objective."""
    episodes_each = -(-TRANSITIONS_EACH // suite.episode_steps)
    worlds, actor, critic = Worlds(suite, episodes_each, seed=1, stagger=False), runner.alg.actor, runner.alg.critic
    columns = []
    for _ in range(suite.episode_steps):
        before = worlds.get_observations()
        actions = actor(before, stochastic_output=True)
        step = worlds.simulation.step(actions)
        after = critic(worlds.view(step.final_observations)).squeeze(-1)
        ended = step.terminated | step.truncated
        value = critic(before).squeeze(-1)
        columns.append((before["robot"], actions, step.rewards, value, after, step.terminated, ended))
        worlds.seen = step.observations
    observations, actions, *judged = (torch.stack(column) for column in zip(*columns, strict=True))
    raw = generalised_advantages(*judged, discount=DISCOUNT, trace=TRACE)
    advantages = normalise_per_objective(raw.unsqueeze(1), worlds.one_hot.unsqueeze(0)).squeeze(1)

    def rows(values: Tensor) -> np.ndarray:
        return values.transpose(0, 1).flatten(0, 1).numpy()  # world by world: each ran one episode

    objectives = np.repeat(worlds.simulation.objectives, suite.episode_steps)
    episodes = np.repeat(np.arange(worlds.num_envs), suite.episode_steps)
    return Transitions(rows(observations), rows(actions), rows(advantages), objectives, episodes, suite.names)


def main(reference: str = "signs", iterations: str = "65") -> None:
    """Train, roll out, group."""
    torch.set_num_threads(1)
    suite = load_suite(reference)
    runner = train(suite, int(iterations))
    transitions = collect(runner, suite)
    print(f"trained {int(iterations) * HORIZON:,} steps in each world; judging {len(transitions.objectives):,} actions")
    partition = group_objectives(Policy(runner.alg.actor), transitions)
    print(f"groups: {partition}   (stability {partition.stability:.2f})")


if __name__ == "__main__":
    main(*sys.argv[1:])
