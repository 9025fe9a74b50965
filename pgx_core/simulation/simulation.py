"""Batched worlds with objectives: episodes, rewards, observations, and containment of divergence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pgx_core.environments.environment import Space
from pgx_core.errors import require
from pgx_core.objectives.objective import Suite
from pgx_core.objectives.state import State
from pgx_core.observation import Readings, decode_action, limit_rate, observe
from pgx_core.simulation.deferred import DeferredCheck
from pgx_core.simulation.disturbance import Disturbance
from pgx_core.simulation.draws import DeviceDraws, Draws, HostDraws
from pgx_core.simulation.engines import SimulationConfig as SimulationConfig  # users take it from here
from pgx_core.simulation.engines import make_engine
from pgx_core.simulation.mujoco_engine import MujocoEngine
from pgx_core.simulation.robot_model import compile_robot
from pgx_core.simulation.starts import Starts
from pgx_core.simulation.step import Step, require_numbers
from pgx_core.simulation.terms import SharedTerms, check_finite, evaluate_terms

DIVERGED_SPEED = 1e4  # rad/s or m/s: no robot moves so fast, a broken simulation does


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
        config = config or SimulationConfig()
        self._engine = make_engine(suite, self.robot, self.objectives, config, seed)
        self.device = self._engine.device
        self._deferred = DeferredCheck(self.device) if config.resident else None
        self._draws: Draws = DeviceDraws(seed, self.device) if config.resident else HostDraws(seed)
        self._seen = replace(contract, observation=(*contract.observation, *extra))
        self._starts = Starts(self.robot, suite, self.objectives, self._draws, self.device)
        disturbed = suite.randomization
        self._disturbance = (
            Disturbance(disturbed, self.robot, self.n_worlds, self._draws, self.device) if disturbed else None
        )
        self._stagger = stagger
        self._worlds_of = [
            (objective, _as_slice(np.flatnonzero(self.objectives == index), self.device))
            for index, objective in enumerate(suite.objectives)
            if (self.objectives == index).any()
        ]
        self._shared = SharedTerms(suite.objectives)
        self._joint_qpos, self._joint_qvel, self._touches = (
            torch.as_tensor(where, dtype=torch.int64).to(self.device)
            for where in (self.robot.joint_qpos, self.robot.joint_qvel, self.robot.touches)
        )
        self._home = torch.from_numpy(self.robot.home_qpos).float().to(self.device)
        n, joints = self.n_worlds, self.robot.contract.action_size
        self._rest = decode_action(contract, torch.zeros(joints, device=self.device))
        self._elapsed = torch.zeros(n, dtype=torch.int64, device=self.device)
        self._action, self._command, self._touch_time = (
            torch.zeros(n, columns, device=self.device) for columns in (joints, joints, len(self._touches))
        )
        self._diverged = torch.zeros((), dtype=torch.int64, device=self.device)

    @property
    def n_worlds(self) -> int:
        """W."""
        return len(self.objectives)

    @property
    def episode_steps(self) -> int:
        """Steps in a full episode."""
        return self.suite.episode_steps

    @property
    def diverged_count(self) -> int:
        """Worlds whose physics broke so far. Waits for the device."""
        return int(self._diverged)

    def reset(self) -> Float[Tensor, "W observations"]:
        """Start new episodes everywhere."""
        everywhere = torch.ones(self.n_worlds, dtype=torch.bool, device=self.device)
        self._reset(everywhere)
        if self._stagger:
            self._elapsed = self._draws.integers(everywhere, 0, self.suite.episode_steps)
        return self._observe(*self._engine.read())

    def step(self, actions: Float[Tensor, "W actions"]) -> Step:
        """One control step. Actions are clipped to [-1, 1]. On a GPU it only queues work there, and returns.

        Raises:
            RunError: an action is NaN (`check` raises it where worlds run on a device).
            SuiteError: a term of an objective fails (one that is NaN: `check`, as above).
        """
        if self._deferred:
            self._deferred.actions(actions)
        else:
            require_numbers(actions)
        contract = self.robot.contract
        previous, self._action = self._action, actions.clip(-1.0, 1.0)
        self._command = limit_rate(contract, self._command, decode_action(contract, self._action))
        if self._disturbance:
            self._disturbance.push(self._engine)
        self._engine.step(self._disturbance.arrive(self._command) if self._disturbance else self._command)
        self._elapsed = self._elapsed + 1
        qpos, qvel, sensordata = self._engine.read()
        diverged = ~(torch.isfinite(qpos).all(1) & (qvel.abs() < DIVERGED_SPEED).all(1))
        qpos, qvel, sensordata = self._contain(diverged, qpos, qvel, sensordata)
        self._count_touches(sensordata)
        rewards, scores, terminated = self._evaluate(previous, qpos, qvel, sensordata, diverged)
        truncated = (self._elapsed >= self.suite.episode_steps) & ~terminated
        final = observations = self._observe(qpos, qvel, sensordata)
        ended = terminated | truncated
        # Among thousands of worlds some always end; whether any did, the host could only wait to learn.
        if self._deferred or ended.any():
            self._reset(ended)
            observations = self._observe(*self._engine.read())
        return Step(observations, final, rewards, scores, terminated, truncated, diverged, torch.zeros_like(diverged))

    def trace(
        self,
    ) -> tuple[Float[np.ndarray, "W S nq"], Float[np.ndarray, "W S nv"], Float[np.ndarray, "W S sensors"]]:
        """Every physics step of the last control step, ends of episodes included: see MujocoEngine.trace.

        Raises:
            ConfigError: another engine runs the worlds.
        """
        traced = isinstance(self._engine, MujocoEngine)
        require(traced, "simulation.backend", "mujoco, which keeps every physics step", type(self._engine).__name__)
        return cast(MujocoEngine, self._engine).trace()

    def faults(self) -> Int[Tensor, "faults"]:
        """What `check` looks at, still on the device: fetched together with other results, it costs no waiting.

        What was noted since the last call is told once.
        """
        noted = self._deferred.flags(self._engine) if self._deferred else self._diverged.new_zeros(0)
        return torch.cat([self._diverged[None], noted])

    def check(self, faults: Int[Tensor, "faults"] | None = None) -> int:
        """Raise what `step` could not without waiting for the device; call it once per rollout.

        Args:
            faults: as `faults` returned them, fetched; where None, they are, and the host waits for them.

        Returns:
            Worlds whose physics broke so far.

        Raises:
            RunError: an action was NaN, or the engine ran out of memory for contacts.
            SuiteError: a term of an objective was not finite.
        """
        diverged, *flags = (self.faults() if faults is None else faults).tolist()
        if self._deferred:
            self._deferred.check(flags, self._engine, self._check_terms)
        return int(diverged)

    def state_dict(self) -> dict[str, Any]:
        """Everything `load_state_dict` needs to continue bit for bit on the same kind of device."""
        return {
            "engine": self._engine.snapshot(),
            "elapsed": self._elapsed.clone(),
            "action": self._action.clone(),
            "command": self._command.clone(),
            "touch_time": self._touch_time.clone(),
            "rng": self._draws.state(),
            "diverged_count": self.diverged_count,
            "disturbance": self._disturbance.state_dict() if self._disturbance else {},
        }

    def load_state_dict(self, state: dict[str, Any]) -> Float[Tensor, "W observations"]:
        """Continue from a saved state, on whatever device it was saved; returns the current observations."""
        self._engine.restore(state["engine"])
        self._elapsed, self._action, self._command, self._touch_time = (
            state[name].to(self.device, copy=True) for name in ("elapsed", "action", "command", "touch_time")
        )
        self._draws.restore(state["rng"])
        self._diverged = torch.tensor(state["diverged_count"]).to(self.device)
        if self._disturbance:
            self._disturbance.load_state_dict(state["disturbance"])
        return self._observe(*self._engine.read())

    def _contain(self, diverged: Tensor, qpos: Tensor, qvel: Tensor, sensordata: Tensor) -> tuple[Tensor, ...]:
        """Give the broken worlds the home pose to be judged by, so that no NaN leaves this class."""
        self._diverged = self._diverged + diverged.sum()
        broken = diverged[:, None]
        return torch.where(broken, self._home, qpos), qvel.masked_fill(broken, 0.0), sensordata.masked_fill(broken, 0.0)

    def _reset(self, worlds: Bool[Tensor, "W"]) -> None:
        start, rows = self._starts.draw(worlds), worlds[:, None]
        self._elapsed = self._elapsed.masked_fill(worlds, 0)
        self._action = self._action.masked_fill(rows, 0.0)
        self._touch_time = self._touch_time.masked_fill(rows, 0.0)
        self._command = torch.where(rows, self._rest, self._command)
        if self._disturbance:
            if self._disturbance.config.switched:
                switched, other = self._disturbance.switch(worlds)
                start = self._disturbance.take_over(switched, other, start, self._engine)
                self._action, self._touch_time, self._command = (
                    torch.where(switched[:, None], now[other], now)  # the other world's episode goes on
                    for now in (self._action, self._touch_time, self._command)
                )
            self._disturbance.reset(worlds, self._command)
        self._engine.reset(worlds, *start)

    def _count_touches(self, sensordata: Tensor) -> None:
        """See State.touch_time."""
        tick, time = 1.0 / self.robot.contract.control_rate, self._touch_time
        touching = sensordata[:, self._touches] > 0.0
        self._touch_time = torch.where(touching, time.clip(min=0.0) + tick, time.clip(max=0.0) - tick)

    def _evaluate(
        self, previous: Tensor, qpos: Tensor, qvel: Tensor, sensordata: Tensor, diverged: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Rewards, scores and terminations, objective by objective."""
        rewards, scores = torch.zeros(2, self.n_worlds, device=self.device)
        terminated = torch.zeros(self.n_worlds, dtype=torch.bool, device=self.device)
        time = self._elapsed / self.robot.contract.control_rate
        seen = (time, qpos, qvel, self._action, previous, sensordata, self._touch_time)
        shared = self._shared.values(self._state(seen, slice(None)))
        for objective, worlds in self._worlds_of:
            known = {term: values[worlds] for term, values in shared.items()}
            outcome = evaluate_terms(objective, self._state(seen, worlds), known)
            rewards[worlds], scores[worlds], terminated[worlds] = outcome.rewards, outcome.scores, outcome.terminated
        rewards, scores = rewards.masked_fill(diverged, 0.0), scores.masked_fill(diverged, 0.0)
        finite = torch.isfinite(rewards + scores).all()
        if self._deferred:
            self._deferred.terms(~finite, (diverged, *seen))
        elif not finite:
            self._check_terms((diverged, *seen))
        return rewards, scores, terminated | diverged

    def _state(self, seen: tuple[Tensor, ...], worlds: slice | Tensor) -> State:
        time, qpos, qvel, action, previous, sensordata, touch_time = (tensor[worlds] for tensor in seen)
        return State(time, qpos, qvel, action, previous, sensordata, self.robot.sensors, touch_time)

    def _check_terms(self, seen: tuple[Tensor, ...]) -> None:
        """Name the term that is to blame. Args: `seen` is which worlds diverged, then what `_state` takes."""
        diverged, *state = seen
        for objective, worlds in self._worlds_of:
            check_finite(objective, self._state(tuple(state), worlds), ~diverged[worlds])

    def _observe(self, qpos: Tensor, qvel: Tensor, sensordata: Tensor) -> Float[Tensor, "W observations"]:
        sensors = {name: sensordata[:, where] for name, where in self.robot.sensors.items()}
        readings = Readings(
            joint_positions=qpos[:, self._joint_qpos],
            joint_velocities=qvel[:, self._joint_qvel],
            last_action=self._action,
            orientation=sensors.get("orientation"),
            angular_velocity=sensors.get("angular_velocity"),
            linear_velocity=sensors.get("linear_velocity"),
            sensors=sensors,
        )
        observations: Tensor = observe(self._seen, readings, lambda blocks: torch.cat(blocks, -1))
        return self._disturbance.disturb(observations) if self._disturbance else observations


def _as_slice(indices: np.ndarray, device: torch.device) -> slice | Tensor:
    """Contiguous worlds as a slice: views instead of copies."""
    if len(indices) == indices[-1] - indices[0] + 1:
        return slice(int(indices[0]), int(indices[-1]) + 1)
    return torch.from_numpy(indices).to(device)
