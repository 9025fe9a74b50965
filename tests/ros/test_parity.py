"""One policy in three places, on the same recorded inputs: training network, ONNX, and the node that serves it."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pgx_core.contract import ObjectiveContract, ObservationTerm, PolicyContract
from pgx_core.export.bundle import BundleContents, GroupPolicy, write_bundle
from pgx_core.learning.network import GaussianPolicy
from pgx_core.objectives.suites import RUNNER
from pgx_core.observation import Readings, decode_action, limit_rate, observe
from pgx_core.serving import Bundle, Controller, Mode, Request, Tick, load_bundle
from pgx_core.simulation.robot_model import compile_robot, standalone_mjcf

from . import recording as bag
from .processes import Launcher
from .recorder import Recorder

if importlib.util.find_spec("mcap_ros2") is None:
    pytest.skip("needs mcap-ros2-support", allow_module_level=True)

TOLERANCE = 1e-5  # rad, and of an action in [-1, 1]
GROUPS = {"amble": "calm", "stroll": "calm", "dash": "quick"}  # of each objective; policies are told which


def make_network(contract: PolicyContract, seed: int) -> GaussianPolicy:
    """Random weights, and a normaliser that is not the identity; gentle enough for the robot to keep upright."""
    torch.manual_seed(seed)
    n = contract.observation_size - len(GROUPS)
    network = GaussianPolicy(contract.observation_size, contract.action_size, (64, 64))
    with torch.no_grad():
        network.layers[-1].weight.mul_(0.3)
        network.observation_mean[:n] = 0.1 * torch.randn(n)
        network.observation_std[:n] = 0.5 + torch.rand(n)
    return network


def make_bundle(folder: Path, contract: PolicyContract, networks: dict[str, GaussianPolicy]) -> Path:
    observations = np.random.default_rng(0).normal(size=(8, contract.observation_size))
    observations[:, -len(GROUPS) :] = np.eye(len(GROUPS))[np.arange(8) % len(GROUPS)]
    contents = BundleContents(
        name="parity",
        contract=contract,
        objectives=tuple(ObjectiveContract(name, {}, group, score=0.5) for name, group in GROUPS.items()),
        groups=tuple(GroupPolicy(name, network, observations.astype(np.float32)) for name, network in networks.items()),
        metrics={"steps": 0.0},
        config={},
        seed=0,
        rationale="For the tests.",
        robot_xml=standalone_mjcf(RUNNER)[0],
    )
    return write_bundle(folder, contents)


@dataclass(frozen=True)
class Moment:
    """One tick of a controller that heard the recording."""

    tick: Tick
    readings: Readings  # the last ones before it


def relive(recording: bag.Recording, bundle: Bundle) -> Iterator[Moment]:
    """A controller in this process hears the recording as the node did."""
    controller = Controller(bundle)
    metronome = bag.Metronome(bundle.manifest.contract.control_rate)
    last: dict[str, Any] = {}
    for place, record in enumerate(recording.records):
        if place == recording.start:
            assert controller.activate(metronome.now) == ""
        last[record.topic] = record.content
        ticks = metronome.hear(record)
        hear(controller, record, metronome)
        if ticks and place >= recording.start:
            yield Moment(controller.tick(metronome.now), readings_of(last))


def hear(controller: Controller, record: bag.Record, metronome: bag.Metronome) -> None:
    """What the node does with a message."""
    message, now = record.content, metronome.now
    if record.topic == bag.WISH:
        assert controller.request(Request(message), now).accepted
    elif record.topic != bag.CLOCK:
        stamp, readings = 1e-9 * bag.stamp_of(message.header.stamp), readings_of({record.topic: message})
        if record.topic == bag.JOINTS:
            controller.joint_state(message.name, message.position, message.velocity, stamp, now)
        elif record.topic == "/imu/data":
            controller.imu(readings.orientation, readings.angular_velocity, stamp, now)
        else:
            controller.odometry(readings.linear_velocity, stamp, now)


def readings_of(messages: dict[str, Any]) -> Readings:
    """The last message of each topic. The simulated robot names its joints in the contract's order."""
    joints, imu, odometry = (messages.get(topic) for topic in (bag.JOINTS, "/imu/data", "/odom"))
    return Readings(
        joint_positions=np.array(joints.position) if joints else None,
        joint_velocities=np.array(joints.velocity) if joints else None,
        last_action=None,
        orientation=vector(imu.orientation, "wxyz") if imu else None,
        angular_velocity=vector(imu.angular_velocity, "xyz") if imu else None,
        linear_velocity=vector(odometry.twist.twist.linear, "xyz") if odometry else None,
    )


def vector(message: Any, fields: str) -> np.ndarray:
    return np.array([getattr(message, field) for field in fields])


def ask_network(network: GaussianPolicy, observation: np.ndarray) -> np.ndarray:
    """The training network's mean action, as training clips it."""
    with torch.no_grad():
        return network(torch.as_tensor(observation)[None])[0].clip(-1.0, 1.0).numpy()


def test_network_onnx_and_node_agree_on_the_same_recorded_inputs(
    start: Launcher, recorder: Recorder, tmp_path: Path
) -> None:
    blind = compile_robot(RUNNER).contract
    contract = replace(blind, observation=(*blind.observation, ObservationTerm("objective", len(GROUPS))))
    one_hots = dict(zip(GROUPS, np.eye(len(GROUPS)), strict=True))
    networks = {name: make_network(contract, seed) for seed, name in enumerate(("calm", "quick"))}
    folder = make_bundle(tmp_path / "parity", contract, networks)
    recording = bag.record_run(start, recorder, folder, tmp_path / "run.mcap", ("amble", "stroll", "dash", "amble"))
    bundle = load_bundle(folder)

    action, command, driven = np.zeros(contract.action_size, np.float32), recording.commands[0], set()
    moments = list(relive(recording, bundle))  # more than commands: the robot goes on when the server has ended
    assert len(moments) >= len(recording.commands)
    for moment, served in zip(moments, recording.commands, strict=False):
        tick = moment.tick
        np.testing.assert_allclose(tick.command, served, rtol=0.0, atol=TOLERANCE)
        if tick.mode in (Mode.RAMP, Mode.RUN):
            readings = replace(moment.readings, last_action=action, objective=one_hots[tick.objective])
            observation = observe(contract, readings, np.concatenate).astype(np.float32)
            action = ask_network(networks[tick.group], observation)
            onnx = bundle.sessions[tick.group].run(observation)
            np.testing.assert_allclose(onnx.action, action, rtol=0.0, atol=TOLERANCE)
            np.testing.assert_allclose(tick.action, action, rtol=0.0, atol=TOLERANCE)
        if tick.mode is Mode.RUN:
            wanted = limit_rate(contract, command, decode_action(contract, action.astype(np.float64)))
            np.testing.assert_allclose(served, wanted, rtol=0.0, atol=TOLERANCE)
            driven.add(tick.objective)
            other = np.concatenate([observation[: -len(GROUPS)], np.roll(one_hots[tick.objective], 1)])
            assert (
                np.abs(ask_network(networks[tick.group], other.astype(np.float32)) - action).max() > 100 * TOLERANCE
            ), "untold"
        command = served
    assert driven == set(GROUPS) and np.ptp(recording.commands, axis=0).max() > 0.1
