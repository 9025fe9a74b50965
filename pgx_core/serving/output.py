"""The output gate: every published command is finite, within the limits, and no jump."""

from __future__ import annotations

import numpy as np

from pgx_core.contract import PolicyContract


class OutputGate:
    """The last thing a command passes.

    Args:
        contract: the joints' limits and the control rate.
        blend_ticks: ticks over which a safe velocity or effort command takes over, 1 or more.
    """

    def __init__(self, contract: PolicyContract, blend_ticks: int) -> None:
        joints, rate = contract.joints, contract.control_rate
        self._position = contract.command_type == "position"
        self.lower = np.array([joint.lower for joint in joints])
        self.upper = np.array([joint.upper for joint in joints])
        reach = np.array([joint.velocity_limit for joint in joints]) / rate
        self.reach = reach if self._position else (self.upper - self.lower) / blend_ticks
        self.clamps = 0  # joint commands changed so far

    def limit(self, wanted: np.ndarray) -> np.ndarray:
        """The command within the contract's limits."""
        limited: np.ndarray = np.minimum(np.maximum(wanted, self.lower), self.upper)
        return limited

    def admit(self, wanted: np.ndarray, previous: np.ndarray, driven: bool) -> np.ndarray:
        """The command to publish.

        Args:
            wanted: [joints], anything; what is not finite is dropped, and the previous command repeated.
            previous: [joints] the last published one, within the limits.
            driven: whether a policy wants it. Velocity and effort policies are trained without a rate limit and
                are blended in; every other command of theirs moves by at most its range over the blend time.
        """
        if not np.isfinite(wanted).all():
            self.clamps += len(wanted)
            repeated: np.ndarray = previous.copy()
            return repeated
        admitted: np.ndarray = wanted
        if self._position or not driven:
            admitted = previous + np.minimum(np.maximum(wanted - previous, -self.reach), self.reach)
        admitted = self.limit(admitted)
        self.clamps += int(np.count_nonzero(np.abs(admitted - wanted) > ROUNDING))
        return admitted


ROUNDING = 1e-6  # previous + (wanted - previous) is not quite `wanted`: that is no clamp


class SafeCommands:
    """What to command without a policy.

    Args:
        contract: the robot's.
    """

    def __init__(self, contract: PolicyContract) -> None:
        self._type = contract.command_type
        self._zeros = np.zeros(contract.action_size)
        self._damping = np.array([joint.damping for joint in contract.joints])
        self._effort = np.array([joint.effort_limit for joint in contract.joints])

    def hold(self, previous: np.ndarray) -> np.ndarray:
        """The last command (position), or 0."""
        return previous if self._type == "position" else self._zeros

    def damp(self, previous: np.ndarray, positions: np.ndarray | None, velocities: np.ndarray | None) -> np.ndarray:
        """Where the joints are, so that the servo only damps (position); 0 (velocity); a brake (effort).

        Args:
            previous: [joints] the last command, repeated while the positions are not fresh.
            positions: [joints] measured, or None while they are not fresh.
            velocities: [joints] measured, or None while they are not fresh.
        """
        if self._type == "position":
            return previous if positions is None else positions
        if self._type == "velocity" or velocities is None:
            return self._zeros
        brake: np.ndarray = np.minimum(np.maximum(-self._damping * velocities, -self._effort), self._effort)
        return brake
