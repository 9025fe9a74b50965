"""What is measured of a bundle before a robot tries it, on hand-made recordings and on a small arm."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from pgx_core.contract import ObjectiveContract, ObservationTerm, Randomization
from pgx_core.errors import BundleError, ConfigError
from pgx_core.export.amend import write_rehearsal
from pgx_core.export.bundle import BundleContents, GroupPolicy, write_bundle
from pgx_core.learning.network import GaussianPolicy
from pgx_core.objectives.arm import SUITE
from pgx_core.rehearsal import Recording, RehearsalConfig, answer, limit_shares, rehearse_bundle, summarise, widen
from pgx_core.serving import load_bundle
from pgx_core.simulation.robot_model import compile_robot

SMALL = replace(SUITE, objectives=SUITE.objectives[:2], episode_seconds=3.2)
RATE = 50
ROBOT = compile_robot(SUITE.robot)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    contract = replace(ROBOT.contract, observation=(*ROBOT.contract.observation, ObservationTerm("objective", 2)))
    size = contract.observation_size
    commands = ({}, {"velocity": 0.3, "lateral": 0.4, "turn": 0.5})
    contents = BundleContents(
        name="arm",
        contract=contract,
        objectives=tuple(
            ObjectiveContract(name, command, f"group_{k}", 1.0)
            for k, (name, command) in enumerate(zip(SMALL.names, commands, strict=True))
        ),
        groups=tuple(
            GroupPolicy(f"group_{k}", GaussianPolicy(size, 6, (4,)), np.zeros((4, size), np.float32)) for k in range(2)
        ),
        metrics={"steps": 0.0},
        config={},
        seed=0,
        rationale="By hand.",
        randomization=SUITE.randomization,
    )
    return load_bundle(write_bundle(tmp_path_factory.mktemp("rehearsal") / "arm", contents))


def test_every_world_is_answered_by_its_own_group_and_told_its_objective(bundle) -> None:
    objectives = np.array([1, 0, 1])
    observations = np.random.default_rng(0).normal(size=(3, ROBOT.contract.observation_size)).astype(np.float32)
    for action, observation, k in zip(answer(bundle, observations, objectives), observations, objectives, strict=True):
        told = np.append(observation, np.eye(2)[k]).astype(np.float32)
        np.testing.assert_allclose(action, bundle.sessions[f"group_{k}"].run(told).action, atol=1e-6)


def test_a_rehearsal_is_repeatable_and_stands_on_the_card(bundle) -> None:
    config = RehearsalConfig(episodes=2)
    rehearsal = rehearse_bundle(bundle, SMALL, config)
    assert [(row.objective, row.worlds) for row in rehearsal.rows] == [
        (name, worlds) for name in SMALL.names for worlds in ("nominal", "randomised", "wider")
    ]
    for row in rehearsal.rows:
        assert (row.episodes, row.falls, row.velocity_error) == (2, 0, None)
        assert row.distance > 0.0 and row.reached in (0.0, 0.5, 1.0)
        assert 0.0 < row.position_peak < 1.0 and row.velocity_peak > 0.0 and row.effort_peak > 0.0
    assert rehearse_bundle(bundle, replace(SMALL, randomization=None), config).rows == tuple(
        row for row in rehearsal.rows if row.worlds == "nominal"
    )
    folder = write_rehearsal(write_rehearsal(bundle.folder, rehearsal), rehearsal)
    card = (folder / "MODEL_CARD.md").read_text()
    assert card.count("## Rehearsal") == 1 and "| reach_left | wider | 0 of 2 |" in card
    assert "rehearsal.json" in load_bundle(folder).manifest.files


def test_episodes_that_the_suite_ends_are_falls(bundle) -> None:
    doomed = replace(SMALL.objectives[1], terminate=lambda state, command: state.time > 1.0)
    suite = replace(SMALL, objectives=(SMALL.objectives[0], doomed), randomization=None)
    first, second = rehearse_bundle(bundle, suite, RehearsalConfig(episodes=2)).rows
    assert (first.falls, second.falls) == (0, 2)
    assert second.distance is None and second.reach_s is None


def test_another_suite_is_refused(bundle) -> None:
    with pytest.raises(BundleError, match="expected the objectives of suite 'arm'"):
        rehearse_bundle(bundle, SUITE, RehearsalConfig(episodes=1))
    slow = replace(SMALL, robot=replace(SMALL.robot, velocity_limit=1.0))
    with pytest.raises(BundleError, match="the contract of 'arm' is not that of suite 'arm'"):
        rehearse_bundle(bundle, slow, RehearsalConfig(episodes=1))


def recorded(**readings) -> Recording:
    worlds = next(iter(readings.values())).shape[1]
    return Recording(np.zeros(worlds, bool), readings, np.zeros((worlds, 3)))


def test_tracking_errors_are_those_of_the_second_half_averaged_over_a_second(bundle) -> None:
    ticks = np.arange(4 * RATE)
    linear, angular = np.zeros((4 * RATE, 2, 3)), np.zeros((4 * RATE, 2, 3))
    linear[: 2 * RATE] = 9.0  # the first half says nothing
    sway = np.sin(2 * np.pi * ticks[2 * RATE :] / 10)  # 5 Hz: none in a second's mean
    linear[2 * RATE :, :, 0] = 0.3 + 0.03 + 0.5 * sway[:, None]
    linear[2 * RATE :, :, 1] = 0.4 - 0.04
    angular[..., 2] = [0.4, 0.7]
    row = summarise(bundle, "reach_right", "nominal", recorded(linear_velocity=linear, angular_velocity=angular))
    assert (row.velocity_command, row.velocity_error) == (pytest.approx(0.5), pytest.approx(0.05))
    assert (row.turn_command, row.turn_error) == (0.5, pytest.approx(0.15))
    fallen = replace(recorded(linear_velocity=linear, angular_velocity=angular), fell=np.array([False, True]))
    assert summarise(bundle, "reach_right", "nominal", fallen).turn_error == pytest.approx(0.1)


def test_a_target_counts_as_reached_if_the_tool_is_there_in_time_and_stays(bundle) -> None:
    tool, target = np.zeros((5 * RATE, 4, 3)), np.zeros((5 * RATE, 4, 3))
    tool[:, :, 0] = 0.5
    tool[RATE:, 0, 0] = 0.01  # there after 1 s
    tool[4 * RATE :, 1, 0] = 0.01  # too late
    tool[2 * RATE :, 2, 0] = 0.01
    tool[-1, 2, 0] = 0.03  # did not stay
    row = summarise(bundle, "reach_left", "nominal", recorded(tool=tool, target=target))
    assert row.reached == 0.25
    assert row.reach_s == pytest.approx(2.02), "half of the four were there by then"
    assert row.distance == pytest.approx(np.abs(tool[3 * RATE - 1 :, :, 0]).mean())


def test_peaks_are_shares_of_each_joints_own_limit_at_any_physics_step() -> None:
    model, joints = ROBOT.model, ROBOT.contract.joints
    qpos, qvel, sensors = np.zeros((2, 3, model.nq)), np.zeros((2, 3, model.nv)), np.zeros((2, 3, model.nsensordata))
    qpos[0, 1, 2] = -0.9 * math.pi  # the elbow's limits are +-pi, the others' twice that
    qvel[0, 2, 5] = -1.57
    qvel[0, :, 9] = 50.0  # the target turns: no joint of the robot
    sensors[1, 0, ROBOT.sensors["wrist_1_torque"]] = 14.0
    shares = limit_shares(ROBOT, qpos, qvel, sensors)
    np.testing.assert_allclose(shares, [[0.9, 0.5, 0.0], [0.0, 0.0, 0.5]], rtol=1e-4)
    assert joints[2].name == "elbow_joint"


def test_wider_ranges_reach_further_from_the_model() -> None:
    ranges = Randomization(friction=(0.5, 1.25), delay=(0, 3), noise={"joint_positions": 0.01}, push=0.4)
    wide = widen(ranges, 1.2)
    assert wide.friction == pytest.approx((0.4, 1.3)) and wide.mass == (1.0, 1.0) and wide.delay == (0, 4)
    assert wide.noise["joint_positions"] == pytest.approx(0.012) and wide.push == pytest.approx(0.48)


def test_a_setting_out_of_range_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"^episodes: expected"):
        RehearsalConfig(episodes=0)
