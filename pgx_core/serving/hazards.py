"""Signs that the robot falls, runs away or does not follow, in readings that are good."""

from __future__ import annotations

import math

import numpy as np

from pgx_core.contract import PolicyContract
from pgx_core.serving.inputs import Inputs

LAG_S = 0.5  # s that a joint may be far from its command: a heavy one on its way is


class Hazards:
    """Watches the tilt of the base, the speed of the joints, and whether they come to where they are commanded.

    Args:
        contract: the robot's.
        overspeed: times a joint's velocity limit that is too fast.
        following_error: rad or m from its position command at which a joint does not follow it; 0: not watched.
    """

    def __init__(self, contract: PolicyContract, overspeed: float, following_error: float = 0.0) -> None:
        self._names = [joint.name for joint in contract.joints]
        self._fastest = overspeed * np.array([joint.velocity_limit for joint in contract.joints])
        self._maximum_tilt = contract.maximum_tilt
        watched = following_error > 0.0 and contract.command_type == "position"
        self._following_error = following_error if watched else math.inf
        self._most_behind = round(LAG_S * contract.control_rate)
        self._behind = np.zeros(contract.action_size, int)  # ticks in a row

    def find(self, inputs: Inputs, command: np.ndarray | None = None) -> str:
        """The first danger, or "". What is not fresh shows none. To be called once a tick.

        Args:
            inputs: this tick's.
            command: [joints] the last published one; None while there is none.
        """
        behind = self._left_behind(inputs.positions, command)
        return self._too_fast(inputs.velocities) or self._falling(inputs.orientation) or behind

    def _too_fast(self, velocities: np.ndarray | None) -> str:
        if velocities is None or (np.abs(velocities) <= self._fastest).all():
            return ""
        worst = int(np.argmax(np.abs(velocities) / self._fastest))
        return f"joint '{self._names[worst]}' moves at {velocities[worst]:.3g}, faster than {self._fastest[worst]:g}"

    def _falling(self, orientation: np.ndarray | None) -> str:
        if orientation is None or self._maximum_tilt is None:
            return ""
        _, x, y, _ = orientation.tolist()
        tilt = math.acos(max(1.0 - 2.0 * (x * x + y * y), -1.0))  # between the z axes of world and base
        return f"the base leans by {tilt:.2f} rad, beyond {self._maximum_tilt:g}" if tilt > self._maximum_tilt else ""

    def _left_behind(self, positions: np.ndarray | None, command: np.ndarray | None) -> str:
        """A joint without power, or held: it would jump to a command that has gone on without it."""
        if positions is None or command is None:
            self._behind[:] = 0
            return ""
        gaps = np.abs(command - positions)
        self._behind = np.where(gaps > self._following_error, self._behind + 1, 0)
        worst = int(np.argmax(self._behind))
        if self._behind[worst] <= self._most_behind:
            return ""
        return f"joint '{self._names[worst]}' stays {gaps[worst]:.3g} from its command: has it power, is it held?"
