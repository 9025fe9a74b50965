"""Every fault, against a running system of real processes: what is answered, and within which time.

Input faults are timed by the stamps of the simulated clock, which a busy machine slows but does not bend; what a dead
process leaves behind is timed by arrivals, with `SCHEDULING` added.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.msg import Transition
from pgx_policy_server.parameters import SERVER as SERVER_ROWS
from std_msgs.msg import Bool, String

from pgx_core.serving.modes import PAUSE

from .law import Law
from .processes import shares_memory, wait_until
from .system import (
    DIAGNOSTIC_PERIOD,
    DISCOVERY,
    EVENTS,
    FRAME,
    INPUTS,
    LOST,
    SCHEDULING,
    STATUS,
    TICK,
    TIMEOUT,
    System,
    running_system,
    seconds,
)

DEFAULTS = {row.name: row.default for row in SERVER_ROWS}
AGES = {"joint_states": "joint_state_age_s", "imu": "imu_age_s", "odometry": "odometry_age_s"}
SIM_NAMES = {"joint_states": "joint_states", "imu": "imu", "odometry": "odom"}  # of the inputs, for the simulator
SILENCE_OF_WATCHDOG = 1.0  # s
TAKEOVER = "commanding the safe state"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, laws: Law) -> Iterator[System]:
    with running_system(tmp_path_factory.mktemp("faults"), laws) as system:
        yield system


@pytest.fixture
def system(shared: System) -> Iterator[System]:
    """It walks."""
    shared.begin()
    yield shared
    shared.end()


def is_good(name: str, message: object, joints: int) -> bool:
    """Whether a server should take this message of an input."""
    if name == "joint_states":
        numbers = [*message.position, *message.velocity]
        return len(message.name) == joints and np.isfinite(numbers).all()
    if name == "imu":
        return math.isfinite(message.orientation.w) and math.isfinite(message.angular_velocity.x)
    return math.isfinite(message.twist.twist.linear.x)


def assert_damped_in_time(system: System, name: str, mark: int, since: int = 0) -> str:
    """Within the input's age and `bad_ticks` ticks of its last good message, and not sooner; the answer is why.

    Events count from `mark` on, messages from `since` on.
    """
    event = system.event(mark, kind="mode", target="DAMP").message
    damped, joints = seconds(event.header.stamp), len(system.recorder.contract.joints)
    heard = [h.message for h in system.heard[INPUTS[name]][since:]]
    last_good = max(s for m in heard if is_good(name, m, joints) and (s := seconds(m.header.stamp)) <= damped)
    age, bad = DEFAULTS[AGES[name]], DEFAULTS["bad_ticks"]
    earliest, latest = age + (bad - 1) * TICK - 2 * FRAME, age + (bad + LOST) * TICK + FRAME
    assert earliest <= damped - last_good <= latest
    return event.reason


@pytest.mark.parametrize("name", INPUTS)
@pytest.mark.parametrize(("kind", "words"), [("drop", "since it arrived"), ("nan", "not finite"), ("frozen", "stamp")])
def test_an_input_that_fails_damps_the_robot_in_time(system: System, name: str, kind: str, words: str) -> None:
    mark, reported = system.mark(), system.mark("/diagnostics")
    system.inject(kind, SIM_NAMES[name])
    reason = assert_damped_in_time(system, name, mark)
    assert reason.startswith(name) and words in reason
    system.diagnosis(
        "policy_server", DiagnosticStatus.ERROR, "DAMP", reported, timeout=DIAGNOSTIC_PERIOD + 3 * SCHEDULING
    )
    answer = system.ask(name="run")
    assert not answer.accepted and "not fit to go on" in answer.reason, "it stays damped while the input is bad"


def test_a_joint_that_is_missing_damps_the_robot_in_time(system: System) -> None:
    mark, joint = system.mark(), system.recorder.contract.joints[2].name
    system.inject("missing", joint)
    assert f"joint {joint} is missing" in assert_damped_in_time(system, "joint_states", mark)


def test_a_delay_beyond_the_age_damps_the_robot(system: System) -> None:
    mark, delay = system.mark(), 3.0 * DEFAULTS["imu_age_s"]
    system.inject("delay", "imu", value=delay)
    assert system.event(mark, kind="mode", target="DAMP").message.reason.startswith("imu")
    clock = system.clock
    wait_until(lambda: system.clock > clock + 2.0 * delay, 10.0, "the late readings to come")
    assert "s old by its stamp" in system.ask(name="run").reason


def assert_damping(system: System) -> None:
    """The commands come to be where the joints are measured, each joint its own."""

    def follow() -> bool:
        positions = system.joint_positions()
        gap = np.abs(np.array(system.commands[-1].message.data) - positions).max()
        return bool(gap < 0.05 and np.ptp(positions) > 0.2)  # the robot lies, and its joints can be told apart

    wait_until(follow, 10.0, "commands to follow the joints")


def go_on(system: System) -> None:
    """A second's commands come."""
    counted = len(system.commands)
    wait_until(lambda: len(system.commands) > counted + 1.0 / TICK, 10.0, "a second's commands")


def test_shuffled_joints_are_no_fault(system: System) -> None:
    names = [joint.name for joint in system.recorder.contract.joints]
    mark, taken_over = system.mark(), system.watchdog.log.count(TAKEOVER)
    system.inject("shuffle")
    system.recorder.wait_for("/joint_states", lambda m: list(m.name) != names, after=system.mark("/joint_states"))
    counted = len(system.commands) - 1
    go_on(system)
    assert max(np.diff([h.arrival for h in system.commands[counted:]])) < 3 * TICK + SCHEDULING
    assert not system.mode_events(mark) and system.watchdog.log.count(TAKEOVER) == taken_over
    system.inject("drop", "imu")  # damped, it commands what it has measured
    system.event(mark, kind="mode", target="DAMP")
    assert list(system.heard["/joint_states"][-1].message.name) != names
    assert_damping(system)


@pytest.mark.parametrize("way", ["service", "topic"])
def test_an_unknown_objective_is_refused_at_once_and_changes_nothing(system: System, way: str) -> None:
    mark, asked = system.mark(), time.monotonic()
    if way == "service":
        answer = system.ask(name="fly")
        assert not answer.accepted and "unknown objective 'fly'" in answer.reason
        assert (answer.objective, answer.group) == ("walk", "calm")
    else:
        system.wish.publish(String(data="fly"))
    event = system.event(mark, kind="refused")
    assert event.arrival - asked < 2 * TICK + SCHEDULING
    assert "unknown objective 'fly'" in event.message.reason
    status = system.recorder.wait_for(STATUS, lambda m: True, after=system.mark(STATUS)).message
    assert (status.mode, status.objective) == ("RUN", "walk") and not system.mode_events(mark)


@pytest.mark.parametrize(
    ("velocity", "objective", "words"),
    [
        (9.0, "sprint", "velocity 9 clipped to 3"),
        (-1e300, "stand", "clipped to 0"),
        (1.25, "", "of the trained range away"),
        (math.nan, "", "finite"),
        (math.inf, "", "finite"),
    ],
)
def test_a_command_out_of_range_is_clipped_or_refused_and_said(
    system: System, velocity: float, objective: str, words: str
) -> None:
    mark, asked = system.mark(), time.monotonic()
    answer = system.ask(command_names=["velocity"], command_values=[velocity])
    assert (answer.accepted, answer.objective) == (bool(objective), objective or "walk")
    assert words in answer.reason
    event = system.event(mark, kind="switch" if objective else "refused")
    assert words in event.message.reason and event.message.objective == (objective or "walk")
    dwell = DEFAULTS["dwell_s"] if objective else 0.0
    assert event.message.latency <= dwell + 2 * TICK and event.arrival - asked < dwell + 2 * TICK + SCHEDULING


def test_a_flood_of_objectives_is_outlived(system: System) -> None:
    """1 kHz for two seconds, a third of it nonsense: the pace, the dwell and the last wish stand."""
    mark, clock, counted, began = system.mark(), system.clock, len(system.commands), time.monotonic()
    wishes = [("walk", "fly", "run")[k % 3] for k in range(2000)] + ["sprint"]
    for k, wish in enumerate(wishes):
        time.sleep(max(0.0, began + 1e-3 * k - time.monotonic()))
        system.wish.publish(String(data=wish))
    ended, passed = time.monotonic(), system.clock - clock
    assert ended - began < 2.0 + 3.0 * SCHEDULING, "it was a flood"
    last = system.event(mark, kind="switch", target="sprint")
    assert last.arrival - ended < DEFAULTS["dwell_s"] + 2 * TICK + SCHEDULING
    commands = sum(h.arrival <= ended for h in system.commands[counted:])  # sent, even if heard later
    assert commands >= 0.9 * passed / TICK, "a flood, and every tick in spite of it"
    asked = time.monotonic()
    assert system.ask(name="walk").accepted and time.monotonic() - asked < SCHEDULING
    events = [h.message for h in system.heard[EVENTS][mark:]]
    switches = [seconds(m.header.stamp) for m in events if m.kind == "switch"]
    assert len(switches) > 5 and min(np.diff(switches)) > DEFAULTS["dwell_s"] - 2 * FRAME
    assert {m.target for m in events if m.kind == "mode"} <= {"RAMP", "RUN"}
    assert any(m.kind == "refused" for m in events)


def jumped(system: System, since: int) -> bool:
    stamps = [seconds(h.message.clock) for h in system.heard["/clock"][since:]]
    return min(np.diff(stamps), default=0.0) < -1.0


def test_a_clock_that_jumps_back_costs_no_more_than_a_few_ticks(system: System) -> None:
    wait_until(lambda: system.clock > 2.0, 10.0, "a time to go back to")
    mark, counted, clocks = system.mark(), len(system.commands), system.mark("/clock") - 1
    taken_over = system.watchdog.log.count(TAKEOVER)
    system.inject("clock_back", value=1.5)
    wait_until(lambda: jumped(system, clocks), 5.0, "the jump")
    back = system.mark("/imu/data")
    go_on(system)
    assert max(np.diff([h.arrival for h in system.commands[counted:]])) < 3 * TICK + SCHEDULING
    assert not system.mode_events(mark) and system.watchdog.log.count(TAKEOVER) == taken_over
    system.inject("drop", "imu")  # and it still knows how old a reading is
    assert_damped_in_time(system, "imu", mark, back)


def test_the_stop_is_obeyed_at_once_and_kept(system: System) -> None:
    mark, pressed = system.mark(), time.monotonic()
    system.stop_button.publish(Bool(data=True))
    event = system.event(mark, kind="mode", target="ESTOP")
    assert event.arrival - pressed < 2 * TICK + SCHEDULING
    assert "pressed" in event.message.reason
    system.stop_button.publish(Bool(data=False))
    assert_damping(system)
    assert not system.ask(name="run").accepted
    assert system.mode_events(mark) == ["ESTOP"]


def test_a_silent_stop_button_stops_the_robot_in_time(system: System) -> None:
    timeout = 2.0 * SCHEDULING
    assert system.server.stop() == 0
    ended, said = threading.Event(), [0.0]
    heartbeat = threading.Thread(target=_press_nothing, args=(system, ended, said))
    heartbeat.start()
    mark = system.mark()
    try:
        system.start_server(estop_timeout_s=timeout).wait_for("RAMP -> RUN", 30.0)
        assert "ESTOP" not in system.mode_events(mark)
    finally:
        ended.set()
        heartbeat.join()
    event = system.event(mark, kind="mode", target="ESTOP").message
    assert "silent" in event.reason
    late = seconds(event.header.stamp) - said[-1] - timeout
    assert -TICK <= late < LOST * TICK + SCHEDULING
    system.server.stop()


def _press_nothing(system: System, ended: threading.Event, said: list[float]) -> None:
    """And note when, by the clock that was heard."""
    while not ended.wait(TICK):
        said.append(system.clock)
        system.stop_button.publish(Bool(data=False))


def test_nobody_waits_for_a_listener_that_was_killed(system: System) -> None:
    go_on(system)
    for process in (system.sim, system.server, system.watchdog):
        assert not shares_memory(process.popen.pid), process.name


def test_a_killed_server_is_replaced_by_the_watchdog_in_time(system: System) -> None:
    reported, limp = system.mark("/diagnostics"), system.sim.log.count("no commands")
    system.server.popen.send_signal(signal.SIGKILL)
    system.server.popen.wait()
    wait = system.takeover(time.monotonic())
    assert TIMEOUT - 2 * TICK < wait < TIMEOUT + LOST * TICK + SCHEDULING
    system.diagnosis("watchdog", DiagnosticStatus.ERROR, "commanding the safe state", reported)
    assert_damping(system)
    go_on(system)
    assert system.sim.log.count("no commands") == limp, "the robot was never without"
    lies_still = lambda: np.abs(system.heard["/joint_states"][-1].message.velocity).max() < 0.1  # noqa: E731
    wait_until(lies_still, 20.0, "the robot to lie still")
    reported = system.mark("/diagnostics")
    system.start_server().wait_for("RAMP -> RUN", 30.0)
    system.diagnosis("watchdog", DiagnosticStatus.OK, "watching", reported)


def test_a_killed_watchdog_is_reported_in_time_and_the_robot_goes_on(system: System) -> None:
    mark, reported = system.mark(), system.mark("/diagnostics")
    system.watchdog.popen.send_signal(signal.SIGKILL)
    system.watchdog.popen.wait()
    killed, counted = time.monotonic(), len(system.commands)
    words = "the watchdog 'watchdog' has been silent"
    report = system.diagnosis("policy_server", DiagnosticStatus.WARN, words, reported)
    assert report.arrival - killed < SILENCE_OF_WATCHDOG + DIAGNOSTIC_PERIOD + SCHEDULING
    assert len(system.commands) - counted > 20 and not system.mode_events(mark)
    reported = system.mark("/diagnostics")
    system.start_watchdog()
    system.diagnosis("policy_server", DiagnosticStatus.OK, "RUN", reported, timeout=20.0)


def test_a_bundle_altered_on_disk_is_refused_and_the_running_one_goes_on(system: System) -> None:
    change, mark = system.change, system.mark()
    (network, *_) = sorted(system.bundle.rglob("*.onnx"))
    whole = network.read_bytes()
    network.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    try:
        for objective in ("run", "walk"):
            assert system.ask(name=objective).accepted
            system.event(mark, kind="switch", target=objective)
        assert {*system.mode_events(mark)} <= {"RAMP", "RUN"}
        reported = system.mark("/diagnostics")
        assert change(Transition.TRANSITION_DEACTIVATE) and change(Transition.TRANSITION_CLEANUP)
        asked = time.monotonic()
        assert not change(Transition.TRANSITION_CONFIGURE)
        assert time.monotonic() - asked < 5.0
        words = f"file '{network.relative_to(system.bundle)}' is damaged or was altered"
        assert words in system.server.log
        system.diagnosis("policy_server", DiagnosticStatus.ERROR, words, reported)
        counted = len(system.commands)
        time.sleep(0.3)
        assert len(system.commands) == counted, "and nobody commands: neither it nor the watchdog"
    finally:
        network.write_bytes(whole)
    assert change(Transition.TRANSITION_CONFIGURE)
    wait_until(lambda: change(Transition.TRANSITION_ACTIVATE), 10.0, "the server to be activated")


def test_a_simulator_that_starts_again_finds_the_server_ready(system: System) -> None:
    mark, taken_over = system.mark(), system.watchdog.log.count(TAKEOVER)
    system.sim.popen.send_signal(signal.SIGKILL)
    system.sim.popen.wait()
    time.sleep(0.05)  # what was on its way has come
    counted, clocks = len(system.commands), system.mark("/clock")
    time.sleep(0.5)
    assert len(system.commands) == counted, "its clock stands still, and so do they"
    system.start_sim()
    wait_until(lambda: system.mark("/clock") > clocks, 20.0, "the new clock")
    began = system.heard["/clock"][clocks].arrival
    wait_until(lambda: len(system.commands) > counted + 1.0 / TICK, 10.0, "commands")
    assert system.commands[counted].arrival - began < DISCOVERY + SCHEDULING
    # Where the new clock is heard before the new sensors, it damps until it is asked again.
    assert set(system.mode_events(mark)) <= {"RAMP", "RUN", "DAMP"}
    wait_until(lambda: time.sleep(1.2 * PAUSE) or system.ask(name="run").accepted, 15.0, "the server to be ready")
    system.event(mark, kind="switch", target="run")
    assert system.watchdog.alive and system.watchdog.log.count(TAKEOVER) == taken_over


def test_a_server_started_twice_commands_once(system: System) -> None:
    """By mistake, under the same name: the second one refuses to be activated, and the first one goes on."""
    mark = system.mark()
    second = system.start("policy_server", **system.settings)
    second.wait_for("bundle 'faults': ", 30.0)
    second.wait_for(": two nodes must not command one robot", DISCOVERY + SCHEDULING)
    go_on(system)
    assert second.stop() == 0 and "INACTIVE -> HOLD" not in second.log
    assert not system.mode_events(mark)
    reported = system.mark("/diagnostics")
    system.diagnosis("policy_server", DiagnosticStatus.OK, "RUN", reported)
