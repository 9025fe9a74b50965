"""`pgx up`: the launch files' nodes with the launch files' parameters, as processes of this environment."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import rclpy
from pgx_policy_server.spinning import QuickestExecutor
from rclpy.executors import Executor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from pgx_bringup.monitor import Display, Monitor
from pgx_bringup.processes import Program, Stack
from pgx_bringup.share import PROFILES_FILE, share
from pgx_core.errors import ConfigError, RunError, require
from pgx_core.serving import load_bundle
from pgx_core.serving.checks import find_objective

POLL = 0.1  # s
SERVER, WATCHDOG = "policy_server", "watchdog"
LEFT = "the watchdog commands the robot now; secure it, then end this with Ctrl-C"


@dataclass(frozen=True)
class UpConfig:
    """What to start."""

    bundle: Path
    objective: str = ""  # pursued from the start; empty: hold
    viewer: bool = False
    sim: bool = True  # start a simulated robot; else a real one is expected
    seconds: float = 0.0  # after which to stop; 0: on Ctrl-C
    record: Path | None = None  # an MCAP file
    params: Path | None = None  # ROS parameters; where None those of the launch files


def up(config: UpConfig) -> None:
    """Serve a bundle until Ctrl-C, with a live line of what happens.

    Where the terminal is lost, a real robot is left to the watchdog.

    Raises:
        BundleError: the bundle is refused, or does not know the objective.
        ConfigError: a file of parameters or the recording's folder is missing.
        RunError: a process ended by itself. Where that was a real robot's server, the watchdog is left with the robot
            until Ctrl-C.
    """
    with stopping() as stopped, serving(config) as (stack, node, executor):
        display = Display(Monitor(node))
        try:
            _watch(config, stack, executor, display, stopped)
        except OSError:  # there is nobody to read any more
            stopped.append(signal.SIGHUP)
            raise
        finally:
            if not config.sim and signal.SIGHUP in stopped:
                stack.leave()
            display.close()


def _watch(config: UpConfig, stack: Stack, executor: Executor, display: Display, stopped: list[int]) -> None:
    deadline = time.monotonic() + (config.seconds or float("inf"))
    try:
        while not stopped and time.monotonic() < deadline:
            executor.spin_once(timeout_sec=POLL)
            display.show()
            require_alive(stack)
    except RunError as error:
        if not config.sim and not stack.runs(SERVER) and stack.runs(WATCHDOG):
            print(f"{error}: {LEFT}", file=sys.stderr, flush=True)
            while not stopped and stack.runs(WATCHDOG):
                executor.spin_once(timeout_sec=POLL)
        raise


@contextlib.contextmanager
def serving(config: UpConfig) -> Iterator[tuple[Stack, Node, Executor]]:
    """A running stack, and a node beside it with the executor to spin it."""
    _check(config)
    programs = _programs(config)
    with contextlib.ExitStack() as exits:
        logs = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="pgx_up_")))
        os.environ.setdefault("ROS_LOG_DIR", str(logs))
        _choose_transport(config.sim)
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        exits.callback(rclpy.shutdown)
        node = Node("pgx_up")
        exits.callback(node.destroy_node)
        executor = QuickestExecutor()
        exits.callback(executor.shutdown)
        executor.add_node(node)
        # To the server of a real robot SIGHUP is no order to stop, and its watchdog goes on.
        farewell = signal.SIGTERM if config.sim else signal.SIGHUP
        yield exits.enter_context(Stack(programs, logs, farewell)), node, executor


@contextlib.contextmanager
def stopping() -> Iterator[list[int]]:
    """A list that a signal to stop fills; the signals do nothing else meanwhile."""
    stopped: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, lambda number, _: stopped.append(number)) for number in numbers]
    try:
        yield stopped
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def require_alive(stack: Stack) -> None:
    """Every process runs that is needed. The others' ends are told.

    Raises:
        RunError: one ended by itself; with the last lines of its log.
    """
    dead = stack.dead()
    for child in [dead] if dead else stack.mend():
        print(f"last lines of {child.program.name}:\n{child.tail()}", flush=True)
        if dead:
            raise RunError(dead.ended)
        print(f"{child.ended}{' and is started again' * child.program.restarted}; the others go on", flush=True)


def _check(config: UpConfig) -> None:
    require(config.seconds >= 0.0, "seconds", "0 or more", config.seconds)
    manifest = load_bundle(config.bundle).manifest
    if config.objective:
        find_objective(manifest, config.objective)
    for path, what in ((config.params, "params"), (config.record and config.record.resolve().parent, "record")):
        if path is not None and not path.exists():
            raise ConfigError(f"{what}: '{path}' does not exist")


def _choose_transport(simulated: bool) -> None:
    """By the loopback alone where a simulated robot is, and never by shared memory: the file says why."""
    if simulated:
        os.environ.setdefault(PROFILES_FILE, str(share("pgx_sim") / "config" / "fastdds.xml"))
    else:
        os.environ.setdefault("FASTDDS_BUILTIN_TRANSPORTS", "UDPv4")


def _programs(config: UpConfig) -> list[Program]:
    """The server first: it is the one to stop first. The recorder last: it hears the end."""
    params = config.params or share("pgx_bringup") / "params" / ("sim.yaml" if config.sim else "robot.yaml")
    common = {"bundle_path": config.bundle.resolve()}
    clock = {"use_sim_time": str(config.sim).lower()}
    server = {**common, **clock, "autostart": "true"}
    server |= {"initial_objective": config.objective} if config.objective else {}
    programs = [
        _node(SERVER, "pgx_policy_server.server_node:main", params, server),
        replace(_node(WATCHDOG, "pgx_policy_server.watchdog_node:main", params, {**common, **clock}), restarted=True),
    ]
    if config.sim:
        sim = {**common, "viewer": str(config.viewer).lower()}
        programs.append(_node("sim", "pgx_sim.node:main", params, sim))
    if config.record is not None:
        file = str(config.record.resolve())
        programs.append(Program("record", "pgx_bringup.record:main", (file,), needed=False))
    return programs


def _node(name: str, entry: str, params: Path, parameters: dict[str, object]) -> Program:
    words = ["--ros-args", "--params-file", str(params)]
    for key, value in parameters.items():
        words += ["-p", f"{key}:={value}"]
    return Program(name, entry, tuple(words))
