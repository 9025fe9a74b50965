"""Signs that the robot falls or runs away, in readings that are good."""

from __future__ import annotations

import math

import numpy as np

from pgx_core.contract import PolicyContract
from pgx_core.serving.inputs import Inputs


class Hazards:
    """Watches the tilt of the base and the speed of the joints.

    Args:
        contract: the robot's.
        overspeed: times a joint's velocity limit that is too fast.
    """

    def __init__(self, contract: PolicyContract, overspeed: float) -> None:
        self._names = [joint.name for joint in contract.joints]
        self._fastest = overspeed * np.array([joint.velocity_limit for joint in contract.joints])
        self._maximum_tilt = contract.maximum_tilt

    def find(self, inputs: Inputs) -> str:
        """The first danger, or "". What is not fresh shows none."""
        return self._too_fast(inputs.velocities) or self._falling(inputs.orientation)

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
