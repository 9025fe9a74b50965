"""The launch files, run by the real launch system: which nodes they start, with which parameters and names."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from lifecycle_msgs.srv import GetState
from rcl_interfaces.srv import GetParameters
from std_msgs.msg import String

from .processes import Process, leaves_the_machine, shares_memory, wait_until
from .recorder import Recorder

if importlib.util.find_spec("launch_ros") is None:
    pytest.skip("launch_ros is not in this environment: it comes with a ROS installation", allow_module_level=True)

ROOT = Path(__file__).parents[2]
LAUNCH = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
arguments = [tuple(word.split(":=")) for word in sys.argv[2:]]
source = PythonLaunchDescriptionSource(sys.argv[1])
service = LaunchService()
service.include_launch_description(LaunchDescription([IncludeLaunchDescription(source, launch_arguments=arguments)]))
sys.exit(service.run())
"""


@pytest.fixture
def launch(tmp_path: Path, runner_bundle: Path) -> Iterator[Callable[..., Process]]:
    """Run a launch file; it and its processes are ended as by Ctrl-C."""
    started: list[Process] = []

    def run(name: str, **arguments: object) -> Process:
        words = [f"{key}:={value}" for key, value in {"bundle_path": runner_bundle, **arguments}.items()]
        log = tmp_path / f"{name}.log"
        with log.open("wb") as file:
            command = [sys.executable, "-c", LAUNCH, str(ROOT / "launch" / name), *words]
            popen = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, start_new_session=True)
        started.append(Process(name, popen, log))
        return started[-1]

    yield run
    for process in (each for each in started if each.alive):
        children = psutil.Process(process.popen.pid).children(recursive=True)
        os.killpg(process.popen.pid, signal.SIGINT)  # as a terminal does: launch leaves it at that
        process.popen.wait(10.0)
        print(process.log)
        assert not any(child.is_running() for child in children)


def parameters(recorder: Recorder, node: str, *names: str) -> list[Any]:
    answer = recorder.call(GetParameters, f"{node}/get_parameters", GetParameters.Request(names=names), 30.0)
    kinds = ("", "bool_value", "integer_value", "double_value", "string_value")
    return [getattr(value, kinds[value.type]) for value in answer.values]


def test_the_simulated_robot_is_served(
    launch, recorder: Recorder, runner_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FASTDDS_DEFAULT_PROFILES_FILE")  # as a user launches it
    process = launch("sim.launch.py", namespace="left")
    process.wait_for("INACTIVE -> HOLD", 40.0)
    wait_until(
        lambda: {"/left/pgx_sim", "/left/policy_server", "/left/watchdog"} <= nodes(recorder), 10.0, "the three nodes"
    )
    assert not any(map(shares_memory, descendants(process)))
    simulator = next(pid for pid in descendants(process) if "pgx_sim" in " ".join(psutil.Process(pid).cmdline()))
    assert not leaves_the_machine(simulator), "a real robot may listen there to the same topics"
    assert "Error" not in process.log, "of Fast DDS about its profiles"
    server = parameters(recorder, "/left/policy_server", "bundle_path", "use_sim_time", "autostart", "command_out_type")
    assert server == [str(runner_bundle), True, True, "forward"]
    watchdog = parameters(recorder, "/left/watchdog", "bundle_path", "use_sim_time", "timeout_s", "server")
    assert watchdog == [str(runner_bundle), True, 0.15, "policy_server"]
    assert parameters(recorder, "/left/pgx_sim", "bundle_path", "viewer") == [str(runner_bundle), False]
    heard = recorder.listen(String, "/left/policy_server/active_policy", reliable=True, latched=True)
    recorder.talk(String, "/left/policy_server/objective_name").publish(String(data="walk"))
    wait_until(lambda: heard and heard[-1].message.data == "calm/walk", 5.0, "the objective to be pursued")


def test_a_real_robot_gets_server_and_watchdog(launch, recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FASTDDS_DEFAULT_PROFILES_FILE")  # as on a robot
    process = launch("robot.launch.py", odom="base_controller/odom")
    process.wait_for("activation refused: the e-stop is silent", 40.0)
    wait_until(lambda: {"/policy_server", "/watchdog"} <= nodes(recorder), 10.0, "both nodes")
    assert "/pgx_sim" not in nodes(recorder)
    assert not any(map(shares_memory, descendants(process)))
    assert parameters(recorder, "/policy_server", "use_sim_time", "estop_timeout_s") == [False, 0.5]
    ask = recorder.node.get_subscriber_names_and_types_by_node
    wanted = {"/joint_states", "/imu_sensor_broadcaster/imu", "/base_controller/odom"}
    wait_until(lambda: wanted <= set(dict(ask("policy_server", "/"))), 10.0, "the robot's own topics to be heard")
    assert not {"/imu/data", "/odom"} & set(dict(ask("policy_server", "/")))


def test_a_recording_takes_every_topic() -> None:
    from launch.actions import ExecuteProcess
    from launch.launch_description_sources import get_launch_description_from_python_launch_file
    from launch.utilities import perform_substitutions

    from launch import LaunchContext

    description = get_launch_description_from_python_launch_file(str(ROOT / "launch" / "record.launch.py"))
    (recorder,) = [entity for entity in description.entities if isinstance(entity, ExecuteProcess)]
    context = LaunchContext()
    context.launch_configurations["record"] = "run_1"
    assert " ".join(perform_substitutions(context, word) for word in recorder.cmd) == (
        "ros2 bag record -s mcap -a -o run_1"
    )


def test_parameters_of_another_file(launch, recorder: Recorder, tmp_path: Path) -> None:
    values = tmp_path / "mine.yaml"
    values.write_text("/**/policy_server: {ros__parameters: {blend_s: 1.25}}\n")
    launch("robot.launch.py", params_file=values, use_sim_time="true")
    assert parameters(recorder, "/policy_server", "blend_s", "use_sim_time") == [1.25, True]


def test_activation_can_be_left_to_the_operator(launch, recorder: Recorder) -> None:
    for name in ("robot.launch.py", "sim.launch.py"):
        process = launch(name, autostart="false", odom="base_controller/odom", namespace=name.partition(".")[0])
        server = f"/{name.partition('.')[0]}/policy_server"
        assert parameters(recorder, server, "autostart") == [False]
        request = GetState.Request()
        assert recorder.call(GetState, f"{server}/get_state", request, 30.0).current_state.label == "unconfigured"
        assert "HOLD" not in process.log


@pytest.mark.parametrize("name", ["robot.launch.py", "sim.launch.py"])
def test_a_parameter_file_that_is_missing_starts_nothing(launch, recorder: Recorder, tmp_path: Path, name: str) -> None:
    """Its nodes would run on defaults, without the robot's e-stop."""
    process = launch(name, params_file=tmp_path / "misspelt.yaml")
    assert process.popen.wait(30.0) != 0
    assert f"No such file or directory: '{tmp_path / 'misspelt.yaml'}'" in process.log
    assert "process started" not in process.log


def test_a_simulated_robot_that_ends_takes_the_others_along(launch) -> None:
    process = launch("sim.launch.py")
    process.wait_for("INACTIVE -> HOLD", 40.0)
    running = [psutil.Process(pid) for pid in descendants(process)]
    simulator = next(each for each in running if any("pgx_sim" in word for word in each.cmdline()))
    simulator.terminate()
    process.popen.wait(20.0)
    assert not any(each.is_running() for each in running)


def test_a_simulated_robot_cannot_be_served_on_the_wall_clock(launch) -> None:
    process = launch("sim.launch.py", use_sim_time="false")
    assert process.popen.wait(30.0) != 0
    assert "Valid options are: ['true']" in process.log and "process started" not in process.log


def descendants(process: Process) -> list[int]:
    """Their process numbers."""
    return [child.pid for child in psutil.Process(process.popen.pid).children(recursive=True)]


def nodes(recorder: Recorder) -> set[str]:
    return {f"{space.rstrip('/')}/{name}" for name, space in recorder.node.get_node_names_and_namespaces()}
