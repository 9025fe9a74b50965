"""Run a node as a process: one thread for all callbacks, and an end in which a last command can still be sent."""

from __future__ import annotations

import faulthandler
import signal
import sys
from collections.abc import Callable
from typing import Protocol

import rclpy
from rclpy.exceptions import NameValidationException
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from pgx_core.errors import PgxError

try:  # the quickest one this rclpy has; imported late, it would hold up the threads of a node that runs already
    from rclpy.experimental import EventsExecutor as QuickestExecutor
except ImportError:
    QuickestExecutor = SingleThreadedExecutor

SWITCH = 0.5e-3  # s that one thread may keep the others waiting; Python's 5 ms is a quarter of a control period
POLL = 0.1  # s: a signal is noticed after so long at most
END = 10.0  # s that a process may take to leave the network, once it has said its last word


class Served(Protocol):
    """What a node needs to be run."""

    node: Node

    def check(self) -> None:
        """Called some times a second; raises what ended a thread of its own."""

    def close(self, orderly: bool) -> None:
        """Leave the robot safe; `orderly`: as somebody wished, and not by a fault. ROS still works."""


def run(make: Callable[[], Served], outlives_terminal: bool = False) -> None:
    """Spin until SIGINT or SIGTERM, then close. A user's mistake ends the process with one line and status 1.

    SIGHUP, a terminal or connection that is gone, ends it too, but not in order; unless it outlives that.
    """
    stopping: list[int] = []
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    for number in (signal.SIGINT, signal.SIGTERM, *([] if outlives_terminal else [signal.SIGHUP])):
        # Later signals change nothing: the process is stopping already.
        signal.signal(number, lambda number, _: stopping.append(number))
    sys.setswitchinterval(SWITCH)
    # The usual handlers close ROS first, and no safe command could be sent.
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    try:
        served = make()
    except (PgxError, NameValidationException) as error:  # a parameter's, and the name of a topic made of one
        sys.exit(" ".join(str(error).split()))
    executor = QuickestExecutor()
    executor.add_node(served.node)
    orderly = False
    try:
        while not stopping:
            # spin() of the EventsExecutor takes a whole core and is deaf to signals in some releases.
            executor.spin_once(timeout_sec=POLL)
            served.check()
        orderly = stopping[0] != signal.SIGHUP
    finally:
        served.close(orderly)
        # Fast DDS may lock itself up while others leave too (eProsima/Fast-DDS issue 6502); no Python thread runs then.
        faulthandler.dump_traceback_later(END, exit=True)
        executor.shutdown()
        served.node.destroy_node()
        rclpy.shutdown()
