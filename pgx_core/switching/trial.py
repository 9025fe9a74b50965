"""One switch of a simulated robot, from an objective that is pursued steadily."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np
from jaxtyping import Float

from pgx_core.errors import require, require_seed
from pgx_core.play import SimulatedRobot
from pgx_core.serving import Bundle, Mode, ServingConfig, Tick
from pgx_core.switching.steady import joint_positions, signals

LIMIT_SLACK = 0.05  # share of a joint's range beyond its limit that is no violation: simulated stops are soft


@dataclass(frozen=True)
class SwitchConfig:
    """How switches are tried.

    Raises:
        ConfigError: a setting is out of range.
    """

    episodes: int = 50  # 1 to 10000: switches of each pair; 36 without a fall show that fewer than 10% fall
    phase_s: float = 2.0  # s, 0 to 60: the switch comes so much later, at random, than the source is steady
    watched_s: float = 5.0  # s, 2 to 60: how long each switch is watched
    reference_s: float = 8.0  # s, 4 to 60: of the episodes that show an objective without a switch
    references: int = 8  # 1 to 1000: of those for each objective
    blend_s: float = 0.3  # s, 0 to 5: the server's blend, which the matrix then holds for
    seed: int = 0

    def __post_init__(self) -> None:
        require(1 <= self.episodes <= 10_000, "episodes", "1 to 10000", self.episodes)
        require(1 <= self.references <= 1000, "references", "1 to 1000", self.references)
        require(0.0 <= self.phase_s <= 60.0, "phase_s", "0 to 60 s", self.phase_s)
        require(2.0 <= self.watched_s <= 60.0, "watched_s", "2 to 60 s", self.watched_s)
        require(4.0 <= self.reference_s <= 60.0, "reference_s", "4 to 60 s", self.reference_s)
        require(0.0 <= self.blend_s <= 5.0, "blend_s", "0 to 5 s", self.blend_s)
        require_seed(self.seed, "seed")


@dataclass(frozen=True)
class Trial:
    """What came of one switch, over the T ticks from the request on; 0 ticks if the robot fell before it."""

    rows: Float[np.ndarray, "T C"]  # signals after each tick
    commands: Float[np.ndarray, "T1 J"]  # one before the request, and that of each tick
    fell: str  # why the robot was stopped, or ""
    reached: int | None  # tick at which the target was first pursued


def pursue(bundle: Bundle, model: mujoco.MjModel, objective: str, config: SwitchConfig, index: int) -> Trial:
    """An objective from standstill, for `reference_s`."""
    robot = _robot(bundle, model, objective, config, index)
    return _watch(robot, objective, round(config.reference_s * bundle.manifest.contract.control_rate))


def switch(
    bundle: Bundle,
    model: mujoco.MjModel,
    source: str,
    target: str,
    start_s: float,
    config: SwitchConfig,
    index: int,
    longest_s: float = 0.0,
) -> Trial:
    """Switch between two objectives, along the ways that the bundle's matrix allows if it has one.

    Args:
        bundle: without a switch matrix every switch is direct.
        model: its robot.
        source: objective pursued first.
        target: objective asked for.
        start_s: s from standstill until the source is steady.
        config: settings.
        index: of the episode, which decides its start and its phase, the same for every pair.
        longest_s: s that a detour may take before the target is pursued.
    """
    rate = bundle.manifest.contract.control_rate
    robot = _robot(bundle, model, source, config, index)
    phase = config.phase_s * np.random.default_rng((config.seed, index)).random()
    before = _watch(robot, source, max(1, round((start_s + phase) * rate)))
    if before.fell:
        return Trial(before.rows[:0], before.commands[:0], before.fell, None)
    robot.request(target)
    return _watch(robot, target, round(config.watched_s * rate), round(longest_s * rate))


def _robot(bundle: Bundle, model: mujoco.MjModel, objective: str, config: SwitchConfig, index: int) -> SimulatedRobot:
    served = ServingConfig(initial_objective=objective, blend_s=config.blend_s, dwell_s=0.0)
    seed = int(np.random.SeedSequence((config.seed, index)).generate_state(1)[0])
    return SimulatedRobot(bundle, model, served, seed)


def _watch(robot: SimulatedRobot, target: str, ticks: int, longest: int = 0) -> Trial:
    """Tick until the target has been pursued for `ticks`, or the robot is stopped."""
    rows, commands, reached, fell = [], [robot.data.ctrl[robot.actuators].copy()], None, ""
    lower, upper = _position_limits(robot)
    for index in range(longest + ticks):
        tick = robot.tick()
        mujoco.mj_comPos(robot.model, robot.data)
        rows.append(signals(robot))
        commands.append(robot.data.ctrl[robot.actuators].copy())
        reached = index if reached is None and tick.objective == target else reached
        fell = _stop(tick) or _beyond(joint_positions(robot), lower, upper)
        if fell or (reached is not None and index + 1 >= reached + ticks):
            break
    return Trial(np.array(rows), np.array(commands), fell, reached)


def _stop(tick: Tick) -> str:
    stopped = [event.reason for event in tick.events if event.kind == "mode" and event.target == Mode.DAMP.value]
    return stopped[0] if stopped else ""


def _position_limits(robot: SimulatedRobot) -> tuple[np.ndarray, np.ndarray]:
    limits = [(joint.position_lower, joint.position_upper) for joint in robot.controller.contract.joints]
    lower, upper = np.array([(-np.inf, np.inf) if None in pair else pair for pair in limits], float).T
    slack = np.where(np.isfinite(upper - lower), LIMIT_SLACK * (upper - lower), 0.0)
    return lower - slack, upper + slack


def _beyond(positions: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> str:
    beyond = (positions < lower) | (positions > upper)
    return f"joint {int(np.argmax(beyond))} is beyond its limits" if beyond.any() else ""
