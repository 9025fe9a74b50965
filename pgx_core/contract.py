"""The policy contract: everything a robot must know to run a policy, and nothing about how it was trained.

Torch-free and mujoco-free: the same records describe the simulated and the real robot.
Units: rad and m, s, N and N m. Quaternions are (w, x, y, z); ROS messages carry (x, y, z, w).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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


@dataclass(frozen=True)
class ObjectiveContract:
    """One objective the bundle can be asked for."""

    name: str
    command: dict[str, float]
    group: str  # name of the policy that serves it
    score: float  # mean score of that policy on it in training


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
