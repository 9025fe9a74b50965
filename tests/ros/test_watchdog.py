"""The watchdog's judgement on a clock of the test's own, and the watchdog as a process beside a server that dies."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from hypothesis import given
from hypothesis import strategies as st
from pgx_policy_server.watchdog import NO_COMMAND, Watchdog
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Float64MultiArray

from pgx_core.contract import JointContract, ObservationTerm, PolicyContract
from pgx_core.serving import Instant

from .processes import Process, wait_until
from .recorder import COMMANDS, Recorder

PERIOD, TIMEOUT, AGE = 0.02, 0.15, 0.1
JOINT = JointContract("a", 0.0, 0.5, -1.0, 1.0, None, None, 2.0, 20.0, 30.0, 1.0)
JOINTS = (JOINT, replace(JOINT, name="b"))
REACH = JOINT.velocity_limit * PERIOD


def contract(safe_state: str = "damp", command_type: str = "position") -> PolicyContract:
    terms = (ObservationTerm("joint_positions", 2),)
    return PolicyContract("pair", 1 / PERIOD, command_type, JOINTS, terms, safe_state, None)


def at(seconds: float) -> Instant:
    return Instant(seconds, seconds)


def serve(watchdog: Watchdog, seconds: float, command: tuple[float, float] = (0.5, -0.5)) -> float:
    """A server that beats and commands until then."""
    for k in range(round(seconds / PERIOD) + 1):
        watchdog.heartbeat(True, at(k * PERIOD))
        watchdog.command(np.array(command), at(k * PERIOD))
        assert watchdog.tick(at(k * PERIOD)) is None
    return k * PERIOD


def silence(
    watchdog: Watchdog, since: float, seconds: float, joints: tuple | None = None
) -> Iterator[np.ndarray | None]:
    for k in range(1, round(seconds / PERIOD) + 1):
        if joints is not None:
            watchdog.joint_state(("b", "a"), joints[::-1], (0.0, 0.0), 0.0, at(since + k * PERIOD))
        yield watchdog.tick(at(since + k * PERIOD))


def test_it_takes_over_after_the_timeout_and_not_before() -> None:
    watchdog = Watchdog(contract(), TIMEOUT, AGE)
    last = serve(watchdog, 1.0)
    said = [command is not None for command in silence(watchdog, last, 0.4)]
    assert said.index(True) == int(TIMEOUT / PERIOD) and all(said[said.index(True) :])


@pytest.mark.parametrize("active", [True, False])
def test_it_steps_back_at_once_when_the_server_is_heard(active: bool) -> None:
    watchdog = Watchdog(contract(), TIMEOUT, AGE)
    last = serve(watchdog, 1.0)
    assert list(silence(watchdog, last, 0.4))[-1] is not None
    watchdog.heartbeat(active, at(last + 0.41))
    assert watchdog.tick(at(last + 0.42)) is None and not watchdog.silence


@pytest.mark.parametrize("gap", [0.05 + 0.005 * k for k in range(40)])
def test_one_that_stood_still_itself_first_hears_what_came_meanwhile(gap: float) -> None:
    watchdog = Watchdog(contract(), TIMEOUT, AGE)
    last = serve(watchdog, 1.0)
    assert watchdog.tick(at(last + gap)) is None and not watchdog.silence
    watchdog.command(np.array([0.5, -0.5]), at(last + gap))
    watchdog.heartbeat(True, at(last + gap))
    assert watchdog.tick(at(last + gap + PERIOD)) is None


def test_one_that_stood_still_itself_takes_over_where_nothing_came() -> None:
    watchdog = Watchdog(contract(), TIMEOUT, AGE)
    last = serve(watchdog, 1.0)
    assert watchdog.tick(at(last + 1.0)) is None
    assert watchdog.tick(at(last + 1.0 + PERIOD)) is not None


def test_one_that_is_slow_takes_over_all_the_same() -> None:
    watchdog = Watchdog(contract(), TIMEOUT, AGE)
    last = serve(watchdog, 1.0)
    said = [watchdog.tick(at(last + 6 * PERIOD * k)) is not None for k in range(1, 6)]
    assert said == [False, True, True, True, True], "0.12 s from tick to tick: by the second it has heard nothing"


def beats_alone(watchdog: Watchdog, since: float, seconds: float) -> Iterator[np.ndarray | None]:
    """The server goes on beating, but no command of it is heard; the watchdog hears its own, three ticks late."""
    said: list[np.ndarray] = []
    for k in range(1, round(seconds / PERIOD) + 1):
        now = at(since + k * PERIOD)
        watchdog.heartbeat(True, now)
        watchdog.joint_state(("a", "b"), (-0.3, 0.2), (0.0, 0.0), 0.0, now)
        if len(said) > 3:
            watchdog.command(said[-4], now)
        command = watchdog.tick(now)
        if command is not None:
            said.append(command)
        yield command


def test_it_takes_over_from_a_server_whose_commands_are_not_heard_any_more() -> None:
    watchdog = Watchdog(contract(), TIMEOUT, AGE)
    last = serve(watchdog, 1.0)
    said = list(beats_alone(watchdog, last, 2.0))
    first = next(k for k, command in enumerate(said) if command is not None)
    assert first == int(TIMEOUT / PERIOD) + 1 and watchdog.silence == NO_COMMAND
    path = [np.array([0.5, -0.5]), *said[first:]]
    assert all(command is not None for command in path), "its own commands are no sign of the server's"
    assert np.abs(np.diff(path, axis=0)).max() <= REACH + 1e-12
    np.testing.assert_allclose(path[-1], [-0.3, 0.2])
    watchdog.heartbeat(True, at(last + 2.01))
    watchdog.command(np.array([-0.25, 0.2]), at(last + 2.01))
    assert watchdog.tick(at(last + 2.02)) is None and not watchdog.silence
    again = [command for command in beats_alone(watchdog, last + 2.02, 1.0) if command is not None]
    assert np.abs(again[0] - [-0.25, 0.2]).max() <= REACH + 1e-12, "from what was commanded last"


def test_commands_that_were_never_heard_are_no_silence() -> None:
    watchdog = Watchdog(contract(), TIMEOUT, AGE)
    assert all(command is None for command in beats_alone(watchdog, 0.0, 1.0))
    assert watchdog.hears and not watchdog.hears_commands


@pytest.mark.parametrize("ended", [True, False])
def test_commands_of_another_life_of_the_server_do_not_count(ended: bool) -> None:
    watchdog = Watchdog(contract(), TIMEOUT, AGE)
    last = serve(watchdog, 1.0) if ended else 0.0
    watchdog.heartbeat(False, at(last))
    watchdog.command(np.array([0.5, -0.5]), at(last))  # overtaken on the way
    assert all(command is None for command in beats_alone(watchdog, last + 1.0, 1.0))


def test_a_server_that_comes_after_a_dead_one_is_not_blamed_for_its_silence() -> None:
    watchdog = Watchdog(contract(), TIMEOUT, AGE)
    last = serve(watchdog, 1.0)
    own = list(silence(watchdog, last, 1.0, (-0.3, 0.2)))[-1]
    watchdog.heartbeat(True, at(last + 1.01))
    watchdog.command(own, at(last + 1.01))
    assert all(command is None for command in beats_alone(watchdog, last + 1.01, 1.0)), "not by its own late command"


def test_a_server_that_repeats_what_the_watchdog_said_is_heard_when_it_goes_on() -> None:
    watchdog = Watchdog(contract(), TIMEOUT, AGE)
    last = serve(watchdog, 1.0)
    own = list(silence(watchdog, last, 1.0, (-0.3, 0.2)))[-1]
    commands = [own] * 20 + [own + 0.01] + [own] * 20
    for k, command in enumerate(commands):
        now = at(last + 1.01 + k * PERIOD)
        watchdog.heartbeat(True, now)
        watchdog.command(command, now)
        assert watchdog.tick(now) is None
    assert watchdog.hears_commands


def test_a_server_that_ends_in_order_or_was_never_there_is_no_fault() -> None:
    watchdog = Watchdog(contract(), TIMEOUT, AGE)
    assert all(command is None for command in silence(watchdog, 0.0, 1.0, (0.0, 0.0)))
    last = serve(watchdog, 0.5)
    watchdog.heartbeat(False, at(last))
    assert all(command is None for command in silence(watchdog, last, 1.0, (0.0, 0.0)))


def test_a_simulator_that_stands_still_is_no_silence() -> None:
    watchdog = Watchdog(contract(), TIMEOUT, AGE)
    last = serve(watchdog, 0.5)
    assert watchdog.tick(Instant(last + 10.0, last)) is None
    assert watchdog.tick(Instant(last, last + 10.0)) is None


def test_a_simulator_that_starts_again_gives_the_server_time_but_a_silent_one_none() -> None:
    watchdog = Watchdog(contract("hold"), TIMEOUT, AGE)
    last = serve(watchdog, 0.5)
    watchdog.simulator_restarted()
    assert all(command is None for command in silence(watchdog, last, 1.0))
    last = serve(watchdog, 0.5)
    assert list(silence(watchdog, last, 1.0))[-1] is not None, "armed again by the first heartbeat"
    watchdog.simulator_restarted()
    assert all(command is not None for command in silence(watchdog, last + 1.0, 1.0))


def test_hold_repeats_the_last_command() -> None:
    watchdog = Watchdog(contract("hold"), TIMEOUT, AGE)
    last = serve(watchdog, 0.5)
    for command in list(silence(watchdog, last, 1.0, (0.0, 0.0)))[10:]:
        np.testing.assert_array_equal(command, [0.5, -0.5])


def test_damp_goes_to_the_measured_positions_no_faster_than_the_joints_may() -> None:
    watchdog = Watchdog(contract("damp"), TIMEOUT, AGE)
    last = serve(watchdog, 0.5)
    path = [np.array([0.5, -0.5])] + [c for c in silence(watchdog, last, 2.0, (-0.3, 0.2)) if c is not None]
    assert np.abs(np.diff(path, axis=0)).max() <= REACH + 1e-12
    np.testing.assert_allclose(path[-1], [-0.3, 0.2])


def test_damp_repeats_the_last_command_while_the_joints_are_unknown() -> None:
    watchdog = Watchdog(contract("damp"), TIMEOUT, AGE)
    last = serve(watchdog, 0.5)
    np.testing.assert_array_equal(list(silence(watchdog, last, 1.0))[-1], [0.5, -0.5])


@pytest.mark.parametrize("command_type", ["velocity", "effort"])
def test_velocity_and_effort_go_to_zero(command_type: str) -> None:
    watchdog = Watchdog(contract("hold", command_type), TIMEOUT, AGE)
    last = serve(watchdog, 0.5)
    np.testing.assert_array_equal(list(silence(watchdog, last, 1.0))[-1], [0.0, 0.0])


numbers = st.floats(allow_nan=True, allow_infinity=True)


@given(
    commands=st.lists(st.tuples(numbers, numbers), max_size=5),
    joints=st.lists(st.tuples(numbers, numbers), max_size=20),
    safe_state=st.sampled_from(["hold", "damp"]),
)
def test_whatever_it_hears_it_says_nothing_but_finite_commands_within_reach(commands, joints, safe_state) -> None:
    watchdog = Watchdog(contract(safe_state), TIMEOUT, AGE)
    last = serve(watchdog, 0.2)
    for command in commands:
        watchdog.command(np.array(command), at(last))
    said = []
    for k in range(30):
        now = at(last + k * PERIOD)
        watchdog.joint_state(("a", "b"), joints[k % len(joints)] if joints else (0.0, 0.0), (0.0, 0.0), 0.0, now)
        command = watchdog.tick(now)
        if command is not None:
            said.append(command)
            watchdog.command(said[-2:][0], now)  # it hears itself, a tick late
    assert said and np.isfinite(said).all() and np.abs(said).max() <= 1.0
    assert np.abs(np.diff(said, axis=0)).max(initial=0.0) <= REACH + 1e-12


@pytest.mark.parametrize("age", [-2 * AGE, 2 * AGE, float("nan")])
def test_joints_that_were_measured_long_ago_by_their_stamp_are_not_known(age: float) -> None:
    watchdog = Watchdog(contract("damp"), TIMEOUT, AGE)
    last = serve(watchdog, 0.5)
    for k in range(30):
        watchdog.joint_state(("a", "b"), (-0.3, 0.2), (0.0, 0.0), age, at(last + k * PERIOD))
        command = watchdog.tick(at(last + k * PERIOD))
    np.testing.assert_array_equal(command, [0.5, -0.5])


def test_a_new_life_of_the_server_does_not_begin_where_the_last_one_ended() -> None:
    watchdog = Watchdog(contract("damp"), TIMEOUT, AGE)
    last = serve(watchdog, 0.5)
    watchdog.heartbeat(False, at(last))
    watchdog.heartbeat(True, at(last + 5.0))
    watchdog.tick(at(last + 5.0))
    first = next(c for c in silence(watchdog, last + 5.0, 1.0, (-0.3, 0.2)) if c is not None)
    np.testing.assert_allclose(first, [-0.3, 0.2])


def test_a_joint_that_is_missing_is_not_made_up() -> None:
    watchdog = Watchdog(contract("damp"), TIMEOUT, AGE)
    last = serve(watchdog, 0.5)
    for k in range(30):
        watchdog.joint_state(("a",), (0.0,), (0.0,), 0.0, at(last + k * PERIOD))
        command = watchdog.tick(at(last + k * PERIOD))
    np.testing.assert_array_equal(command, [0.5, -0.5])


def watchdog_says(level: bytes) -> Callable[[DiagnosticArray], bool]:
    return lambda m: any(s.name == "watchdog: watchdog" and s.level == level for s in m.status)


def test_a_killed_server_is_replaced_and_a_new_one_takes_over(
    monkeypatch: pytest.MonkeyPatch, start_sim, start_server, start_watchdog, recorder: Recorder
) -> None:
    """And nothing is imported meanwhile: the robot and its watchdog would stand still until it is."""
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")  # each import is a line of the log
    sim = start_sim()
    settings = {"use_sim_time": True, "autostart": True, "initial_objective": "walk"}
    server: Process = start_server(**settings)
    watchdog = start_watchdog(use_sim_time=True)
    recorder.listen(DiagnosticArray, "/diagnostics", reliable=True)
    recorder.wait_for("/diagnostics", watchdog_says(DiagnosticStatus.OK))
    imported = {"watchdog": watchdog.log.count("import time:")}
    server.wait_for("INACTIVE -> HOLD")  # with readings of the simulator, which may start later than the watchdog
    imported["sim"] = sim.log.count("import time:")
    assert min(imported.values()) > 100
    server.wait_for("RAMP -> RUN")
    server.popen.send_signal(signal.SIGKILL)
    server.popen.wait()
    heard = len(recorder.heard[COMMANDS])
    recorder.wait_for("/diagnostics", watchdog_says(DiagnosticStatus.ERROR))
    wait_until(lambda: len(recorder.heard[COMMANDS]) > heard + 20, 5.0, "the watchdog's commands")
    start_server(**settings).wait_for("RAMP -> RUN", 30.0)
    place = len(recorder.heard["/diagnostics"])
    recorder.wait_for("/diagnostics", watchdog_says(DiagnosticStatus.OK), after=place)
    for name, process in (("sim", sim), ("watchdog", watchdog)):
        assert process.log.count("import time:") == imported[name], process.log


def test_a_server_that_beats_but_is_not_heard_to_command_is_replaced(start_watchdog, recorder: Recorder) -> None:
    """The test plays the server. Who commands is told by the numbers: nothing but the watchdog says others."""
    patience = 2.0  # s; no pause of a busy machine is so long
    start_watchdog(timeout_s=patience)
    recorder.listen(DiagnosticArray, "/diagnostics", reliable=True)
    recorder.wait_for("/diagnostics", watchdog_says(DiagnosticStatus.OK), 30.0)
    beat = recorder.talk(Bool, "/policy_server/heartbeat")
    commands = recorder.talk(Float64MultiArray, COMMANDS)
    joints = recorder.talk(JointState, "/joint_states")
    names = [joint.name for joint in recorder.contract.joints]
    wanted, measured = [0.1] * len(names), [0.0] * len(names)

    def play(seconds: float, silent: bool = False) -> None:
        for _ in range(round(seconds / 0.02)):
            message = JointState(name=names, position=measured, velocity=measured)
            message.header.stamp = recorder.node.get_clock().now().to_msg()
            joints.publish(message)
            if not silent:
                commands.publish(Float64MultiArray(data=wanted))
            beat.publish(Bool(data=True))
            time.sleep(0.02)

    def own() -> list[float]:
        """When the watchdog commanded."""
        return [h.arrival for h in recorder.heard[COMMANDS] if list(h.message.data) != wanted]

    def said(words: str) -> Callable[[DiagnosticArray], bool]:
        return lambda message: any(status.message == words for status in message.status)

    play(2.0)
    recorder.wait_for("/diagnostics", said("watching"))
    assert not own()
    play(4.0, silent=True)
    ended = max(h.arrival for h in recorder.heard[COMMANDS] if list(h.message.data) == wanted)
    assert patience - 0.5 < own()[0] - ended < patience + 1.0
    assert list(recorder.heard[COMMANDS][-1].message.data) == pytest.approx(measured, abs=1e-6), "damped"
    recorder.wait_for("/diagnostics", said(f"{NO_COMMAND}: commanding the safe state"))
    place = len(recorder.heard["/diagnostics"])
    play(3.0)
    recorder.wait_for("/diagnostics", said("watching"), after=place)
    assert own()[-1] < time.monotonic() - 1.0, "it stepped back"


def test_only_a_robot_that_is_watched_is_activated(start_sim, start_server, start_watchdog) -> None:
    start_sim()
    server = start_server(use_sim_time=True, autostart=True)
    server.wait_for("activation refused: the watchdog 'watchdog' has not been heard")
    stranger = start_watchdog(use_sim_time=True, timeout_s=1.0)
    server.wait_for("got bundle ")
    heard = "/policy_server/heartbeat"
    assert f"0.15 s, {heard}, got bundle" in server.log
    assert f"1 s, {heard}: restart it with the server's parameters" in server.log
    assert stranger.stop() == 0
    server.wait_for("has been silent for 1 s")
    deaf = start_watchdog(use_sim_time=True, server="another_server")
    server.wait_for("0.15 s, /another_server/heartbeat: restart it")
    assert deaf.stop() == 0
    start_watchdog(use_sim_time=True)
    server.wait_for("INACTIVE -> HOLD")


def test_a_name_that_is_none_is_one_line(start_watchdog) -> None:
    watchdog = start_watchdog(controller="forward-controller")
    assert watchdog.popen.wait(20.0) == 1
    (line,) = watchdog.log.splitlines()
    assert "forward-controller" in line


def test_a_lost_terminal_ends_the_server_and_leaves_the_robot_to_the_watchdog(
    start_sim, start_server, start_watchdog, recorder: Recorder
) -> None:
    start_sim()
    server = start_server(use_sim_time=True, autostart=True, initial_objective="walk")
    watchdog = start_watchdog(use_sim_time=True)
    recorder.listen(DiagnosticArray, "/diagnostics", reliable=True)
    recorder.wait_for("/diagnostics", watchdog_says(DiagnosticStatus.OK))
    server.wait_for("RAMP -> RUN")
    watchdog.popen.send_signal(signal.SIGHUP)
    assert server.stop(signal.SIGHUP) == 0
    heard = len(recorder.heard[COMMANDS])
    recorder.wait_for("/diagnostics", watchdog_says(DiagnosticStatus.ERROR))
    wait_until(lambda: len(recorder.heard[COMMANDS]) > heard + 20, 5.0, "the watchdog's commands")


def test_a_server_that_stops_in_order_is_no_fault(start_sim, start_server, start_watchdog, recorder: Recorder) -> None:
    recorder.listen(DiagnosticArray, "/diagnostics", reliable=True)
    start_sim()
    settings = {"use_sim_time": True, "timeout_s": 1.0}  # no pause of a busy machine is so long
    server = start_server(autostart=True, **settings)
    watchdog = start_watchdog(**settings)
    server.wait_for("INACTIVE -> HOLD")
    wait_until(lambda: len(recorder.heard[COMMANDS]) > 20, 10.0, "commands")
    assert server.stop() == 0
    heard = len(recorder.heard[COMMANDS])
    for _ in range(3):  # one a second
        recorder.wait_for("/diagnostics", watchdog_says(DiagnosticStatus.OK), after=len(recorder.heard["/diagnostics"]))
    assert len(recorder.heard[COMMANDS]) <= heard + 1 and "silent" not in watchdog.log
