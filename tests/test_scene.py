"""Targets are put where the bundle says: at the start and at every switch, by seed, without moving the robot."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pgx_core.contract import JointStart, ObjectiveContract, Randomization
from pgx_core.errors import BundleError
from pgx_core.export.bundle import BundleContents, GroupPolicy, write_bundle
from pgx_core.learning.network import GaussianPolicy
from pgx_core.objectives.arm import SUITE
from pgx_core.play import load_model, play
from pgx_core.records import from_plain, to_plain
from pgx_core.scene import draw_scene
from pgx_core.serving import load_bundle
from pgx_core.serving.manifest import _seal, decode_manifest, encode_manifest
from pgx_core.simulation.robot_model import compile_robot, scene_of, standalone_mjcf
from pgx_core.switching.trial import SwitchConfig, switch

NAMES = ("reach_left", "circle")


@pytest.fixture(scope="module")
def contents():
    robot = compile_robot(SUITE.robot)
    policy = GaussianPolicy(robot.contract.observation_size, 6, (4,))
    chosen = [objective for objective in SUITE.objectives if objective.name in NAMES]
    return BundleContents(
        name="arm",
        contract=robot.contract,
        objectives=tuple(ObjectiveContract(o.name, {}, "all", 1.0, scene_of(robot, o.reset)) for o in chosen),
        groups=(GroupPolicy("all", policy, np.zeros((4, robot.contract.observation_size), np.float32)),),
        metrics={"steps": 0.0},
        config={},
        seed=0,
        rationale="By hand.",
        robot_xml=standalone_mjcf(SUITE.robot)[0],
        randomization=SUITE.randomization,
    )


@pytest.fixture(scope="module")
def bundle(contents, tmp_path_factory):
    return load_bundle(write_bundle(tmp_path_factory.mktemp("scene") / "arm", contents))


def test_the_bundle_keeps_where_targets_start_and_what_was_randomised(bundle):
    left, circle = (objective.scene for objective in bundle.manifest.objectives)
    assert left["target_y"] == JointStart((-0.6, -0.45)) and circle["target_turn"].velocity == (1.5, 1.5)
    assert bundle.manifest.randomization == SUITE.randomization
    card = (bundle.folder / "MODEL_CARD.md").read_text()
    for row in (
        "| mass | 0.9 | 1.1 | times the model's | 16 variants |",
        "| delay of commands | 0 (0 ms) | 3 (60 ms) | control ticks | each episode |",
        "| noise of joint_velocities | -0.02 | 0.02 | rad/s or m/s | each tick |",
        "| push | -0.3 | 0.3 |",
    ):
        assert row in card


def test_a_bundle_of_before_still_loads(bundle):
    plain = to_plain(bundle.manifest)
    del plain["randomization"]
    for objective in plain["objectives"]:
        del objective["scene"]
    manifest = decode_manifest(_seal(plain))
    assert manifest.randomization is None and manifest.objectives[0].scene == {}
    with pytest.raises(BundleError, match="altered"):
        decode_manifest(_seal(plain).replace('"seed": 0', '"seed": 1'))


def test_the_robots_own_undriven_joints_are_no_scene():
    robot = compile_robot(SUITE.robot)
    reset = replace(
        SUITE.objectives[0].reset, positions={"elbow_joint": (0.0, 1.0)}, velocities={"target_turn": (1.0, 2.0)}
    )
    assert scene_of(robot, reset) == {"target_turn": JointStart((0.0, 0.0), (1.0, 2.0))}


@pytest.mark.parametrize(
    ("scene", "words"),
    [
        ({"elbow_joint": JointStart((0.0, 1.0))}, "moves the commanded joint 'elbow_joint'"),
        ({"target_x": JointStart((1.0, 0.0))}, "scene joint 'target_x': expected lowest <= highest"),
    ],
)
def test_an_impossible_scene_is_refused(scene, words, contents, tmp_path):
    objectives = (replace(contents.objectives[0], scene=scene), *contents.objectives[1:])
    with pytest.raises(BundleError, match=words):
        write_bundle(tmp_path / "arm", replace(contents, objectives=objectives))


def test_a_range_no_world_can_have_is_refused(bundle):
    plain = to_plain(bundle.manifest)
    plain["randomization"]["mass"] = [1.1, 0.9]
    with pytest.raises(BundleError, match=r"randomization.mass: expected 0 < lowest <= highest"):
        decode_manifest(_seal(plain))


def test_every_switch_draws_its_objectives_scene_and_only_the_seed_decides_it(bundle):
    model = load_model(bundle, None)
    episode = play(bundle, model, (*NAMES, *NAMES), 0.2, seed=1)
    targets = episode.qpos[:, 6:10].reshape(4, 10, 4)
    for stretch, name in zip(targets, (*NAMES, *NAMES), strict=True):
        scene = next(o.scene for o in bundle.manifest.objectives if o.name == name)
        for axis in range(3):
            low, high = scene["target_" + "xyz"[axis]].position
            assert (stretch[:, axis] >= low - 0.01).all() and (stretch[:, axis] <= high + 0.01).all()
        turned = np.diff(stretch[:, 3]).mean() * 50.0
        assert turned == pytest.approx(1.5 if name == "circle" else 0.0, abs=0.01)
    assert np.abs(targets[0, 0] - targets[2, 0]).max() > 0.01, "the same objective again has another target"
    assert np.abs(np.diff(episode.qpos[:, :6], axis=0)).max() < 0.1, "the arm itself never jumps"
    np.testing.assert_array_equal(episode.qpos, play(bundle, model, (*NAMES, *NAMES), 0.2, seed=1).qpos)
    assert (episode.distance > 0.0).all() and np.abs(np.diff(episode.distance)[9]) > 0.01


def test_a_switch_trial_judges_the_distance_to_a_target_that_jumps(bundle):
    config = SwitchConfig(phase_s=0.0, watched_s=2.0)
    trials = [switch(bundle, load_model(bundle, None), *NAMES, 0.2, config, index) for index in (0, 0, 1)]
    assert trials[0].rows.shape == (100, 8), "base velocity, height, distance"
    np.testing.assert_array_equal(trials[0].rows, trials[1].rows)
    assert np.abs(trials[0].rows[0, 7] - trials[2].rows[0, 7]) > 1e-3


def test_draws_lie_within_their_ranges_and_survive_the_file(bundle):
    scene = {"a": JointStart((-1.0, 2.0), (3.0, 3.0))}
    drawn = np.array([draw_scene(scene, np.random.default_rng(seed))["a"] for seed in range(200)])
    assert drawn[:, 0].min() < -0.9 and drawn[:, 0].max() > 1.9 and (drawn[:, 1] == 3.0).all()
    assert decode_manifest(encode_manifest(bundle.manifest)).objectives == bundle.manifest.objectives
    assert from_plain(Randomization, to_plain(SUITE.randomization)) == SUITE.randomization
