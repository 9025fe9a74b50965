"""The learners that `ppo.py` compares: ours and two public ones, each behind the same two methods."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import torch
from gymnasium import spaces
from jaxtyping import Float
from rsl_rl.env import VecEnv as RslRlWorlds
from rsl_rl.runners import OnPolicyRunner
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecEnv as Sb3Worlds
from stable_baselines3.common.vec_env import VecNormalize
from tensordict import TensorDict
from torch import Tensor

from pgx_core.learning.layout import Member, make_layout
from pgx_core.learning.network import NetworkSize, Population
from pgx_core.learning.ppo import PPOConfig
from pgx_core.learning.trainer import Trainer
from pgx_core.objectives.objective import Suite
from pgx_core.simulation.simulation import Simulation, SimulationConfig

HORIZON = 24  # control steps per iteration in each world, for every learner
HIDDEN = (64, 64)
INITIAL_STD = 0.6
OURS = PPOConfig(horizon=HORIZON)


class Learner(Protocol):
    """A training that goes on for as many iterations as it is told."""

    def advance(self, iterations: int) -> None:
        """Collect `HORIZON` steps in every world and learn from them, so many times."""
        ...

    def act(self, observations: Float[Tensor, "B observations"]) -> Float[Tensor, "B actions"]:
        """The mean action."""
        ...


class Ours:
    """A population of one policy, as `pgx train` trains it."""

    def __init__(self, suite: Suite, objective: int, worlds: int, iterations: int, seed: int) -> None:
        self.trainer = our_trainer(suite, (Member((objective,), False, worlds),), iterations, seed)

    def advance(self, iterations: int) -> None:
        """See Learner."""
        for _ in range(iterations):
            self.trainer.iterate()

    def act(self, observations: Float[Tensor, "B observations"]) -> Float[Tensor, "B actions"]:
        """See Learner."""
        policy = self.trainer.population.policy(0)
        unconditioned = torch.zeros(len(observations), self.trainer.population.size.n_objectives)
        return policy(torch.cat([observations, unconditioned], -1))


def our_trainer(suite: Suite, members: tuple[Member, ...], iterations: int, seed: int) -> Trainer:
    """A fresh population in fresh worlds."""
    layout = make_layout(members)
    worlds = Simulation(suite, layout.objectives, seed, SimulationConfig(threads=2))
    contract = worlds.robot.contract
    size = NetworkSize(contract.observation_size, len(suite.objectives), contract.action_size, HIDDEN)
    seeds = tuple(1000 * seed + i for i in range(len(members)))
    population = Population(size, tuple(m.conditioned for m in members), seeds, INITIAL_STD)
    return Trainer(population, worlds, layout, OURS, iterations * HORIZON * worlds.n_worlds, seed)


class RslRl:
    """rsl_rl (ETH Zurich and NVIDIA), the learner of legged_gym, Isaac Lab and mjlab."""

    def __init__(
        self, suite: Suite, objective: int, worlds: int, iterations: int, seed: int, algorithm: dict[str, Any]
    ) -> None:
        torch.manual_seed(seed)
        model = {"class_name": "MLPModel", "hidden_dims": HIDDEN, "activation": "elu", "obs_normalization": True}
        noise = {"class_name": "GaussianDistribution", "init_std": INITIAL_STD, "std_type": "log"}
        settings = {
            "num_steps_per_env": HORIZON,
            "obs_groups": {"actor": ["policy"], "critic": ["policy"]},
            "algorithm": {"class_name": "PPO", **algorithm},
            "actor": {**model, "distribution_cfg": noise},
            "critic": model,
        }
        with _quiet():
            self.runner = OnPolicyRunner(_RslRlWorlds(_simulation(suite, objective, worlds, seed)), settings)

    def advance(self, iterations: int) -> None:
        """See Learner."""
        with _quiet():
            self.runner.learn(iterations)

    def act(self, observations: Float[Tensor, "B observations"]) -> Float[Tensor, "B actions"]:
        """See Learner."""
        actions: Tensor = self.runner.alg.get_policy()(TensorDict({"policy": observations}, [len(observations)]))
        return actions


class _RslRlWorlds(RslRlWorlds):
    device = "cpu"
    cfg: dict[str, Any] = {}  # noqa: RUF012 (the base class asks for it)

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.num_envs, self.num_actions = simulation.n_worlds, simulation.robot.contract.action_size
        self.max_episode_length = simulation.suite.episode_steps
        self.episode_length_buf = torch.zeros(self.num_envs, dtype=torch.int64)
        self._observations = simulation.reset()

    def get_observations(self) -> TensorDict:
        return TensorDict({"policy": self._observations}, [self.num_envs])

    def step(self, actions: Tensor) -> tuple[TensorDict, Tensor, Tensor, dict[str, Any]]:
        step = self.simulation.step(actions)
        self._observations = step.observations
        extras = {"time_outs": step.truncated}
        return self.get_observations(), step.rewards, step.terminated | step.truncated, extras


class StableBaselines3:
    """Stable-Baselines3, with its own normaliser of observations and rewards."""

    def __init__(
        self, suite: Suite, objective: int, worlds: int, iterations: int, seed: int, algorithm: dict[str, Any]
    ) -> None:
        plain = _Sb3Worlds(_simulation(suite, objective, worlds, seed))
        self.worlds = VecNormalize(plain, gamma=algorithm["gamma"])
        network = {"net_arch": list(HIDDEN), "log_std_init": float(np.log(INITIAL_STD))}
        settings = dict(algorithm)
        batch = HORIZON * worlds // settings.pop("minibatches")
        self.model = PPO(
            "MlpPolicy", self.worlds, n_steps=HORIZON, batch_size=batch, policy_kwargs=network, seed=seed, device="cpu",
            **settings,
        )  # fmt: skip

    def advance(self, iterations: int) -> None:
        """See Learner."""
        self.model.learn(iterations * HORIZON * self.worlds.num_envs, reset_num_timesteps=False)

    def act(self, observations: Float[Tensor, "B observations"]) -> Float[Tensor, "B actions"]:
        """See Learner."""
        actions, _ = self.model.predict(self.worlds.normalize_obs(observations.numpy()), deterministic=True)
        return torch.from_numpy(actions)


class _Sb3Worlds(Sb3Worlds):
    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        contract = simulation.robot.contract
        super().__init__(
            simulation.n_worlds,
            spaces.Box(-np.inf, np.inf, (contract.observation_size,), np.float32),
            spaces.Box(-1.0, 1.0, (contract.action_size,), np.float32),
        )

    def reset(self) -> np.ndarray:
        return self.simulation.reset().numpy()

    def step_async(self, actions: np.ndarray) -> None:
        self._actions = torch.from_numpy(actions)

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        step = self.simulation.step(self._actions)
        ended = (step.terminated | step.truncated).numpy()
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for world in np.flatnonzero(ended):
            infos[world] = {
                "terminal_observation": step.final_observations[world].numpy(),
                "TimeLimit.truncated": bool(step.truncated[world]),
            }
        return step.observations.numpy(), step.rewards.numpy(), ended, infos

    def close(self) -> None:
        pass

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [None] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        raise NotImplementedError

    def env_method(self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any) -> list[Any]:
        raise NotImplementedError

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        return [False] * self.num_envs


def _simulation(suite: Suite, objective: int, worlds: int, seed: int) -> Simulation:
    return Simulation(suite, np.full(worlds, objective), seed, SimulationConfig(threads=2))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The runner prints a page per iteration."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield
