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
from functools import partial
from pathlib import Path

TAIL = 12  # lines of a log that tell why a process ended
COMMANDER_PATIENCE, PATIENCE = 1.8, 1.0  # s to end after SIGINT: together less than the 3 s that Ctrl-C may take
START = "from {0} import {1}; {1}()"
BRIEF = 1.0  # s: what ends so soon after its start would do so again
PR_SET_PDEATHSIG = 1  # of prctl(2)


@dataclass(frozen=True)
class Program:
    """What to run: a function of this environment, in a process of its own."""

    name: str
    entry: str  # module:function
    arguments: tuple[str, ...] = ()
    needed: bool = True  # the others are of no use without it
    restarted: bool = False  # where it ends by itself


@dataclass(frozen=True)
class Child:
    """A program that was started."""

    program: Program
    process: subprocess.Popen[bytes]
    log: Path
    began: float  # s, monotonic

    @property
    def ended(self) -> str:
        """How it ended by itself; empty while it runs."""
        status = self.process.poll()
        return "" if status is None else f"the process '{self.program.name}' ended with status {status}"

    def tail(self) -> str:
        """The last lines it wrote."""
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(f"    {line}" for line in lines[-TAIL:]) or "    (it wrote nothing)"


class Stack:
    """Programs, started in their order and stopped in their order. Use as a context.

    Args:
        programs: the one that commands the robot first, so that it is stopped first.
        logs: folder of the log files.
        farewell: signal that they get where this process is killed.
    """

    def __init__(self, programs: Sequence[Program], logs: Path, farewell: signal.Signals = signal.SIGTERM) -> None:
        self._programs, self._logs, self._farewell = programs, logs, farewell
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
        """The first that ended by itself, of those the others need."""
        return next((child for child in self._children if child.ended and self._missed(child)), None)

    def mend(self) -> list[Child]:
        """Start again those that are to be, and forget others that are not needed; what had ended, each once."""
        lost = [child for child in self._children if child.ended and not self._missed(child)]
        for child in lost:
            place = self._children.index(child)
            self._children[place : place + 1] = [self._start(child.program)] if child.program.restarted else []
        return lost

    def leave(self) -> None:
        """Part as if this process were killed."""
        for child in self._children:
            child.process.send_signal(self._farewell)
        self._children = []

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

    def _missed(self, child: Child) -> bool:
        brief = time.monotonic() - child.began < BRIEF
        return brief if child.program.restarted else child.program.needed

    def _start(self, program: Program) -> Child:
        log = self._logs / f"{program.name}.log"
        with log.open("ab") as file:
            process = subprocess.Popen(
                [sys.executable, "-c", START.format(*program.entry.split(":")), *program.arguments],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                start_new_session=True,  # a Ctrl-C is for the parent, which stops its children in order
                preexec_fn=partial(_end_with_parent, self._farewell),
            )
        return Child(program, process, log, time.monotonic())


def _wait(process: subprocess.Popen[bytes], deadline: float) -> None:
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _end_with_parent(farewell: signal.Signals) -> None:
    """Where the parent is killed, the kernel tells the child."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, farewell)
