"""Unitree's Go1 in mjlab, its velocity commands as objectives. Needs `pip install mjlab`.

    pgx train examples/own_trainer_mjlab.py:suite    # pgx trains: meta policy, groups, a policy for each
    python examples/own_trainer_mjlab.py [ITERATIONS] [WORLDS] [FOLDER]    # mjlab trains by rsl_rl, pgx groups

rsl_rl's checkpoint stays in FOLDER, and a second call goes on from it up to ITERATIONS. The defaults are for a CPU,
where nobody learns to walk in reasonable time: they show that everything fits together, and the groups mean nothing
yet. With a GPU, which is taken where there is one: 1500 4096.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import mjlab.tasks  # noqa: F401 (registers the tasks)
import numpy as np
import torch
from mjlab.envs import ManagerBasedRlEnv
from mjlab.rl import MjlabOnPolicyRunner, RslRlVecEnvWrapper
from mjlab.tasks.registry import load_env_cfg, load_rl_cfg
from rsl_rl.runners import OnPolicyRunner
from tensordict import TensorDict
from torch import Tensor, nn

from pgx_core.environments.manager_based import ManagerObjective, manager_based_environment, tasks_of
from pgx_core.grouping import group_objectives
from pgx_core.learning.advantages import generalised_advantages, normalise_per_objective
from pgx_core.objectives.environment_suite import EnvironmentSuite
from pgx_core.simulation.make import make_simulation
from pgx_core.types import Transitions

TASK = "Mjlab-Velocity-Flat-Unitree-Go1"
DEVICE = "cuda:0" if torch.cuda.is_available() else "cpu"
TRACKING = ("track_linear_velocity", "track_angular_velocity")  # reward terms from 0 to 1: the score is their mean
TWISTS = {  # ahead, to the left (m/s), turning to the left (rad/s), in the frame of the base
    "forward": (0.8, 0.0, 0.0),
    "backward": (-0.8, 0.0, 0.0),
    "left": (0.0, 0.8, 0.0),
    "right": (0.0, -0.8, 0.0),
    "turn_left": (0.0, 0.0, 0.5),
    "turn_right": (0.0, 0.0, -0.5),
    "stand": (0.0, 0.0, 0.0),
}
OBJECTIVES = [ManagerObjective(name, {"twist": twist}, score=TRACKING) for name, twist in TWISTS.items()]
STEPS, DISCOUNT, TRACE = 128, 0.99, 0.95  # STEPS of each world are judged


def build(worlds: int, seed: int) -> ManagerBasedRlEnv:
    """Go1 on flat ground."""
    settings = load_env_cfg(TASK)
    settings.scene.num_envs, settings.seed = worlds, seed
    return ManagerBasedRlEnv(settings, device=DEVICE)


suite = EnvironmentSuite("go1", manager_based_environment("Go1", build, OBJECTIVES), tasks_of(OBJECTIVES))


class Policy(nn.Module):
    """What pgx asks of a policy. Only what `parameters()` lists is adapted: the mean network and the noise."""

    def __init__(self, actor: nn.Module) -> None:
        super().__init__()
        self.normalise, self.mean, self.noise = actor.obs_normalizer, actor.mlp, actor.distribution

    def log_prob(self, observations: Tensor, actions: Tensor) -> Tensor:
        """log pi(a|s), [N]."""
        mean = self.mean(self.normalise(observations))
        return torch.distributions.Normal(mean, self.noise.std_param).log_prob(actions).sum(-1)


def train(folder: Path, iterations: int, worlds: int) -> OnPolicyRunner:
    """One policy on mjlab's own mixture of commands, which both actor and critic see."""
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / "policy.pt"
    settings = asdict(load_rl_cfg(TASK)) | {"logger": "tensorboard"}
    runner = MjlabOnPolicyRunner(RslRlVecEnvWrapper(build(worlds, 0)), settings, None, DEVICE)
    if checkpoint.is_file():
        runner.load(str(checkpoint))
    missing = iterations - runner.current_learning_iteration
    if missing > 0:
        runner.learn(missing)
        runner.current_learning_iteration = iterations
        runner.save(str(checkpoint))
    runner.alg.eval_mode()
    return runner


@torch.no_grad()
def collect(runner: OnPolicyRunner, each: int) -> Transitions:
    """STEPS of exploring in `each` worlds per objective, judged by the critic, objective by objective."""
    n, actor, critic = len(OBJECTIVES), runner.alg.actor, runner.alg.critic
    worlds = make_simulation(suite, np.repeat(np.arange(n), each), seed=1, stagger=False)
    width = suite.environment.space.n_observations

    def view(rows: Tensor) -> TensorDict:
        return TensorDict({"actor": rows[:, :width], "critic": rows[:, width:]}, [len(rows)])

    seen, episode, columns = worlds.reset(), torch.zeros(worlds.n_worlds, dtype=torch.int64, device=DEVICE), []
    for step in range(STEPS):
        actions = actor(view(seen), stochastic_output=True)
        outcome = worlds.step(actions)
        ended = outcome.terminated | outcome.truncated | (step == STEPS - 1)
        value, after = (critic(view(rows)).squeeze(-1) for rows in (seen, outcome.final_observations))
        judged = (outcome.rewards, value, after, outcome.terminated, ended)
        columns.append([part.cpu() for part in (seen[:, :width], actions, episode, *judged)])
        seen, episode = outcome.observations, episode + ended
    observations, actions, episodes, *told = (torch.stack(column) for column in zip(*columns, strict=True))
    raw = generalised_advantages(*told, discount=DISCOUNT, trace=TRACE)
    one_hot = torch.eye(n).repeat_interleave(each, 0).unsqueeze(0)
    advantages = normalise_per_objective(raw.unsqueeze(1), one_hot).squeeze(1)
    numbers = episodes + torch.arange(worlds.n_worlds) * (STEPS + 1)  # no two worlds share one

    def rows(values: Tensor) -> np.ndarray:
        return values.transpose(0, 1).flatten(0, 1).numpy()  # world by world

    of_row = np.repeat(worlds.objectives, STEPS)
    return Transitions(rows(observations), rows(actions), rows(advantages), of_row, rows(numbers), suite.names)


def main(iterations: str = "20", worlds: str = "64", folder: str = "runs/go1_rsl_rl") -> None:
    """Train, roll out, group."""
    torch.set_num_threads(1)
    runner = train(Path(folder), int(iterations), int(worlds))
    transitions = collect(runner, max(8, int(worlds) // len(OBJECTIVES)))
    print(f"judging {len(transitions.objectives):,} actions after {iterations} iterations")
    partition = group_objectives(Policy(runner.alg.actor).cpu(), transitions)
    print(f"groups: {partition}   (stability {partition.stability:.2f})")


if __name__ == "__main__":
    main(*sys.argv[1:])
