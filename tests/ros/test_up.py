"""`pgx up` and `pgx objective` as their users meet them: real processes, and none left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import QoSProfile

from .conftest import HAS_TYPES
from .processes import Process, leaves_the_machine, shares_memory, wait_until
from .puppet import Puppet
from .recorder import COMMANDS, Recorder

EXAMPLES = Path(__file__).parents[2] / "examples"
PGX = (sys.executable, "-m", "pgx_core.cli")
STOP_TIME = 10.0  # s after Ctrl-C, on a busy machine


@pytest.fixture
def up(tmp_path: Path, runner_bundle: Path) -> Iterator[Callable[..., Process]]:
    """Start `pgx up` on the runner's bundle."""
    started: list[Process] = []

    def start(*arguments: object) -> Process:
        log = tmp_path / "up.log"
        with log.open("wb") as file:
            command = [*PGX, "up", str(runner_bundle), *map(str, arguments)]
            popen = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, start_new_session=True)
        started.append(Process("up", popen, log))
        return started[-1]

    yield start
    for process in started:
        if process.alive:
            running = children(process)  # a real robot's watchdog outlives it
            process.popen.kill()
            process.popen.wait()
            for child in running:
                child.kill()


def children(process: Process) -> list[psutil.Process]:
    return psutil.Process(process.popen.pid).children(recursive=True)


def child_of(process: Process, module: str) -> psutil.Process:
    """The one that runs it."""
    (child,) = [child for child in children(process) if any(module in word for word in child.cmdline())]
    return child


def is_watching(message: DiagnosticArray) -> bool:
    """A watchdog that hears the server and its commands."""
    return any(status.name == "watchdog: watchdog" and status.message == "watching" for status in message.status)


def patient(folder: Path) -> Path:
    """Parameters for sensors that a busy machine delays."""
    params = folder / "real.yaml"
    params.write_text("/**: {ros__parameters: {joint_state_age_s: 5.0, imu_age_s: 5.0, odometry_age_s: 5.0}}\n")
    return params


def pgx(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PGX, *arguments], capture_output=True, text=True, timeout=60)


def line(text: str) -> str:
    (only,) = text.splitlines()
    return only


def test_start_switch_and_stop_on_ctrl_c(
    up: Callable[..., Process], runner_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pgx_msgs", reason="pgx_msgs is not built: it needs a C++ compiler")
    monkeypatch.delenv("FASTDDS_DEFAULT_PROFILES_FILE")  # it brings its own
    process = up("--objective", "walk")
    process.wait_for("RUN       walk by calm", 30.0)
    running = children(process)
    assert len(running) == 3, "robot, server, watchdog"
    assert not any(shares_memory(child.pid) or leaves_the_machine(child.pid) for child in running)
    switched = pgx("objective", "run")
    assert (switched.returncode, line(switched.stdout)) == (0, "run by quick")
    process.wait_for("run by quick")
    refused = pgx("objective", "fly")
    assert refused.returncode == 1
    assert line(refused.stderr).startswith("pgx objective: refused: unknown objective 'fly'")
    clipped = pgx("objective", "--command", "velocity=9")
    assert clipped.returncode == 0 and "sprint by quick" in clipped.stdout and "clipped" in clipped.stdout
    listed = pgx("objective", "--list").stdout.splitlines()
    assert [row.split()[-3] for row in listed] == ["stand", "walk", "run", "sprint"]
    assert [row[0] for row in listed] == [" ", " ", " ", "*"]
    began = time.monotonic()
    assert process.stop(signal.SIGINT) == 0
    assert time.monotonic() - began < STOP_TIME
    assert not any(child.is_running() for child in running)
    assert "Traceback" not in process.log


def test_a_child_that_dies_is_reported_and_all_is_stopped(up: Callable[..., Process]) -> None:
    process = up()
    process.wait_for("HOLD", 30.0)
    running = children(process)
    child_of(process, "server_node").kill()
    assert process.popen.wait(10.0) == 1
    wait_until(lambda: not any(child.is_running() for child in running), 5.0, "the end of the others")
    assert "last lines of policy_server:" in process.log and "mode INACTIVE -> HOLD" in process.log
    assert process.log.splitlines()[-1] == "pgx up: the process 'policy_server' ended with status -9"


def test_the_server_of_a_real_robot_that_dies_leaves_it_to_the_watchdog(
    up: Callable[..., Process], recorder: Recorder, puppet: Puppet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FASTDDS_DEFAULT_PROFILES_FILE")  # it chooses itself
    recorder.listen(DiagnosticArray, "/diagnostics", reliable=True)
    process = up("--no-sim", "--objective", "walk", "--params", patient(tmp_path))
    process.wait_for("RUN       walk by calm", 30.0)
    running = children(process)
    assert all(leaves_the_machine(child.pid) and not shares_memory(child.pid) for child in running)
    child_of(process, "watchdog_node").kill()
    process.wait_for("the process 'watchdog' ended with status -9 and is started again; the others go on")
    place = len(recorder.heard["/diagnostics"])
    recorder.wait_for("/diagnostics", is_watching, 20.0, after=place)
    running = children(process)
    child_of(process, "server_node").kill()
    process.wait_for("'policy_server' ended with status -9: the watchdog commands the robot now")
    counted = len(recorder.heard[COMMANDS])
    wait_until(lambda: len(recorder.heard[COMMANDS]) > counted + 25, 10.0, "the watchdog's commands")
    assert process.stop(signal.SIGINT) == 1
    assert process.log.splitlines()[-1] == "pgx up: the process 'policy_server' ended with status -9"
    assert not any(child.is_running() for child in running)


@pytest.mark.parametrize("end", [signal.SIGHUP, signal.SIGKILL])
def test_a_lost_terminal_leaves_a_real_robot_to_the_watchdog(
    end: signal.Signals,
    up: Callable[..., Process],
    recorder: Recorder,
    puppet: Puppet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The server must not take it for an order to stop, and stiffen a robot that walks; or the parent's own end."""
    monkeypatch.delenv("FASTDDS_DEFAULT_PROFILES_FILE")  # it chooses itself
    process = up("--no-sim", "--objective", "walk", "--params", patient(tmp_path))
    process.wait_for("RUN       walk by calm", 30.0)
    server, watchdog = child_of(process, "server_node"), child_of(process, "watchdog_node")
    try:
        process.popen.send_signal(end)
        process.popen.wait(10.0)
        wait_until(lambda: not server.is_running(), 10.0, "the server's end")
        counted = len(recorder.heard[COMMANDS])
        wait_until(lambda: len(recorder.heard[COMMANDS]) > counted + 25, 10.0, "the watchdog's commands")
    except BaseException:
        server.kill()
        watchdog.kill()
        raise
    watchdog.terminate()
    watchdog.wait(10.0)


def test_killed_it_takes_its_children_along(up: Callable[..., Process]) -> None:
    process = up()
    process.wait_for("HOLD", 30.0)
    running = children(process)
    process.popen.kill()
    wait_until(lambda: not any(child.is_running() for child in running), 5.0, "the end of the children")


def test_a_recording_opens_with_public_tools(up: Callable[..., Process], tmp_path: Path) -> None:
    reader = pytest.importorskip("mcap_ros2.reader", reason="needs mcap-ros2-support")
    process = up("--objective", "walk", "--record", tmp_path / "run.mcap")
    process.wait_for("RUN       walk by calm", 30.0)
    assert pgx("objective", "run").returncode == 0
    process.wait_for("run by quick")
    time.sleep(3.0)  # of running
    assert process.stop(signal.SIGINT) == 0, process.log
    heard = [(m.channel.topic, m.ros_msg) for m in reader.read_ros2_messages(tmp_path / "run.mcap")]
    topics = {topic for topic, _ in heard}
    assert {"/clock", "/joint_states", "/imu/data", "/odom", "/policy_server/active_policy", "/diagnostics"} <= topics
    assert ("/policy_server/events" in topics) == HAS_TYPES
    commands = [message.data for topic, message in heard if topic == "/forward_position_controller/commands"]
    assert len(commands) > 50 and {len(command) for command in commands} == {6}


def test_a_recording_that_cannot_be_written_does_not_end_the_robot(up: Callable[..., Process]) -> None:
    pytest.importorskip("mcap", reason="needs mcap-ros2-support")
    process = up("--objective", "walk", "--record", "/dev/full")
    process.wait_for("the process 'record' ended with status 1; the others go on", 40.0)
    assert "the recording ends here: No space left on device" in process.log and "Traceback" not in process.log
    assert pgx("objective", "stand").returncode == 0
    process.wait_for("stand by calm")
    assert process.stop(signal.SIGINT) == 0


def test_a_topic_of_a_type_that_is_unknown_here_does_not_end_a_recording(listener: Recorder, tmp_path: Path) -> None:
    """The robot would be stopped with it. An action's feedback is such a topic."""
    pytest.importorskip("mcap", reason="needs mcap-ros2-support")
    from pgx_bringup.record import Recorder as Bag

    bag = Bag(tmp_path / "run.mcap")
    for kind in ("control_msgs/action/FollowJointTrajectory_FeedbackMessage", "std_msgs/msg/Nothing", "odd"):
        bag._open("/arm/_action/feedback", kind, [QoSProfile(depth=1)])
    assert "/arm/_action/feedback" not in {subscription.topic_name for subscription in bag.node.subscriptions}
    bag.close(True)
    bag.node.destroy_node()


def test_it_ends_by_itself_after_the_given_seconds(up: Callable[..., Process]) -> None:
    process = up("--seconds", 0.5)
    assert process.popen.wait(30.0) == 0, process.log


def test_the_demo_draws_what_the_topics_said(bundle_copy: Path) -> None:
    command = [sys.executable, str(EXAMPLES / "07_ros_demo.py"), str(bundle_copy), "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    lines = [row.split() for row in done.stdout.splitlines()]
    assert [row[0] for row in lines] == ["sprint", "run", "walk", "stand", "picture"]
    assert [float(row[2]) for row in lines[:4]] == [3.0, 2.0, 0.5, 0.0]
    assert (bundle_copy.parent / "ros_tracking.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--seconds", "-5"), "seconds: expected 0 or more, got -5"),
        (("--objective", "fly"), "unknown objective 'fly'"),
        (("--params", "nowhere.yaml"), "params: 'nowhere.yaml' does not exist"),
        (("--record", "nowhere/run.mcap"), "does not exist"),
    ],
)
def test_a_mistake_is_one_line(up: Callable[..., Process], arguments: tuple[str, ...], words: str) -> None:
    process = up(*arguments)
    assert process.popen.wait(30.0) == 1
    assert words in line(process.log)


def test_without_a_server_an_objective_is_refused_in_one_line() -> None:
    ended = pgx("objective", "walk")
    assert ended.returncode == 1 and "no policy server " in line(ended.stderr)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("objective",), "either the name of an objective or --command"),
        (("objective", "walk", "--command", "velocity=1"), "either the name of an objective or --command"),
        (("objective", "walk", "--server", "policy-server"), "--server: expected the name of a node: .*policy-server"),
        (("objective", "--command", "velocity=fast"), "expected NAME=NUMBER such as velocity=1.5, got 'velocity=fast'"),
    ],
)
def test_usage(arguments: tuple[str, ...], words: str) -> None:
    ended = pgx(*arguments)
    assert ended.returncode == 1 and re.search(words, line(ended.stderr))


@pytest.fixture
def untyped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes started from now on find no pgx_msgs, as where no compiler could build it."""
    (tmp_path / "pgx_msgs.py").write_text("raise ImportError('not built', name='pgx_msgs')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def test_without_typed_messages_the_plain_interface_serves(untyped: None, up: Callable[..., Process]) -> None:
    process = up()
    process.wait_for("HOLD", 40.0)
    switched = pgx("objective", "run")
    assert (switched.returncode, line(switched.stdout)) == (0, "run by quick"), switched.stderr
    process.wait_for("run by quick")
    refused = pgx("objective", "fly")
    assert refused.returncode == 1 and "'fly' is not pursued" in line(refused.stderr)
    for arguments in (("--list",), ("--command", "velocity=1")):
        ended = pgx("objective", *arguments)
        assert ended.returncode == 1 and "needs the package pgx_msgs" in line(ended.stderr)
    assert process.stop(signal.SIGINT) == 0


def test_without_ros_one_line_says_what_to_do(runner_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "pgx_bringup.py").write_text("raise ImportError('no rclpy', name='rclpy')")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    command = [*PGX, "up", str(runner_bundle)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1 and "make ros" in line(ended.stderr)
