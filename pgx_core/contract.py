"""The policy contract: everything a robot must know to run a policy, and nothing about how it was trained.

Torch-free and mujoco-free: the same records describe the simulated and the real robot.
Units: rad and m, s, N and N m. Quaternions are (w, x, y, z); ROS messages carry (x, y, z, w).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pgx_core.errors import SuiteError

SOURCES = {
    "joint_positions": "position of each joint minus its default, rad or m",
    "joint_velocities": "velocity of each joint, rad/s or m/s",
    "projected_gravity": "direction of gravity in the base frame, unit vector, from the orientation",
    "angular_velocity": "angular velocity of the base in the base frame, rad/s",
    "linear_velocity": "linear velocity of the base in the base frame, m/s",
    "last_action": "the policy's previous action, clipped to [-1, 1]",
    "objective": "one-hot of the commanded objective, in the contract's order",
}
SENSOR_PREFIX = "sensor:"  # "sensor:NAME" reads the sensor NAME of the robot as it is


@dataclass(frozen=True)
class ObservationTerm:
    """One block of the observation vector."""

    source: str  # a key of SOURCES, or "sensor:NAME"
    size: int
    scale: float = 1.0  # the reading is multiplied by it


@dataclass(frozen=True)
class JointContract:
    """One commanded joint. The command is default + scale * clip(action, -1, 1), then clipped to the limits."""

    name: str
    default: float  # command at action 0, and the zero of the observed position
    scale: float  # command change for an action of 1
    lower: float  # lowest command
    upper: float  # highest command
    position_lower: float | None  # joint limit, rad or m; None where there is none
    position_upper: float | None
    velocity_limit: float  # rad/s or m/s; the command never moves faster (position commands)
    effort_limit: float  # N m or N
    stiffness: float  # position gain the policy was trained with; 0 for effort commands
    damping: float
    rated_velocity: float | None = None  # rad/s or m/s: what the joint itself may do; None: velocity_limit

    @property
    def fastest(self) -> float:
        """The speed that the joint itself must not pass, rad/s or m/s."""
        return self.velocity_limit if self.rated_velocity is None else self.rated_velocity


@dataclass(frozen=True)
class JointStart:
    """Where a joint that nothing drives may be when an objective begins. Pairs are (lowest, highest)."""

    position: tuple[float, float]  # rad or m
    velocity: tuple[float, float] = (0.0, 0.0)  # rad/s or m/s


@dataclass(frozen=True)
class ObjectiveContract:
    """One objective the bundle can be asked for."""

    name: str
    command: dict[str, float]
    group: str  # name of the policy that serves it
    score: float  # mean score of that policy on it in training
    scene: dict[str, JointStart] = field(default_factory=dict)  # joints of what is not the robot: a target, by name


@dataclass(frozen=True)
class Randomization:
    """How far worlds may be from the model, so that a policy does not rely on it. Pairs are (lowest, highest).

    `variants` of the physics are drawn for a simulation, and its worlds take them in turn. A delay is drawn for each
    episode, noise for each step.
    """

    friction: tuple[float, float] = (1.0, 1.0)  # of the model's values and those of the objective's Physics, > 0
    mass: tuple[float, float] = (1.0, 1.0)
    actuator_strength: tuple[float, float] = (1.0, 1.0)
    variants: int = 16  # >= 1
    delay: tuple[int, int] = (0, 0)  # control ticks until a command reaches the joints, >= 0, drawn per episode
    noise: Mapping[str, float] = field(default_factory=dict)  # by observation source: adds U(-noise, noise), >= 0
    push: float = 0.0  # speed that a floating base gains along x and y, m/s, else each joint, rad/s: U(-push, push)
    push_interval: float = 4.0  # s between pushes of a world on average, > 0
    # Share of the episodes that begin in the midst of what another world is doing, as a switch of objectives does.
    switched: float = 0.0  # 0 to 1

    def __post_init__(self) -> None:
        for name in ("friction", "mass", "actuator_strength"):
            lowest, highest = getattr(self, name)
            _require(0.0 < lowest <= highest < math.inf, name, "0 < lowest <= highest", (lowest, highest))
        _require(0 <= self.delay[0] <= self.delay[1], "delay", "0 <= lowest <= highest", self.delay)
        _require(self.variants >= 1, "variants", "1 or more", self.variants)
        _require(all(0.0 <= n < math.inf for n in self.noise.values()), "noise", "0 or more each", self.noise)
        _require(0.0 <= self.push < math.inf, "push", "0 or more", self.push)
        _require(0.0 < self.push_interval < math.inf, "push_interval", "above 0 and finite", self.push_interval)
        _require(0.0 <= self.switched <= 1.0, "switched", "0 to 1", self.switched)


@dataclass(frozen=True)
class PolicyContract:
    """What goes in, what comes out, in which order, at which rate."""

    robot: str
    control_rate: float  # Hz
    command_type: Literal["position", "velocity", "effort"]
    joints: tuple[JointContract, ...]
    observation: tuple[ObservationTerm, ...]
    safe_state: Literal["hold", "damp"]  # where a robot without usable inputs goes: an arm holds, a legged one damps
    maximum_tilt: float | None  # rad from the world's z axis to the base's, beyond which it falls; None: not watched
    quaternion_order: Literal["wxyz"] = "wxyz"

    @property
    def observation_size(self) -> int:
        """Length of the observation vector."""
        return sum(term.size for term in self.observation)

    @property
    def action_size(self) -> int:
        """Number of commanded joints."""
        return len(self.joints)


def _require(condition: bool, field_name: str, expected: str, came: object) -> None:
    if not condition:
        raise SuiteError(f"randomization.{field_name}: expected {expected}, got {came}")
