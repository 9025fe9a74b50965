"""A server that stands still for a while, on the machine's clock: the watchdog moves the robot, and keeps it."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("pgx_msgs", reason="pgx_msgs is not built: it needs a C++ compiler")
from pgx_msgs.msg import PolicyStatus
from std_msgs.msg import String

from .processes import Process, wait_until
from .puppet import Puppet
from .recorder import COMMANDS, Recorder

EVENTS, STATUS = "/policy_server/events", "/policy_server/status"
BLIND = 1.0  # s without joint states after which a server does not know where they are
SUNK = 1.0  # rad, more than a joint may move in a tick
AGES = dict.fromkeys(("joint_state_age_s", "imu_age_s", "odometry_age_s"), 5.0)  # a busy machine makes no fault


def test_a_server_that_hangs_comes_back_where_the_watchdog_left_the_robot(
    start_server: Callable[..., Process], start_watchdog: Callable[..., Process], recorder: Recorder, puppet: Puppet
) -> None:
    """All commands are held to the law: from the server's to the watchdog's and back, no jump."""
    recorder.listen(PolicyStatus, STATUS, reliable=True)
    start_watchdog(joint_state_age_s=5.0)
    server = start_server(autostart=True, initial_objective="walk", **AGES)
    wish = recorder.talk(String, "/policy_server/objective_name")

    def running() -> bool:
        """A busy machine may stop its loop in the first moments: then too it waits for a request."""
        told = recorder.heard[STATUS]
        if told and told[-1].message.mode == "RUN":
            return True
        time.sleep(2.5)  # it wants a second without requests, or they count as one that is repeated
        wish.publish(String(data="walk"))
        time.sleep(0.5)
        return False

    wait_until(running, 30.0, "the mode RUN")
    left = puppet.positions.copy()
    server.popen.send_signal(signal.SIGSTOP)
    try:
        wait_until(lambda: np.abs(puppet.positions - left).min() > SUNK, 20.0, "the robot, damped, to sink")
        events = len(recorder.heard[EVENTS])
    finally:
        server.popen.send_signal(signal.SIGCONT)
    event = recorder.wait_for(EVENTS, lambda m: m.kind == "mode", after=events).message
    assert event.target == "DAMP" and event.reason.startswith("the loop stood still for "), event
    counted = len(recorder.heard[COMMANDS])
    wait_until(lambda: len(recorder.heard[COMMANDS]) > counted + 25, 10.0, "a second's commands")
    assert recorder.heard[STATUS][-1].message.mode == "DAMP", "it waits for a request"
    wish.publish(String(data="run"))
    recorder.wait_for(EVENTS, lambda m: m.kind == "mode" and m.target == "RUN", after=events)


def test_a_server_that_comes_back_without_sensors_leaves_the_robot_to_the_watchdog(
    start_server: Callable[..., Process], start_watchdog: Callable[..., Process], recorder: Recorder, puppet: Puppet
) -> None:
    """It does not know where the joints are, and commands nothing until it does: it is alive, and no use."""
    watchdog = start_watchdog(joint_state_age_s=5.0)
    server = start_server(autostart=True, initial_objective="walk", **AGES | {"joint_state_age_s": BLIND})
    server.wait_for("RAMP -> RUN", 30.0)
    server.popen.send_signal(signal.SIGSTOP)
    try:
        watchdog.wait_for("the policy server is silent")
        puppet.mute = ("/joint_states",)
        time.sleep(2.0 * BLIND)
        events = len(recorder.heard[EVENTS])
    finally:
        server.popen.send_signal(signal.SIGCONT)
    event = recorder.wait_for(EVENTS, lambda m: m.kind == "mode" and m.target == "DAMP", after=events).message
    assert event.reason.startswith(("the loop stood still", "joint_states")), event
    counted = len(recorder.heard[COMMANDS])
    time.sleep(1.0)
    assert len(recorder.heard[COMMANDS]) - counted > 10, "somebody commands the robot"
    assert "the server is back" not in watchdog.log
    puppet.mute = ()
    watchdog.wait_for("the server is back")
