"""The watchdog's judgement: whether the server has fallen silent, and what the robot is then told. No ROS."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pgx_core.contract import PolicyContract
from pgx_core.serving import Instant
from pgx_core.serving.output import OutputGate, SafeCommands


class Watchdog:
    """Takes over when an active server falls silent, and steps back when it is heard again.

    Every call gets the time. Its silence is measured on both clocks, and the shorter one counts: neither a simulator
    that stands still nor one that runs ahead of the messages is a silent server.

    Args:
        contract: what a safe command is for this robot.
        timeout_s: longest silence of an active server.
        joint_state_age_s: oldest joint positions that a damping command may follow.
    """

    def __init__(self, contract: PolicyContract, timeout_s: float, joint_state_age_s: float) -> None:
        self._contract = contract
        self._timeout, self._joint_state_age = timeout_s, joint_state_age_s
        self._indices = {joint.name: index for index, joint in enumerate(contract.joints)}
        self._heard: Instant | None = None  # when an active server was last heard; None while there is none
        self._command: np.ndarray | None = None  # the last one anyone published
        self._joints: tuple[np.ndarray, np.ndarray, Instant] | None = None
        self._gate = OutputGate(contract, max(1, round(timeout_s * contract.control_rate)))
        self._safe = SafeCommands(contract)
        self.intervening = False

    @property
    def hears(self) -> bool:
        """Whether there is an active server."""
        return self._heard is not None

    def heartbeat(self, active: bool, now: Instant) -> None:
        """The server says that it has commanded the robot just now, or that it stops doing so in order."""
        self._heard = now if active else None
        self.intervening = False

    def simulator_restarted(self) -> None:
        """A simulator began anew: the server, which may find it later, must be heard again before it can fall silent.

        One that was silent already stays so: the robot is not left alone.
        """
        if not self.intervening:
            self._heard = None

    def command(self, command: np.ndarray) -> None:
        """A command [joints] was published. Its own are heard too, late: they are not to be built on."""
        if not self.intervening and np.isfinite(command).all():
            self._command = self._gate.limit(command)

    def joint_state(
        self, names: Sequence[str], positions: Sequence[float], velocities: Sequence[float], now: Instant
    ) -> None:
        """The robot's joints in any order. A message that lacks one, or is not all finite, is ignored."""
        if not len(names) == len(positions) == len(velocities):
            return
        order = {name: index for index, name in enumerate(names)}
        try:
            indices = [order[name] for name in self._indices]
        except KeyError:
            return
        measured = np.array([positions, velocities], np.float64)[:, indices]
        if np.isfinite(measured).all():
            self._joints = (measured[0], measured[1], now)

    def tick(self, now: Instant) -> np.ndarray | None:
        """The safe command [joints] while the server is silent, else None.

        None too where nothing was ever commanded and the joints are unknown: there is nothing safe to say.
        """
        self.intervening = self._heard is not None and _passed(self._heard, now) > self._timeout
        if not self.intervening:
            return None
        positions, velocities = self._measured(now)
        previous = self._command
        if previous is None and positions is not None and self._contract.command_type == "position":
            previous = self._gate.limit(positions)
        if previous is None:
            return None
        damp = self._contract.safe_state == "damp"
        wanted = self._safe.damp(previous, positions, velocities) if damp else self._safe.hold(previous)
        self._command = self._gate.admit(wanted, previous, driven=False)
        return self._command

    def _measured(self, now: Instant) -> tuple[np.ndarray, np.ndarray] | tuple[None, None]:
        """Positions and velocities [joints], if they are fresh."""
        if self._joints is None or _passed(self._joints[2], now) > self._joint_state_age:
            return None, None
        return self._joints[:2]


def _passed(since: Instant, now: Instant) -> float:
    return min(now.monotonic - since.monotonic, now.ros - since.ros)
