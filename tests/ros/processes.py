"""Nodes as real processes."""

from __future__ import annotations

import ctypes
import json
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

STOP_TIME = 20.0  # s a process may take to end when asked to, on a busy machine
DIE_WITH_PARENT = 1  # prctl's PR_SET_PDEATHSIG


@dataclass
class Process:
    """One node as a process of its own."""

    name: str
    popen: subprocess.Popen[bytes]
    log_file: Path

    @property
    def log(self) -> str:
        """What it has said so far."""
        return self.log_file.read_text()

    @property
    def alive(self) -> bool:
        return self.popen.poll() is None

    def wait_for(self, text: str, timeout: float = 15.0) -> None:
        """Until it says so."""
        wait_until(lambda: text in self.log or not self.alive, timeout, f"{self.name} to say '{text}'")
        assert text in self.log, f"{self.name} ended with {self.popen.returncode}:\n{self.log}"

    def stop(self, number: int = signal.SIGINT, timeout: float = STOP_TIME) -> int:
        """Ask it to end and wait; the answer is its exit status."""
        self.popen.send_signal(number)
        return self.popen.wait(timeout)


def leaves_the_machine(pid: int) -> bool:
    """Whether a process sends and hears beyond the loopback."""
    addresses = {each.laddr.ip for each in psutil.Process(pid).net_connections("udp")}
    assert addresses, "it has joined no network"
    return not all(address.startswith(("127.", "239.")) for address in addresses)  # 239.: groups that it has joined


def shares_memory(pid: int) -> bool:
    """Whether a process talks DDS through shared memory, where one that is killed holds up all that talk to it."""
    return "/dev/shm/fastdds" in Path(f"/proc/{pid}/maps").read_text()


def wait_until(condition: Callable[[], object], timeout: float, what: str) -> None:
    """Poll until it holds; fail the test where it does not in time."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"waited {timeout:g} s for {what}")
        time.sleep(0.005)


def executable_path(package: str, executable: str) -> Path:
    """Where an installation keeps it."""
    from ament_index_python.packages import get_package_prefix

    return Path(get_package_prefix(package)) / "lib" / package / executable


def die_with_us() -> None:
    """Even where the tests are killed, no process stays."""
    ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)


class Launcher:
    """Starts nodes and ends them. Folder: of their parameters and logs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.processes: list[Process] = []
        self.stuck: list[str] = []

    def __call__(
        self, package: str, executable: str, name: str = "", namespace: str = "", remap: dict[str, str] | None = None,
        **parameters: Any,
    ) -> Process:  # fmt: skip
        """Start `package`'s `executable`, perhaps under another node name, in a namespace, with remappings."""
        label = f"{name or executable}-{len(self.processes)}"
        values, log = self._folder / f"{label}.yaml", self._folder / f"{label}.log"
        values.write_text(json.dumps({"/**": {"ros__parameters": parameters}}))  # JSON is YAML
        renames = {"__node": name, "__ns": namespace} | (remap or {})
        command = [str(executable_path(package, executable)), "--ros-args", "--params-file", str(values)]
        command += [word for old, new in renames.items() if new for word in ("-r", f"{old}:={new}")]
        with log.open("wb") as output:
            popen = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, preexec_fn=die_with_us
            )
        self.processes.append(Process(label, popen, log))
        return self.processes[-1]

    def stop_all(self) -> None:
        """End them all; those that had to be killed are in `stuck`."""
        running = [process for process in self.processes if process.alive]
        for process in running:
            process.popen.send_signal(signal.SIGCONT)
            process.popen.send_signal(signal.SIGINT)
        for process in running:
            try:
                process.popen.wait(STOP_TIME)
            except subprocess.TimeoutExpired:
                self.stuck.append(process.name)
                process.popen.kill()
                process.popen.wait()

    def print_logs(self) -> None:
        """For a test that fails."""
        for process in self.processes:
            print(f"--- {process.name}, exit status {process.popen.returncode}\n{process.log}")
