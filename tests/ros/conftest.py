"""Real processes of the nodes, and the law that every command they publish is held to.

A test takes `start_sim`, `start_server` or `start_watchdog` to start processes and `recorder` to hear and to call.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
import torch

from pgx_core.contract import ObjectiveContract, PolicyContract
from pgx_core.export.bundle import BundleContents, GroupPolicy, write_bundle
from pgx_core.learning.network import GaussianPolicy
from pgx_core.objectives.suites import RUNNER
from pgx_core.serving.manifest import BundleManifest
from pgx_core.simulation.robot_model import compile_robot, standalone_mjcf

from .processes import Launcher, Process

ROOT = Path(__file__).parents[2]
PROFILE = ROOT / "ros2_ws/src/pgx_sim/config/fastdds.xml"
DOMAINS = range(1, 100)  # each is a network of its own; higher ones meet the ports of other programs
TYPED = ("test_bag", "test_faults", "test_parity", "test_robots", "test_server", "test_switching", "test_wall_clock")
HAS_TYPES = importlib.util.find_spec("pgx_msgs") is not None
HAS_ROS = all(importlib.util.find_spec(package) for package in ("rclpy", "pgx_policy_server", "pgx_sim"))

# objective: velocity (m/s), group
OBJECTIVES = {"stand": (0.0, "calm"), "walk": (0.5, "calm"), "run": (2.0, "quick"), "sprint": (3.0, "quick")}


def _own_domain() -> tuple[int, BinaryIO]:
    """A domain no other test session on this machine uses, for as long as the file is open."""
    for domain in DOMAINS:
        lock = open(Path(tempfile.gettempdir()) / f"pgx-test-domain-{domain}.lock", "wb")  # noqa: SIM115
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return domain, lock
        except OSError:
            lock.close()
    raise RuntimeError("every ROS domain is in use by another test session")


if HAS_ROS:  # before a message type is imported: it looks once whether to check its fields
    DOMAIN, _LOCK = _own_domain()
    HOME = tempfile.TemporaryDirectory(prefix="pgx-ros-")
    os.environ.setdefault("AMENT_PREFIX_PATH", sys.prefix)
    os.environ |= {
        "ROS_DOMAIN_ID": str(DOMAIN),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET",  # of the loopback, by the profile
        "ROS_PYTHON_CHECK_FIELDS": "1",
        "ROS_HOME": HOME.name,
        "FASTDDS_DEFAULT_PROFILES_FILE": str(PROFILE),
        "PYTHONUNBUFFERED": "1",
        "PYTHONFAULTHANDLER": "1",  # a process that crashes says where
    }


class _WithoutRos(pytest.Module):
    def collect(self) -> list[pytest.Item]:
        pytest.skip("no ROS 2 in this environment: `make ros` adds one", allow_module_level=True)


class _WithoutTypes(pytest.Module):
    def collect(self) -> list[pytest.Item]:
        pytest.skip("pgx_msgs is not built: it needs a C++ compiler", allow_module_level=True)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """Skip what cannot be imported, and say why."""
    if not HAS_ROS:
        return _WithoutRos.from_parent(parent, path=module_path)
    if not HAS_TYPES and module_path.stem in TYPED:
        return _WithoutTypes.from_parent(parent, path=module_path)
    return None


@pytest.fixture(scope="session")
def laws(manifest: BundleManifest) -> Iterator[Any]:
    """Hears all commands, of whatever test."""
    from .law import Law

    law = Law(manifest.contract)
    law.open()
    yield law
    law.close()


@pytest.fixture(autouse=True)
def law(laws: Any) -> Iterator[Any]:
    """Every command of a test is held to it, those of its end too."""
    yield laws
    laws.check()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Launcher]:
    """Start a node: see Launcher. All are stopped at the end; one that will not stop fails the test."""
    launcher = Launcher(tmp_path)
    yield launcher
    launcher.stop_all()
    launcher.print_logs()
    assert not launcher.stuck, f"had to be killed: {', '.join(launcher.stuck)}"


@pytest.fixture(scope="session")
def runner_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The planar runner with two small networks that keep it on its feet. Not to be written to."""
    return write_runner(tmp_path_factory.mktemp("ros") / "runner", OBJECTIVES)


def write_runner(folder: Path, objectives: dict[str, tuple[float, str]]) -> Path:
    """A bundle of the runner."""
    n = len(objectives)
    contract = compile_robot(RUNNER).contract
    groups = tuple(_group(name, contract, n, tilt) for name, tilt in (("calm", 0.05), ("quick", -0.05)))
    contents = BundleContents(
        name="runner-test",
        contract=contract,
        objectives=tuple(
            ObjectiveContract(name, {"velocity": velocity}, group, score=0.5)
            for name, (velocity, group) in objectives.items()
        ),
        groups=groups,
        metrics={"steps": 1.0},
        config={},
        seed=0,
        rationale="For the tests.",
        robot_xml=standalone_mjcf(RUNNER)[0],
    )
    return write_bundle(folder, contents)


def _group(name: str, contract: PolicyContract, n_objectives: int, bias: float) -> GroupPolicy:
    torch.manual_seed(len(name))
    n = contract.observation_size + n_objectives
    policy = GaussianPolicy(n, contract.action_size, (16, 16))
    with torch.no_grad():
        policy.layers[-1].weight.mul_(0.05)
        policy.layers[-1].bias.fill_(bias)
    observations = np.random.default_rng(0).normal(size=(8, n)).astype(np.float32)
    observations[:, -n_objectives:] = 0.0
    return GroupPolicy(name, policy, observations)


@pytest.fixture(scope="session")
def manifest(runner_bundle: Path) -> BundleManifest:
    """Of `runner_bundle`."""
    from pgx_core.serving import load_bundle

    return load_bundle(runner_bundle).manifest


@pytest.fixture
def bundle_copy(runner_bundle: Path, tmp_path: Path) -> Path:
    """A bundle to be altered."""
    return Path(shutil.copytree(runner_bundle, tmp_path / "bundle"))


@pytest.fixture
def start_sim(start: Launcher, runner_bundle: Path) -> Callable[..., Process]:
    """The simulated runner."""
    return partial(start, "pgx_sim", "sim", bundle_path=str(runner_bundle))


@pytest.fixture
def start_server(start: Launcher, runner_bundle: Path) -> Callable[..., Process]:
    """The policy server, on the same bundle."""
    return partial(start, "pgx_policy_server", "policy_server", bundle_path=str(runner_bundle))


@pytest.fixture
def start_watchdog(start: Launcher, runner_bundle: Path) -> Callable[..., Process]:
    """The watchdog beside it."""
    return partial(start, "pgx_policy_server", "watchdog", bundle_path=str(runner_bundle))


@pytest.fixture
def listener(start: Launcher, manifest: BundleManifest) -> Iterator[Any]:
    """A Recorder that hears joint states, and whatever it is told to."""
    import rclpy
    from rclpy.signals import SignalHandlerOptions
    from sensor_msgs.msg import JointState

    from .recorder import Recorder

    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    recorder = Recorder(rclpy.create_node("recorder"), manifest.contract)
    recorder.listen(JointState, "/joint_states")
    stopping = threading.Event()
    thread = threading.Thread(target=_spin, args=(recorder.node, stopping))
    thread.start()
    yield recorder
    stopping.set()
    thread.join()
    recorder.node.destroy_node()
    rclpy.shutdown()


@pytest.fixture
def recorder(start: Launcher, listener: Any) -> Any:
    """A Recorder that also hears the product's commands and events."""
    from std_msgs.msg import Float64MultiArray

    from .recorder import COMMANDS

    listener.listen(Float64MultiArray, COMMANDS, reliable=True)
    if HAS_TYPES:
        from pgx_msgs.msg import SwitchEvent

        listener.listen(SwitchEvent, "/policy_server/events", reliable=True)
    return listener


@pytest.fixture
def puppet(recorder: Any) -> Iterator[Any]:
    """A robot that the test moves, on the machine's clock."""
    from .puppet import Puppet

    puppet = Puppet(recorder)
    yield puppet
    puppet.stop()


def _spin(node: Any, stopping: threading.Event) -> None:
    from pgx_policy_server.spinning import QuickestExecutor

    executor = QuickestExecutor()
    executor.add_node(node)
    while not stopping.is_set():
        executor.spin_once(timeout_sec=0.05)
    executor.shutdown()
