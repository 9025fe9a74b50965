"""Objectives and suites: frozen values made of pure functions."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import mujoco
from jaxtyping import Bool, Float
from torch import Tensor

from pgx_core.contract import Randomization as Randomization  # suites take it from here
from pgx_core.errors import SuiteError
from pgx_core.objectives.state import State

Command = Mapping[str, float]
Term = Callable[[State, Command], Float[Tensor, "B"]]
Condition = Callable[[State, Command], Bool[Tensor, "B"]]


def term_name(term: Term | Condition) -> str:
    """What a term is called in messages and reports: its function's name."""
    plain = getattr(term, "func", term)  # of a functools.partial
    return getattr(plain, "__name__", repr(plain))


@dataclass(frozen=True)
class Reward:
    """One reward term: `weight * term(state, command)`, added to the others every control step."""

    term: Term
    weight: float = 1.0


@dataclass(frozen=True)
class Physics:
    """How an objective's world differs from the robot's MJCF. All are factors on the model's values."""

    gravity: float = 1.0
    friction: float = 1.0
    mass: float = 1.0  # masses and inertias of every body
    actuator_strength: float = 1.0  # actuator gains and force limits


@dataclass(frozen=True)
class Reset:
    """Where episodes start: the home pose plus noise."""

    position_noise: float = 0.05  # each qpos is shifted by U(-noise, noise), rad or m; quaternions renormalised
    velocity_noise: float = 0.05  # each qvel is drawn from N(0, noise), rad/s or m/s
    # Hinge and slide joints that start anywhere between two values instead, by name: rad or m, rad/s or m/s.
    positions: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    velocities: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Objective:
    """One thing the robot shall do.

    `score` is what is reported and compared: its mean over the steps of an episode, 0 after termination.
    It defaults to the first reward term, so put the task first and regularisers after it.
    """

    name: str
    rewards: tuple[Reward, ...]
    command: Command = field(default_factory=dict)
    score: Term | None = None
    terminate: Condition | None = None
    reset: Reset = field(default_factory=Reset)
    physics: Physics = field(default_factory=Physics)

    def __post_init__(self) -> None:
        if not (isinstance(self.name, str) and self.name):
            raise SuiteError(f"expected a text as the objective's name, got {self.name!r}")
        if not self.rewards:
            raise SuiteError(f"objective '{self.name}': expected at least one Reward, got none")
        where = f"objective '{self.name}': command "
        command = {name: _number(value, f"{where}'{name}'") for name, value in self.command.items()}
        for name, number in command.items():
            if not math.isfinite(number):
                raise SuiteError(f"{where}'{name}': expected a finite number, got {number}")
        object.__setattr__(self, "command", command)

    @property
    def score_term(self) -> Term:
        """The term that is reported."""
        return self.score or self.rewards[0].term


@dataclass(frozen=True)
class Robot:
    """A MuJoCo model and how a policy sees and moves it.

    Every actuator must drive one hinge or slide joint. The pose at action 0 is the keyframe `home` where
    the MJCF has one, and the model's reference pose otherwise. Base orientation and velocities come from
    MJCF sensors named `orientation` (framequat), `angular_velocity` (gyro), `linear_velocity`
    (velocimeter); any other sensor is observed as `sensor:NAME`.
    """

    name: str
    mjcf: Path
    control_rate: float  # Hz; the physics rate must be a whole multiple of it
    observation: tuple[str, ...]  # sources, see pgx_core.contract.SOURCES
    action_scale: float = 0.5  # command change for an action of 1: rad or m (position), else share of the range
    velocity_limit: float = 20.0  # rad/s or m/s, of the joints; position commands never move faster
    velocity_margin: float = 0.0  # share of it that position commands leave unused, where joints overshoot: 0 to 1
    safe_state: Literal["hold", "damp"] = "hold"  # without usable inputs: an arm holds, a legged robot damps
    privileged: tuple[str, ...] = ()  # sources that the critic alone sees, in training: no robot needs their sensors
    maximum_tilt: float | None = None  # rad, 0 to pi: a base that leans further falls, and is damped; None: not watched

    def __post_init__(self) -> None:
        for name in ("control_rate", "action_scale", "velocity_limit", "velocity_margin", "maximum_tilt"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, _number(getattr(self, name), f"robot '{self.name}': {name}"))
        if not self.control_rate > 0.0:
            raise SuiteError(f"robot '{self.name}': expected a control rate above 0 Hz, got {self.control_rate:g}")
        if not 0.0 <= self.velocity_margin < 1.0:
            raise SuiteError(f"robot '{self.name}': expected velocity_margin in 0 to 1, got {self.velocity_margin:g}")
        if self.safe_state not in ("hold", "damp"):
            raise SuiteError(f"robot '{self.name}': expected safe_state 'hold' or 'damp', got '{self.safe_state}'")
        if self.maximum_tilt is not None and not 0.0 < self.maximum_tilt <= math.pi:
            raise SuiteError(f"robot '{self.name}': expected maximum_tilt in 0 to pi rad, got {self.maximum_tilt:g}")
        if self.maximum_tilt is not None and "projected_gravity" not in self.observation:
            raise SuiteError(f"robot '{self.name}': maximum_tilt needs the observation 'projected_gravity'")


@dataclass(frozen=True)
class Suite:
    """Objectives on one robot."""

    name: str
    robot: Robot
    objectives: tuple[Objective, ...]
    episode_seconds: float = 8.0
    steps: int = 500_000  # environment steps a method gets by default, over all its policies
    randomization: Randomization | None = None  # None: every world is the model
    # What the objectives weigh against each other, at least two terms where any: the report then tells how much of the
    # trade-off the policies cover (hypervolume, expected utility).
    trade_off: tuple[Term, ...] = ()

    def __post_init__(self) -> None:
        check_names(self.name, self.names)
        if len(self.trade_off) == 1:
            raise SuiteError(f"suite '{self.name}': expected a trade_off between at least 2 terms, got 1")
        if self.episode_steps < 1:
            raise SuiteError(
                f"suite '{self.name}': an episode of {self.episode_seconds:g} s is shorter than one control step "
                f"of {1 / self.robot.control_rate:g} s"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """The objectives' names in order."""
        return tuple(objective.name for objective in self.objectives)

    @property
    def episode_steps(self) -> int:
        """Control steps in a full episode."""
        return round(self.episode_seconds * self.robot.control_rate)

    @property
    def reports_success(self) -> bool:
        """Whether an episode can succeed, apart from its score: robots' objectives have scores alone."""
        return False

    @property
    def subject(self) -> str:
        """What acts."""
        return self.robot.name

    @property
    def files(self) -> tuple[Path, ...]:
        """Files it is made of, beside its own: the robot's MJCF, and what that includes or takes its meshes from."""
        try:
            named = mujoco.mju_getXMLDependencies(str(self.robot.mjcf))
        except mujoco.FatalError:  # what is wrong with it is told where it is compiled
            named = []
        return (self.robot.mjcf, *sorted({Path(name) for name in named} - {self.robot.mjcf}))


def check_names(suite: str, names: tuple[str, ...]) -> None:
    """Refuse fewer than two objectives, and two of one name.

    Raises:
        SuiteError: names the suite and the objective.
    """
    if len(names) < 2:
        raise SuiteError(f"suite '{suite}': expected at least 2 objectives, got {len(names)}")
    repeated = {name for name in names if names.count(name) > 1}
    if repeated:
        raise SuiteError(f"suite '{suite}': objective names must differ, '{sorted(repeated)[0]}' occurs twice")


def _number(value: object, where: str) -> float:
    """A number of any kind, one of numpy's too, as the plain one that a bundle holds: 50 Hz are 50.0."""
    if not isinstance(value, numbers.Real):
        raise SuiteError(f"{where}: expected a number, got {value!r}")
    return float(value)
