"""Batched worlds with objectives: episodes, rewards, observations, and containment of divergence."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import mujoco
import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from pgx_core.environments.environment import Space
from pgx_core.errors import SuiteError, require
from pgx_core.objectives.objective import Physics, Reset, Suite
from pgx_core.objectives.state import State
from pgx_core.observation import Readings, decode_action, limit_rate, observe
from pgx_core.simulation import isaacgym_api
from pgx_core.simulation.disturbance import Disturbance, combine, draw_physics
from pgx_core.simulation.engine import Engine, FakeEngine
from pgx_core.simulation.mujoco_engine import MujocoEngine
from pgx_core.simulation.robot_model import RobotModel, compile_robot, vary_physics
from pgx_core.simulation.step import Step, require_numbers
from pgx_core.simulation.terms import check_finite, evaluate_terms

DIVERGED_SPEED = 1e4  # rad/s or m/s: no robot moves so fast, a broken simulation does


@dataclass(frozen=True)
class SimulationConfig:
    """Which physics engine steps the worlds."""

    backend: Literal["mujoco", "fake", "isaacgym"] = "mujoco"
    threads: int = 2  # CPU threads of the mujoco backend, >= 1

    def __post_init__(self) -> None:
        require(self.threads >= 1, "simulation.threads", "1 or more", self.threads)


class Simulation:
    """Worlds of one suite, each pursuing one objective."""

    def __init__(
        self,
        suite: Suite,
        objectives: Int[np.ndarray, "W"],
        seed: int,
        config: SimulationConfig | None = None,
        stagger: bool = True,
    ) -> None:
        """Args: `objectives` is the objective of each world; `stagger` spreads the first episodes' ends."""
        self.suite = suite
        self.objectives = np.asarray(objectives)
        self.robot = compile_robot(suite.robot)
        contract, extra = self.robot.contract, self.robot.privileged
        privileged = sum(term.size for term in extra)
        self.space = Space(contract.observation_size, contract.action_size, n_privileged=privileged)
        self.diverged_count = 0
        self._engine = make_engine(suite, self.robot, self.objectives, config or SimulationConfig(), seed)
        self._rng = np.random.default_rng(seed)
        self._seen = replace(contract, observation=(*contract.observation, *extra))
        self._starts = [_start_ranges(self.robot, objective.reset) for objective in suite.objectives]
        disturbed = suite.randomization
        self._disturbance = Disturbance(disturbed, self.robot, self.n_worlds, self._rng) if disturbed else None
        self._stagger = stagger
        self._worlds_of = [
            (objective, _as_slice(np.flatnonzero(self.objectives == index)))
            for index, objective in enumerate(suite.objectives)
            if (self.objectives == index).any()
        ]
        n, joints = self.n_worlds, self.robot.contract.action_size
        self._elapsed = torch.zeros(n, dtype=torch.int64)
        self._action = torch.zeros(n, joints)
        self._command = torch.zeros(n, joints)
        self._touch_time = torch.zeros(n, len(self.robot.touches))

    @property
    def n_worlds(self) -> int:
        """W."""
        return len(self.objectives)

    @property
    def episode_steps(self) -> int:
        """Steps in a full episode."""
        return self.suite.episode_steps

    def reset(self) -> Float[Tensor, "W observations"]:
        """Start new episodes everywhere."""
        self._reset(np.arange(self.n_worlds))
        if self._stagger:
            self._elapsed = torch.from_numpy(self._rng.integers(0, self.suite.episode_steps, self.n_worlds))
        return self._observe(*self._engine.read())

    def step(self, actions: Float[Tensor, "W actions"]) -> Step:
        """One control step. Actions are clipped to [-1, 1].

        Raises:
            RunError: an action is NaN.
            SuiteError: a term of an objective fails.
        """
        require_numbers(actions)
        contract = self.robot.contract
        previous, self._action = self._action, actions.clip(-1.0, 1.0)
        self._command = limit_rate(contract, self._command, decode_action(contract, self._action))
        if self._disturbance:
            self._disturbance.push(self._engine)
        self._engine.step(self._disturbance.arrive(self._command) if self._disturbance else self._command)
        self._elapsed += 1
        qpos, qvel, sensordata = self._engine.read()
        diverged = ~(torch.isfinite(qpos).all(1) & (qvel.abs() < DIVERGED_SPEED).all(1))
        if diverged.any():
            qpos, qvel, sensordata = self._contain(diverged, qpos, qvel, sensordata)
        self._count_touches(sensordata)
        rewards, scores, terminated = self._evaluate(previous, qpos, qvel, sensordata, diverged)
        truncated = (self._elapsed >= self.suite.episode_steps) & ~terminated
        final = observations = self._observe(qpos, qvel, sensordata)
        ended = np.flatnonzero(terminated | truncated)
        if len(ended):
            self._reset(ended)
            observations = self._observe(*self._engine.read())
        return Step(observations, final, rewards, scores, terminated, truncated, diverged, torch.zeros_like(diverged))

    def state_dict(self) -> dict[str, Any]:
        """Everything `load_state_dict` needs to continue bit for bit."""
        return {
            "engine": self._engine.snapshot(),
            "elapsed": self._elapsed.clone(),
            "action": self._action.clone(),
            "command": self._command.clone(),
            "touch_time": self._touch_time.clone(),
            "rng": self._rng.bit_generator.state,
            "diverged_count": self.diverged_count,
            "disturbance": self._disturbance.state_dict() if self._disturbance else {},
        }

    def load_state_dict(self, state: dict[str, Any]) -> Float[Tensor, "W observations"]:
        """Continue from a saved state; returns the current observations."""
        self._engine.restore(state["engine"])
        self._elapsed = state["elapsed"].clone()
        self._action = state["action"].clone()
        self._command = state["command"].clone()
        self._touch_time = state["touch_time"].clone()
        self._rng.bit_generator.state = state["rng"]
        self.diverged_count = state["diverged_count"]
        if self._disturbance:
            self._disturbance.load_state_dict(state["disturbance"])
        return self._observe(*self._engine.read())

    def _contain(self, diverged: Tensor, *readings: Tensor) -> tuple[Tensor, ...]:
        """Give the broken worlds the home pose to be judged by, so that no NaN leaves this class."""
        self.diverged_count += int(diverged.sum())
        home = (torch.from_numpy(self.robot.home_qpos).float(), torch.tensor(0.0), torch.tensor(0.0))
        return tuple(
            torch.where(diverged[:, None], value, reading) for value, reading in zip(home, readings, strict=True)
        )

    def _reset(self, worlds: np.ndarray) -> None:
        model = self.robot.model
        noise = [self.suite.objectives[i].reset for i in self.objectives[worlds]]
        position = np.array([r.position_noise for r in noise])[:, None]
        velocity = np.array([r.velocity_noise for r in noise])[:, None]
        qpos = self.robot.home_qpos + position * self._rng.uniform(-1, 1, (len(worlds), model.nq))
        qvel = velocity * self._rng.standard_normal((len(worlds), model.nv))
        for row, world in enumerate(worlds):
            for values, address, ends in self._starts[self.objectives[world]]:
                (qpos if values == "positions" else qvel)[row, address] = self._rng.uniform(*ends)
        self._engine.reset(worlds, qpos, qvel)
        self._elapsed[worlds] = 0
        self._action[worlds] = 0.0
        self._touch_time[worlds] = 0.0
        self._command[worlds] = decode_action(self.robot.contract, torch.zeros_like(self._command[worlds]))
        if self._disturbance:
            self._disturbance.reset(worlds, self._command[worlds])

    def _count_touches(self, sensordata: Tensor) -> None:
        """See State.touch_time."""
        tick, time = 1.0 / self.robot.contract.control_rate, self._touch_time
        touching = sensordata[:, self.robot.touches] > 0.0
        self._touch_time = torch.where(touching, time.clip(min=0.0) + tick, time.clip(max=0.0) - tick)

    def _evaluate(
        self, previous: Tensor, qpos: Tensor, qvel: Tensor, sensordata: Tensor, diverged: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Rewards, scores and terminations, objective by objective."""
        rewards, scores = torch.zeros(self.n_worlds), torch.zeros(self.n_worlds)
        terminated = torch.zeros(self.n_worlds, dtype=torch.bool)
        time = self._elapsed / self.robot.contract.control_rate
        states = [
            State(
                time[worlds], qpos[worlds], qvel[worlds], self._action[worlds], previous[worlds],
                sensordata[worlds], self.robot.sensors, self._touch_time[worlds],
            )
            for _, worlds in self._worlds_of
        ]  # fmt: skip
        for (objective, worlds), state in zip(self._worlds_of, states, strict=True):
            outcome = evaluate_terms(objective, state)
            rewards[worlds], scores[worlds], terminated[worlds] = outcome.rewards, outcome.scores, outcome.terminated
        rewards, scores = rewards.masked_fill(diverged, 0.0), scores.masked_fill(diverged, 0.0)
        if not torch.isfinite(rewards + scores).all():
            for (objective, worlds), state in zip(self._worlds_of, states, strict=True):
                check_finite(objective, state, ~diverged[worlds])
        return rewards, scores, terminated | diverged

    def _observe(self, qpos: Tensor, qvel: Tensor, sensordata: Tensor) -> Float[Tensor, "W observations"]:
        sensors = {name: sensordata[:, where] for name, where in self.robot.sensors.items()}
        readings = Readings(
            joint_positions=qpos[:, self.robot.joint_qpos],
            joint_velocities=qvel[:, self.robot.joint_qvel],
            last_action=self._action,
            orientation=sensors.get("orientation"),
            angular_velocity=sensors.get("angular_velocity"),
            linear_velocity=sensors.get("linear_velocity"),
            sensors=sensors,
        )
        observations: Tensor = observe(self._seen, readings, lambda blocks: torch.cat(blocks, -1))
        return self._disturbance.disturb(observations) if self._disturbance else observations


def make_engine(
    suite: Suite, robot: RobotModel, objectives: np.ndarray, config: SimulationConfig, seed: int = 0
) -> Engine:
    """The physics engine asked for, with each world's own physics; `seed` decides those of a randomised suite."""
    if config.backend == "fake":
        return FakeEngine(robot, len(objectives))
    drawn = draw_physics(suite.randomization, np.random.default_rng(seed)) if suite.randomization else [Physics()]
    varied = {
        (i, k): vary_physics(robot.model, combine(objective.physics, physics))
        for i, objective in enumerate(suite.objectives)
        for k, physics in enumerate(drawn[: int((objectives == i).sum())])
    }
    turns = [int((objectives[:world] == i).sum()) % len(drawn) for world, i in enumerate(objectives)]
    models = [varied[i, k] for i, k in zip(objectives, turns, strict=True)]
    if config.backend == "isaacgym":
        return isaacgym_api.load(robot, models, suite.robot.mjcf)
    return MujocoEngine(robot, models, config.threads)


def _start_ranges(robot: RobotModel, reset: Reset) -> list[tuple[str, int, tuple[float, float]]]:
    """(positions or velocities, where, from and to) of every joint whose start an objective draws by itself."""
    model, ranges = robot.model, []
    addresses = {"positions": model.jnt_qposadr, "velocities": model.jnt_dofadr}
    movable = (int(mujoco.mjtJoint.mjJNT_HINGE), int(mujoco.mjtJoint.mjJNT_SLIDE))
    known = {model.joint(i).name: i for i in range(model.njnt) if model.jnt_type[i] in movable}
    for values, address in addresses.items():
        for joint, ends in getattr(reset, values).items():
            if joint not in known:
                raise SuiteError(f"reset.{values}: expected a hinge or slide ({', '.join(known)}), got '{joint}'")
            ranges.append((values, int(address[known[joint]]), ends))
    return ranges


def _as_slice(indices: np.ndarray) -> slice | Tensor:
    """Contiguous worlds as a slice: views instead of copies."""
    if len(indices) == indices[-1] - indices[0] + 1:
        return slice(int(indices[0]), int(indices[-1]) + 1)
    return torch.from_numpy(indices)
