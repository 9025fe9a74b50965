"""A real bundle: random networks, 2 groups, 3 joints, 4 objectives."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pgx_core.contract import JointContract, ObjectiveContract, ObservationTerm, PolicyContract
from pgx_core.export.bundle import BundleContents, GroupPolicy, write_bundle
from pgx_core.learning.network import GaussianPolicy
from pgx_core.observation import Readings
from pgx_core.serving import Answer, Bundle, Controller, Instant, Request, ServingConfig, Tick, load_bundle

N_OBJECTIVES = 4


def make_contract(command_type: str = "position", conditioned: bool = False, n_joints: int = 3) -> PolicyContract:
    joints = tuple(
        JointContract(
            name=f"joint_{k}",
            default=0.1 * (k % 3),
            scale=0.5,
            lower=-0.4,
            upper=0.5 + 0.1 * (k % 3),
            position_lower=-1.0,
            position_upper=1.0,
            velocity_limit=2.0,
            effort_limit=20.0,
            stiffness=30.0 if command_type == "position" else 0.0,
            damping=1.0,
        )
        for k in range(n_joints)
    )
    terms = (
        ObservationTerm("joint_positions", n_joints),
        ObservationTerm("joint_velocities", n_joints, scale=0.05),
        ObservationTerm("projected_gravity", 3),
        ObservationTerm("angular_velocity", 3, scale=0.25),
        ObservationTerm("sensor:touch", 2),
        ObservationTerm("last_action", n_joints),
    )
    objective = (ObservationTerm("objective", N_OBJECTIVES),) if conditioned else ()
    return PolicyContract("tripod", 50.0, command_type, joints, terms + objective, "damp", maximum_tilt=None)


def make_policy(n_inputs: int, n_actions: int, seed: int, n_objectives: int = N_OBJECTIVES) -> GaussianPolicy:
    """Random weights strong enough to saturate some actions, and a normaliser that is not the identity."""
    torch.manual_seed(seed)
    policy = GaussianPolicy(n_inputs, n_actions, (16, 16))
    n = n_inputs - n_objectives
    with torch.no_grad():
        policy.layers[-1].weight.mul_(3.0)
        policy.observation_mean[:n] = 0.3 * torch.randn(n)
        policy.observation_std[:n] = 0.5 + torch.rand(n)
    return policy


def make_contents(command_type: str = "position", conditioned: bool = False) -> BundleContents:
    contract = make_contract(command_type, conditioned)
    n_inputs = contract.observation_size + (0 if conditioned else N_OBJECTIVES)
    groups = []
    for k, name in enumerate(("walkers", "jumpers")):
        observations = np.random.default_rng(k).normal(size=(16, n_inputs)).astype(np.float32)
        observations[:, -N_OBJECTIVES:] = np.eye(N_OBJECTIVES)[np.arange(16) % N_OBJECTIVES] if conditioned else 0.0
        groups.append(GroupPolicy(name, make_policy(n_inputs, 3, seed=k), observations))
    served_by = {"forward": "walkers", "backward": "walkers", "jump": "jumpers", "jump_high": "jumpers"}
    return BundleContents(
        name="tripod-test",
        contract=contract,
        objectives=tuple(
            ObjectiveContract(name, {"speed": 1.0}, group, score=0.5) for name, group in served_by.items()
        ),
        groups=tuple(groups),
        metrics={"steps": 1000.0, "score": 0.5},
        config={"meta_training": {"steps": 1000, "rate": 3e-4}, "names": ["a", None, True]},
        seed=3,
        rationale="Affinity is 0.8 inside the groups and 0.1 across.",
        robot_xml="<mujoco/>",
        assets={"meshes/foot.stl": b"solid foot"},
    )


def make_readings(seed: int = 0, n_joints: int = 3) -> Readings:
    random = np.random.default_rng(seed)
    orientation = random.normal(size=4)
    return Readings(
        joint_positions=0.3 * random.normal(size=n_joints),
        joint_velocities=random.normal(size=n_joints),
        last_action=np.full(n_joints, np.nan),  # the controller has its own
        orientation=orientation / np.linalg.norm(orientation),
        angular_velocity=random.normal(size=3),
        sensors={"touch": random.normal(size=2)},
    )


class Driver:
    """A controller under a fake clock, and the drivers that feed it."""

    def __init__(self, bundle: Bundle, objective: str = "forward", **settings: object) -> None:
        settings = {"initial_objective": objective, "dwell_s": 0.0, "recovery_s": 0.1} | settings
        self.controller = Controller(bundle, ServingConfig(**settings))
        self.contract = bundle.manifest.contract
        self.names = [joint.name for joint in self.contract.joints]
        self.time, self.offset = 100.0, 1e9  # s, monotonic; what the ROS clock shows beyond it

    @property
    def now(self) -> Instant:
        return Instant(self.time, self.time + self.offset)

    def feed(self, readings: Readings) -> list[str]:
        """Everything a robot says at a moment; the answers of the gate."""
        now, gate = self.now, self.controller
        return [
            gate.joint_state(self.names, readings.joint_positions, readings.joint_velocities, now.ros, now),
            gate.imu(readings.orientation, readings.angular_velocity, now.ros, now),
            gate.sensor("touch", readings.sensors["touch"], now.ros, now),
        ]

    def activate(self, readings: Readings) -> Driver:
        """Where the joints are, or at the end of their range, beyond which it would be refused."""
        lower, upper = np.array([(joint.lower, joint.upper) for joint in self.contract.joints]).T
        self.feed(replace(readings, joint_positions=np.clip(readings.joint_positions, lower, upper)))
        assert self.controller.activate(self.now) == ""
        return self

    def tick(self, readings: Readings | None = None) -> Tick:
        """One control period later, with new readings or none."""
        self.time += 1.0 / self.contract.control_rate
        if readings is not None:
            self.feed(readings)
        return self.controller.tick(self.now)

    def select(self, objective: str) -> Answer:
        return self.controller.request(Request(objective), self.now)

    def run(self, readings: Readings, ticks: int) -> Tick:
        return [self.tick(readings) for _ in range(ticks)][-1]


def change_contract(bundle: Bundle, **changes: object) -> Bundle:
    """The loaded bundle under a contract that differs in what its networks do not see."""
    manifest = bundle.manifest
    return replace(bundle, manifest=replace(manifest, contract=replace(manifest.contract, **changes)))


@pytest.fixture(scope="session")
def under() -> Callable[..., Bundle]:
    return change_contract


@pytest.fixture(scope="session")
def drive() -> type[Driver]:
    return Driver


@pytest.fixture(scope="session")
def contents() -> BundleContents:
    return make_contents()


@pytest.fixture(scope="session")
def original(contents: BundleContents, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle's folder; not to be written to."""
    return write_bundle(tmp_path_factory.mktemp("bundles") / "tripod", contents)


@pytest.fixture(scope="session")
def bundle(original: Path) -> Bundle:
    return load_bundle(original)


@pytest.fixture(scope="session")
def bundles(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    """One of each kind."""
    folder = tmp_path_factory.mktemp("kinds")
    conditioned = write_bundle(folder / "conditioned", make_contents(conditioned=True))
    effort = load_bundle(write_bundle(folder / "effort", make_contents("effort")))
    return {
        "position": bundle,
        "conditioned": load_bundle(conditioned),
        "effort": effort,
        "velocity": change_contract(effort, command_type="velocity"),  # the networks are the same
    }


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    """A copy of the bundle, free to be damaged."""
    return Path(shutil.copytree(original, tmp_path / "copy"))


@pytest.fixture(scope="session")
def readings() -> Callable[..., Readings]:
    """Random readings by seed, with some of them replaced."""
    return lambda seed=0, **changes: replace(make_readings(seed), **changes)
