"""Steps, features and regressions per second, at one number of worlds."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from gpu_roofline import Peaks, busy_seconds, count, per_second, physics_demand
from surrogate import N_SUBSETS, made_up_features, sample

from pgx_core.gradients.features import FeatureConfig, compute_features
from pgx_core.gradients.parameters import flatten_parameters
from pgx_core.learning.layout import Member, make_layout
from pgx_core.learning.network import GaussianPolicy, NetworkSize, Population
from pgx_core.learning.ppo import PPOConfig
from pgx_core.learning.trainer import Trainer
from pgx_core.objectives.objective import Suite
from pgx_core.observation import decode_action
from pgx_core.pipeline import train
from pgx_core.run import RunConfig, open_run
from pgx_core.simulation.engines import make_engine
from pgx_core.simulation.robot_model import compile_robot
from pgx_core.simulation.simulation import Simulation, SimulationConfig
from pgx_core.surrogate.solve import SurrogateConfig, solve_subsets
from pgx_core.training.session import TrainingConfig
from pgx_core.types import Transitions

CONTROL_STEPS = 10  # between two waits for the device


@dataclass(frozen=True)
class Speed:
    """One robot, one backend, one number of worlds."""

    suite: str
    backend: str
    worlds: int
    physics_steps: float  # per second, the engine alone
    training_steps: float  # environment steps per second, the whole iteration
    physics_roofline: float  # share of what the memory would allow; NaN off the GPU's backend
    training_roofline: float  # share of what peaks would allow the learner and the physics together; NaN likewise
    busy: float  # share of an iteration in which the GPU computes; NaN off the GPU
    memory: float  # bytes that torch took at most; NaN off the GPU


def measure(suite: Suite, config: SimulationConfig, worlds: int, peaks: Peaks, seconds: float) -> Speed:
    """Physics, then training."""
    physics, bound = measure_physics(suite, config, worlds, peaks, seconds)
    trainer = make_trainer(suite, config, worlds)
    device, steps = trainer.device, trainer.config.horizon * worlds
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    rate = per_second(trainer.iterate, device, seconds)
    least = count(trainer.iterate).seconds(peaks) + bound * trainer.config.horizon * compile_robot(suite.robot).substeps
    return Speed(
        suite=suite.name,
        backend=config.backend,
        worlds=worlds,
        physics_steps=physics,
        training_steps=rate * steps,
        physics_roofline=bound * physics / worlds,
        training_roofline=least * rate,
        busy=busy_seconds(trainer.iterate, device) * rate,
        memory=float(torch.cuda.max_memory_allocated(device)) if device.type == "cuda" else float("nan"),
    )


def measure_physics(
    suite: Suite, config: SimulationConfig, worlds: int, peaks: Peaks, seconds: float
) -> tuple[float, float]:
    """(physics steps per second, the least seconds that one of all worlds could take)."""
    robot = compile_robot(suite.robot)
    engine = make_engine(suite, robot, np.arange(worlds) % len(suite.objectives), config)
    home = torch.from_numpy(robot.home_qpos).float().to(engine.device).repeat(worlds, 1)
    everywhere = torch.ones(worlds, dtype=torch.bool, device=engine.device)
    engine.reset(everywhere, home, torch.zeros(worlds, robot.model.nv, device=engine.device))
    rest = torch.zeros(worlds, robot.contract.action_size, device=engine.device)
    command = decode_action(robot.contract, rest)

    def advance() -> None:
        for _ in range(CONTROL_STEPS):
            engine.step(command)

    rate = per_second(advance, engine.device, seconds) * CONTROL_STEPS * robot.substeps * worlds
    return rate, physics_demand(engine).seconds(peaks) if config.backend == "warp" else float("nan")


def make_trainer(suite: Suite, config: SimulationConfig, worlds: int) -> Trainer:
    """One policy for all objectives, as the meta policy is trained."""
    layout = make_layout((Member(tuple(range(len(suite.objectives))), False, worlds),))
    simulation = Simulation(suite, layout.objectives, 0, config)
    space = simulation.space
    size = NetworkSize(space.n_observations, len(suite.objectives), space.n_actions, n_privileged=space.n_privileged)
    return Trainer(Population(size, (False,), (0,)), simulation, layout, PPOConfig(), 2**62, 0)


def measure_features(device: torch.device, samples: int, seconds: float) -> dict[str, float]:
    """Features of made-up transitions of a policy with about 6000 parameters."""
    policy, rng = GaussianPolicy(24, 6), np.random.default_rng(0)
    observations = rng.standard_normal((samples, 24)).astype(np.float32)
    actions = rng.standard_normal((samples, 6)).astype(np.float32)
    transitions = Transitions(
        observations=observations,
        actions=actions,
        advantages=rng.standard_normal(samples).astype(np.float32),
        objectives=np.arange(samples) % 6,
        episodes=np.arange(samples) // 6,
        names=tuple("abcdef"),
    )
    policy = policy.to(device)
    rate = per_second(lambda: compute_features(policy, transitions, FeatureConfig()), device, seconds)
    return {"parameters": float(len(flatten_parameters(policy))), "features_per_second": rate * samples}


def measure_surrogate(device: torch.device, seconds: float) -> dict[str, float]:
    """200 subsets of 10 objectives."""
    features = made_up_features(0)
    subsets, fitted = sample(len(features.names), 0), np.ones(len(features.labels), dtype=bool)
    rate = per_second(lambda: solve_subsets(features, subsets, fitted, SurrogateConfig(), device), device, seconds)
    return {"surrogate_seconds": 1.0 / rate, "surrogate_solves_per_second": rate * N_SUBSETS}


def measure_pipeline(reference: str, config: SimulationConfig, worlds: int) -> dict[str, object]:
    """A whole run with its default settings but for the worlds: seconds in all and by stage."""
    settings = RunConfig(training=replace(TrainingConfig(), worlds=worlds, simulation=config))
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        run = open_run(Path(folder) / "run", reference, settings)
        train(run, say=lambda line: None)
        stages = {name: cost.seconds for name, cost in run.costs().items()}
        return {"pipeline_suite": reference, "pipeline_seconds": time.perf_counter() - began, "pipeline_stages": stages}
