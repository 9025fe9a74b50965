"""Faults on the machine's clock, as on a real robot: the loop has a thread of its own beside that of the messages."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import numpy as np
from pgx_msgs.msg import PolicyStatus
from pgx_policy_server.parameters import SERVER
from std_msgs.msg import Bool, String

from pgx_core.serving.modes import PAUSE

from .processes import Process, wait_until
from .puppet import Puppet
from .recorder import COMMANDS, Recorder
from .system import EVENTS, SCHEDULING, STATUS, seconds

DEFAULTS = {row.name: row.default for row in SERVER}
BLIND = 1.0  # s without joint states after which a server does not know where they are
AGE = 0.5  # s: of readings, more than a busy machine keeps them waiting
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


def test_silent_inputs_and_the_stop_are_answered_in_time_on_the_machines_clock(
    start_server: Callable[..., Process], start_watchdog: Callable[..., Process], recorder: Recorder, puppet: Puppet
) -> None:
    patience = {"timeout_s": 2.0 * SCHEDULING}
    start_watchdog(joint_state_age_s=5.0, **patience)
    server = start_server(autostart=True, initial_objective="walk", **dict.fromkeys(AGES, AGE), **patience)
    server.wait_for("RAMP -> RUN", 30.0)
    wish, stop = recorder.talk(String, "/policy_server/objective_name"), recorder.talk(Bool, "/policy_server/estop")
    bad, period = DEFAULTS["bad_ticks"], 1.0 / recorder.contract.control_rate

    for topic in puppet.kinds:
        mark = len(recorder.heard[EVENTS])
        puppet.mute = (topic,)
        event = recorder.wait_for(EVENTS, lambda m: m.kind == "mode" and m.target == "DAMP", after=mark).message
        late = seconds(event.header.stamp) - puppet.said[topic] - AGE
        assert (bad - 2) * period <= late <= (bad + 1) * period + SCHEDULING, (topic, late, event.reason)
        puppet.mute = ()
        time.sleep(2.0 * PAUSE)  # a stream of requests would never end DAMP
        wish.publish(String(data="run"))
        recorder.wait_for(EVENTS, lambda m: m.kind == "mode" and m.target == "RUN", after=mark)

    mark, began = len(recorder.heard[EVENTS]), time.monotonic()
    for k in range(500):  # 1 kHz, and the stop in the midst of it
        time.sleep(max(0.0, began + 1e-3 * k - time.monotonic()))
        wish.publish(String(data=("walk", "fly", "run")[k % 3]))
        if k == 250:
            pressed = time.time()
            stop.publish(Bool(data=True))
    event = recorder.wait_for(EVENTS, lambda m: m.kind == "mode" and m.target == "ESTOP", after=mark).message
    assert 0.0 < seconds(event.header.stamp) - pressed < 2.0 * period + SCHEDULING
