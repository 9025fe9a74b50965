"""When a server that stood still may command again: the watchdog may have moved the robot meanwhile. No ROS."""

from __future__ import annotations

import numpy as np

AWAY = 0.1  # s without a beat after which the watchdog may have spoken; below its timeout
AWAY_BEATS = 3  # so long at least, for slow loops
OUTLIER = 3.0  # times the last gap: the beats of a slow simulator are no absences
LISTEN_BEATS = 2  # of silence: then the watchdog has heard the heartbeat, and its last command has come


class Handover:
    """Keeps a server quiet after an absence until nobody else commands the robot, and knows the last command.

    Args:
        period: of the beats, s.
    """

    def __init__(self, period: float) -> None:
        self._away, self._listen = max(AWAY, AWAY_BEATS * period), LISTEN_BEATS * period
        self._last: float | None = None  # s, monotonic, as all times here: of the last beat
        self._gap = period
        self._heard_at = 0.0
        self.heard: np.ndarray | None = None  # the last command [joints] on the topic, anyone's
        self.quiet = False  # whether to say nothing at this beat

    def hear(self, command: np.ndarray, at: float) -> None:
        """A command [joints] was published, by whomever."""
        self.heard, self._heard_at = command, at

    def beat(self, at: float) -> bool:
        """Once a beat: decide whether to be `quiet`; the answer is whether this is the first beat after the quiet."""
        gap = 0.0 if self._last is None else at - self._last
        if gap > max(self._away, OUTLIER * self._gap):
            self.quiet, self._heard_at = True, at
        self._last, self._gap = at, gap
        if not self.quiet or at - self._heard_at < self._listen:
            return False
        self.quiet = False
        return True
