"""Processes that are started together, watched, and stopped together."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

TAIL = 12  # lines of a log that tell why a process ended
COMMANDER_PATIENCE, PATIENCE = 1.8, 1.0  # s to end after SIGINT: together less than the 3 s that Ctrl-C may take
START = "from {0} import {1}; {1}()"
PR_SET_PDEATHSIG = 1  # of prctl(2)


@dataclass(frozen=True)
class Program:
    """What to run: a function of this environment, in a process of its own."""

    name: str
    entry: str  # module:function
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Child:
    """A program that was started."""

    program: Program
    process: subprocess.Popen[bytes]
    log: Path

    def tail(self) -> str:
        """The last lines it wrote."""
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(f"    {line}" for line in lines[-TAIL:]) or "    (it wrote nothing)"


class Stack:
    """Programs, started in their order and stopped in their order. Use as a context.

    Args:
        programs: the one that commands the robot first, so that it is stopped first.
        logs: folder of the log files.
    """

    def __init__(self, programs: Sequence[Program], logs: Path) -> None:
        self._programs, self._logs = programs, logs
        self._children: list[Child] = []

    def __enter__(self) -> Stack:
        self._logs.mkdir(parents=True, exist_ok=True)
        try:
            for program in self._programs:
                self._children.append(self._start(program))
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def dead(self) -> Child | None:
        """The first that ended by itself."""
        return next((child for child in self._children if child.process.poll() is not None), None)

    def runs(self, name: str) -> bool:
        """Whether that program does."""
        return any(child.program.name == name and child.process.poll() is None for child in self._children)

    def stop(self) -> None:
        """End every process, the stubborn by force: first the one that commands the robot, then all others at once."""
        for children, patience in ((self._children[:1], COMMANDER_PATIENCE), (self._children[1:], PATIENCE)):
            for child in children:
                child.process.send_signal(signal.SIGINT)
            deadline = time.monotonic() + patience
            for child in children:
                _wait(child.process, deadline)
        self._children = []

    def _start(self, program: Program) -> Child:
        log = self._logs / f"{program.name}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-c", START.format(*program.entry.split(":")), *program.arguments],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                start_new_session=True,  # a Ctrl-C is for the parent, which stops its children in order
                preexec_fn=_end_with_parent,
            )
        return Child(program, process, log)


def _wait(process: subprocess.Popen[bytes], deadline: float) -> None:
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _end_with_parent() -> None:
    """Where the parent is killed, the kernel tells the child to stop."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
