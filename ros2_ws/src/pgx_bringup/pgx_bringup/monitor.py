"""The state of a running stack, heard on `/diagnostics`, in one line."""

from __future__ import annotations

import sys
import time

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node

REPEAT = 10.0  # s between two equal lines where the output is no terminal
WIDTH = 118  # of a terminal's line
LEVELS = {
    DiagnosticStatus.OK: "",
    DiagnosticStatus.WARN: "warning: ",
    DiagnosticStatus.ERROR: "ERROR: ",
    DiagnosticStatus.STALE: "stale: ",
}


class Monitor:
    """Hears the diagnostics of the policy server and of everyone else.

    Args:
        node: hears.
        server: full name of the server's node.
    """

    def __init__(self, node: Node, server: str = "/policy_server") -> None:
        self._name = f"{server.lstrip('/')}: policy"
        self.server: DiagnosticStatus | None = None
        self._others: dict[str, DiagnosticStatus] = {}
        node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)

    @property
    def values(self) -> dict[str, str]:
        """What the server says of itself; empty before it did."""
        return {pair.key: pair.value for pair in self.server.values} if self.server else {}

    def headline(self) -> str:
        """What matters when it changes: mode, objective, complaints."""
        if self.server is None:
            return "starting"
        values = self.values
        mode = values["mode"] if values["state"] == "active" else values["state"]
        pursued = f"{values['objective']} by {values['group']}" if values["objective"] else "no objective"
        complaints = [
            f"{LEVELS[status.level]}{status.message}"
            for status in (self.server, *self._others.values())
            if status.level != DiagnosticStatus.OK
        ]
        return "  ".join([f"{mode:<8}", f"{pursued:<28}", *complaints])

    def figures(self) -> str:
        """Ages of the inputs and times of the ticks."""
        values = self.values
        ages = [f"{key.removeprefix('age ')} {float(value):.2f}" for key, value in values.items() if key[:4] == "age "]
        return f"tick p99 {values.get('tick_p99_ms', '-')} ms, ages {', '.join(ages) or '-'} s"

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name == self._name:
                self.server = status
            else:
                self._others[status.name] = status


class Display:
    """Shows the monitor's line: rewritten on a terminal, else printed when it changes."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._live = sys.stdout.isatty()
        self._shown, self._time = "", 0.0

    def show(self) -> None:
        """Bring it up to date."""
        headline, now = self._monitor.headline(), time.monotonic()
        if self._live:
            line = f"{headline}  {self._monitor.figures()}"
            print(f"\r\x1b[K{line[:WIDTH]}", end="", flush=True)
        elif headline != self._shown or now - self._time > REPEAT:
            self._shown, self._time = headline, now
            print(f"{headline}  {self._monitor.figures()}", flush=True)

    def close(self) -> None:
        """Leave the line."""
        if self._live:
            print()
