"""Every objective of a bundle in simulation, nominal and randomised: its ONNX policies on the suite's own worlds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import mujoco
import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from pgx_core.contract import PolicyContract, Randomization
from pgx_core.errors import BundleError, require, require_seed
from pgx_core.objectives.objective import Suite
from pgx_core.observation import projected_gravity
from pgx_core.play import TARGET, TOOL
from pgx_core.serving import Bundle
from pgx_core.serving.rehearsal import ARRIVED, DEADLINE, Rehearsal, Rehearsed
from pgx_core.simulation.robot_model import RobotModel
from pgx_core.simulation.simulation import Simulation, SimulationConfig
from pgx_core.switching.steady import smooth


@dataclass(frozen=True)
class RehearsalConfig:
    """How objectives are rehearsed.

    Raises:
        ConfigError: a setting is out of range.
    """

    episodes: int = 100  # 1 to 10000: of each objective in each kind of worlds
    widened: float = 1.25  # 1 to 2: how many times as far from the model the wider ranges reach
    seed: int = 0
    threads: int = 1  # CPU threads of the physics, >= 1

    def __post_init__(self) -> None:
        require(1 <= self.episodes <= 10_000, "episodes", "1 to 10000", self.episodes)
        require(1.0 <= self.widened <= 2.0, "widened", "1 to 2", self.widened)
        require(self.threads >= 1, "threads", "1 or more", self.threads)
        require_seed(self.seed, "seed")


@dataclass(frozen=True)
class Recording:
    """W episodes of T ticks; what comes after a fall is to be disregarded."""

    fell: Bool[np.ndarray, "W"]
    readings: Mapping[str, Float[np.ndarray, "T W n"]]  # of the sensors in RECORDED that the robot has
    peaks: Float[np.ndarray, "W 3"]  # largest share of the position, velocity and effort limits; NaN: not known


RECORDED = ("linear_velocity", "angular_velocity", TOOL, TARGET)


def rehearse_bundle(bundle: Bundle, suite: Suite, config: RehearsalConfig) -> Rehearsal:
    """Run every objective in the model, in worlds as in training, and in wider ones it never met.

    Args:
        bundle: verified policies.
        suite: what they were trained on.
        config: settings.

    Raises:
        BundleError: the suite has another robot or other objectives than the bundle.
    """
    ranges = suite.randomization
    kinds = {"nominal": None} | ({"randomised": ranges, "wider": widen(ranges, config.widened)} if ranges else {})
    rehearsed = [rehearse_in(bundle, suite, worlds, randomization, config) for worlds, randomization in kinds.items()]
    rows = tuple(row for of_one_objective in zip(*rehearsed, strict=True) for row in of_one_objective)
    return Rehearsal(suite.episode_seconds, config.widened, config.seed, rows)


def rehearse_in(
    bundle: Bundle, suite: Suite, worlds: str, randomization: Randomization | None, config: RehearsalConfig
) -> list[Rehearsed]:
    """Every objective in one kind of worlds, each episode in one of its own. Raises as `rehearse_bundle`."""
    many = replace(randomization, variants=config.episodes) if randomization else None
    recording, objectives = record(bundle, replace(suite, randomization=many), config)
    return [
        summarise(bundle, name, worlds, _of(recording, objectives == index)) for index, name in enumerate(suite.names)
    ]


def widen(ranges: Randomization, factor: float) -> Randomization:
    """Ranges that reach `factor` times as far from the model; delays rounded up."""
    scaled = {
        name: tuple(1.0 + factor * (end - 1.0) for end in getattr(ranges, name))
        for name in ("friction", "mass", "actuator_strength")
    }
    noise = {source: factor * size for source, size in ranges.noise.items()}
    delay = (ranges.delay[0], math.ceil(factor * ranges.delay[1]))
    return replace(ranges, **scaled, delay=delay, noise=noise, push=factor * ranges.push)  # type: ignore[arg-type]


def record(bundle: Bundle, suite: Suite, config: RehearsalConfig) -> tuple[Recording, Int[np.ndarray, "W"]]:
    """One episode in each world, and each world's objective."""
    objectives = np.repeat(np.arange(len(suite.objectives)), config.episodes)
    simulation = Simulation(suite, objectives, config.seed, SimulationConfig(threads=config.threads), stagger=False)
    _check_suite(bundle, suite, simulation.robot)
    contract, sensors = simulation.robot.contract, simulation.robot.sensors
    observations = simulation.reset()
    fell, peaks = np.zeros(len(objectives), bool), np.zeros((len(objectives), 3))
    readings: dict[str, list[np.ndarray]] = {name: [] for name in RECORDED if name in sensors}
    for _ in range(suite.episode_steps):
        seen = observations[:, : contract.observation_size].numpy()  # what follows is for the critic
        step = simulation.step(torch.from_numpy(answer(bundle, seen, objectives)))
        observations = step.observations
        qpos, qvel, sensordata = simulation.trace()
        shares = limit_shares(simulation.robot, qpos, qvel, sensordata)
        peaks = np.where(fell[:, None], peaks, np.maximum(peaks, shares))
        last = sensordata[:, -1]
        for name, rows in readings.items():
            rows.append(last[:, sensors[name]].copy())
        fell |= step.terminated.numpy() | _tilted(contract, last, sensors)
    return Recording(fell, {name: np.array(rows) for name, rows in readings.items()}, peaks), objectives


def answer(
    bundle: Bundle, observations: np.ndarray, objectives: Int[np.ndarray, "W"]
) -> Float[np.ndarray, "W actions"]:
    """The actions of the bundle's policies, each world by the policy that serves its objective."""
    manifest = bundle.manifest
    if manifest.conditioned:
        observations = np.concatenate([observations, np.eye(len(manifest.objectives))[objectives]], 1)
    observations = observations.astype(np.float32)
    groups = np.array([objective.group for objective in manifest.objectives])[objectives]
    actions = np.empty((len(objectives), manifest.contract.action_size), np.float32)
    for group in np.unique(groups):
        actions[groups == group] = bundle.sessions[str(group)].run_batch(observations[groups == group]).action
    return actions


def limit_shares(
    robot: RobotModel, qpos: np.ndarray, qvel: np.ndarray, sensordata: np.ndarray
) -> Float[np.ndarray, "W 3"]:
    """Each world's largest share of the position, velocity and effort limits, from simulated states and forces.

    Args:
        robot: its model and contract.
        qpos: [W, S, nq], over the S physics steps of a tick.
        qvel: [W, S, nv].
        sensordata: [W, S, sensors].
    """
    joints, model = robot.contract.joints, robot.model
    bounds = [(joint.position_lower, joint.position_upper) for joint in joints]
    lower, upper = np.array([(-np.inf, np.inf) if None in pair else pair for pair in bounds], float).T
    positions, limited = qpos[..., robot.joint_qpos], np.isfinite(upper - lower)
    middle, half = (lower + upper)[limited] / 2, (upper - lower)[limited] / 2
    position = np.abs(positions[..., limited] - middle) / half
    velocity = np.abs(qvel[..., robot.joint_qvel]) / [joint.fastest for joint in joints]
    force = {
        int(model.sensor_objid[i]): int(model.sensor_adr[i])
        for i in range(model.nsensor)
        if model.sensor_type[i] == int(mujoco.mjtSensor.mjSENS_ACTUATORFRC)
    }
    felt = sensordata[..., [force[i] for i in range(model.nu)]] if len(force) == model.nu else sensordata[..., :0]
    effort = np.abs(felt) / [joint.effort_limit for joint in joints[: felt.shape[-1]]]
    return np.stack([_peak(shares) for shares in (position, velocity, effort)], 1)


def summarise(bundle: Bundle, name: str, worlds: str, recording: Recording) -> Rehearsed:
    """The figures of one objective."""
    rate = bundle.manifest.contract.control_rate
    command = next(o.command for o in bundle.manifest.objectives if o.name == name)
    kept = ~recording.fell
    readings = {sensor: rows[:, kept] for sensor, rows in recording.readings.items()}
    planar = _error(readings, "linear_velocity", {0: command.get("velocity"), 1: command.get("lateral", 0.0)}, rate)
    turning = _error(readings, "angular_velocity", {2: command.get("turn")}, rate)
    speed = math.hypot(command["velocity"], command.get("lateral", 0.0)) if planar is not None else None
    with np.errstate(invalid="ignore"):
        position, velocity, effort = (None if math.isnan(peak) else peak for peak in recording.peaks.max(0).tolist())
    return Rehearsed(
        name, worlds, len(kept), int(recording.fell.sum()), speed, planar,
        command.get("turn") if turning is not None else None, turning, *_reaching(readings, kept, rate),
        position, velocity or 0.0, effort,
    )  # fmt: skip


def _error(
    readings: Mapping[str, np.ndarray], sensor: str, wanted: Mapping[int, float | None], rate: float
) -> float | None:
    """Mean distance of a sensor's averaged coordinates from what is wanted, in the second half."""
    if sensor not in readings or None in wanted.values() or readings[sensor].shape[1] == 0:
        return None
    rows = readings[sensor][len(readings[sensor]) // 2 :]
    if len(rows) < rate:
        return None
    parts = [smooth(rows[..., axis], rate) - target for axis, target in wanted.items()]
    return float(np.sqrt(sum(part**2 for part in parts)).mean())


def _reaching(
    readings: Mapping[str, np.ndarray], kept: np.ndarray, rate: float
) -> tuple[float | None, float | None, float | None]:
    """Share that reaches and stays (of all episodes), median time to the target, mean distance after DEADLINE."""
    if not {TOOL, TARGET} <= readings.keys() or readings[TOOL].shape[1] == 0:
        return None, None, None
    distances, deadline = np.linalg.norm(readings[TOOL] - readings[TARGET], axis=2), round(DEADLINE * rate)
    near = distances <= ARRIVED
    times = np.append(np.where(near.any(0), (near.argmax(0) + 1) / rate, np.inf), np.full((~kept).sum(), np.inf))
    median, late = float(np.sort(times)[(len(times) - 1) // 2]), distances[deadline - 1 :]
    if len(late) == 0:
        return None, median if math.isfinite(median) else None, None
    stays = float((late <= ARRIVED).all(0).sum() / len(kept))
    return stays, median if math.isfinite(median) else None, float(late.mean())


def _peak(shares: np.ndarray) -> np.ndarray:
    peak: np.ndarray = shares.max((1, 2)) if shares.shape[-1] else np.full(len(shares), np.nan)
    return peak


def _tilted(contract: PolicyContract, sensordata: np.ndarray, sensors: Mapping[str, slice]) -> np.ndarray:
    if contract.maximum_tilt is None:
        return np.zeros(len(sensordata), bool)
    gravity = projected_gravity(sensordata[:, sensors["orientation"]])
    tilted: np.ndarray = np.arccos(np.clip(-gravity[:, 2], -1.0, 1.0)) > contract.maximum_tilt
    return tilted


def _of(recording: Recording, worlds: Bool[np.ndarray, "W"]) -> Recording:
    readings = {name: rows[:, worlds] for name, rows in recording.readings.items()}
    return Recording(recording.fell[worlds], readings, recording.peaks[worlds])


def _check_suite(bundle: Bundle, suite: Suite, robot: RobotModel) -> None:
    """Refuse to judge policies in the worlds of another robot."""
    manifest = bundle.manifest
    names = tuple(objective.name for objective in manifest.objectives)
    if names != suite.names:
        raise BundleError(f"expected the objectives of suite '{suite.name}' ({', '.join(suite.names)}), got {names}")
    seen = tuple(term for term in manifest.contract.observation if term.source != "objective")
    if replace(manifest.contract, observation=seen) != robot.contract:
        raise BundleError(
            f"the contract of '{manifest.name}' is not that of suite '{suite.name}': another version of it?"
        )
