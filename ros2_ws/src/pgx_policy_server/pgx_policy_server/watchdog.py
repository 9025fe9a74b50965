"""The watchdog's judgement: whether the server has fallen silent, and what the robot is then told. No ROS."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pgx_core.contract import PolicyContract
from pgx_core.serving import Instant
from pgx_core.serving.output import OutputGate, SafeCommands

NO_HEARTBEAT = "the policy server is silent"
NO_COMMAND = "the policy server's commands are not heard any more, though it is"
AWAKE = 2  # ticks: of a longer gap between two of its own it slept through the rest


class Watchdog:
    """Takes over when an active server or its commands fall silent, and steps back when they are heard again.

    Commands that were never heard are no reason to command beside a server that may well be heard by the robot.

    Every call gets the time. Its silence is measured on both clocks, and the shorter one counts: neither a simulator
    that stands still nor one that runs ahead of the messages is a silent server.

    Args:
        contract: what a safe command is for this robot.
        timeout_s: longest silence of an active server, and longest age of its last command.
        joint_state_age_s: oldest joint positions that a damping command may follow.
    """

    def __init__(self, contract: PolicyContract, timeout_s: float, joint_state_age_s: float) -> None:
        self._contract = contract
        self._timeout, self._joint_state_age = timeout_s, joint_state_age_s
        self._indices = {joint.name: index for index, joint in enumerate(contract.joints)}
        self._heard: Instant | None = None  # when an active server was last heard; None while there is none
        self._commanded: Instant | None = None  # when its last command was heard; None before the first
        self._command: np.ndarray | None = None  # the last one anyone published
        self._joints: tuple[np.ndarray, np.ndarray, Instant] | None = None
        ticks = max(1, round(timeout_s * contract.control_rate))
        self._gate = OutputGate(contract, ticks)
        self._safe = SafeCommands(contract)
        self._period = 1.0 / contract.control_rate
        self._said = deque[np.ndarray](maxlen=ticks)  # its own last commands, the newest first
        self._spoke: Instant | None = None  # when it said the last one
        self._ticked = math.inf  # s, monotonic, of its last tick; inf before the first
        self.silence = ""  # why it commands the robot; empty while it does not

    @property
    def hears(self) -> bool:
        """Whether there is an active server."""
        return self._heard is not None

    @property
    def hears_commands(self) -> bool:
        """Whether commands have been heard since the server became active."""
        return self._commanded is not None

    def heartbeat(self, active: bool, now: Instant) -> None:
        """The server says that it has commanded the robot just now, or that it stops doing so in order."""
        if not active or self._heard is None or self._missed(now):
            self._commanded = None  # whoever comes now may be another, whose commands are yet to be heard
        if not active or self.silence == NO_HEARTBEAT:
            self.silence = ""
        if not active:
            self._command = None  # the robot may be elsewhere when one comes again
        self._heard = now if active else None

    def simulator_restarted(self) -> None:
        """A simulator began anew: the server, which may find it later, must be heard again before it can fall silent.

        One that was silent already stays so: the robot is not left alone.
        """
        if not self.silence:
            self._heard = self._commanded = None

    def command(self, command: np.ndarray, now: Instant) -> None:
        """A command [joints] was published.

        Its own are heard too, late: they are not to be built on, and no sign of a server. They are known by their
        numbers; a server that says the same leads the robot to the same place.
        """
        recent = self._spoke is not None and not self._late(self._spoke, now)
        if recent and any(np.array_equal(command, said) for said in self._said):
            return
        self._commanded = now
        if self.silence == NO_COMMAND:
            self.silence = ""
        if not self.silence and np.isfinite(command).all():
            self._command = self._gate.limit(command)

    def joint_state(
        self, names: Sequence[str], positions: Sequence[float], velocities: Sequence[float], age: float, now: Instant
    ) -> None:
        """The robot's joints in any order, measured `age` s ago by their stamp.

        A message that lacks one, is not all finite, or was not measured just now, is ignored.
        """
        if not len(names) == len(positions) == len(velocities) or not abs(age) <= self._joint_state_age:
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
        # Where it stood still itself, what came meanwhile is yet to be heard: silence counts as far as it was awake.
        awake = replace(now, monotonic=min(now.monotonic, self._ticked + AWAKE * self._period))
        self._ticked = now.monotonic
        self.silence = self._silence(awake)
        if not self.silence:
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
        self._said.appendleft(self._command)
        self._spoke = now
        return self._command

    def _silence(self, now: Instant) -> str:
        if self._missed(now):
            return NO_HEARTBEAT
        # A command comes before its heartbeat: it must not be missed first.
        return NO_COMMAND if self._heard is not None and self._late(self._commanded, now, self._period) else ""

    def _missed(self, now: Instant) -> bool:
        return self._late(self._heard, now)

    def _late(self, since: Instant | None, now: Instant, slack: float = 0.0) -> bool:
        return since is not None and _passed(since, now) > self._timeout + slack

    def _measured(self, now: Instant) -> tuple[np.ndarray, np.ndarray] | tuple[None, None]:
        """Positions and velocities [joints], if they are fresh."""
        if self._joints is None or _passed(self._joints[2], now) > self._joint_state_age:
            return None, None
        return self._joints[:2]


def _passed(since: Instant, now: Instant) -> float:
    return min(now.monotonic - since.monotonic, now.ros - since.ros)
