"""A bundle under its final name is whole: the old one or the new one."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import resource
import shutil
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest

from pgx_core.errors import BundleError, RunError
from pgx_core.export import bundle
from pgx_core.export.bundle import write_bundle
from pgx_core.learning.network import GaussianPolicy
from pgx_core.records import to_plain
from pgx_core.serving import load_bundle, verify_bundle


@contextlib.contextmanager
def _disk_of(n_bytes):
    """No file can grow beyond `n_bytes`, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_written_is_read_back(contents, original):
    manifest = verify_bundle(original)
    for name in ("name", "contract", "objectives", "metrics", "config", "seed"):
        assert getattr(manifest, name) == getattr(contents, name)
    assert [(group.name, group.file) for group in manifest.groups] == [
        ("walkers", "group_0.onnx"),
        ("jumpers", "group_1.onnx"),
    ]
    assert set(manifest.files) == {
        "group_0.onnx",
        "group_1.onnx",
        "golden.npz",
        "MODEL_CARD.md",
        "robot.xml",
        "meshes/foot.stl",
    }
    assert (original / manifest.robot_file).read_text() == contents.robot_xml
    assert not manifest.conditioned


def test_bundle_json_is_standard_json_of_the_manifest(original):
    def refuse(constant):
        raise AssertionError(constant)

    plain = json.loads((original / "bundle.json").read_text(), parse_constant=refuse)
    assert plain == to_plain(verify_bundle(original))


def test_the_same_contents_give_the_same_bundle(contents, original, tmp_path):
    assert _files(write_bundle(tmp_path / "again", contents)) == _files(original)


def test_the_card_names_every_objective_group_score_and_file(contents, original):
    card = (original / "MODEL_CARD.md").read_text()
    manifest = verify_bundle(original)
    names = [objective.name for objective in contents.objectives] + [group.name for group in contents.groups]
    hashes = [checksum for file, checksum in manifest.files.items() if file != "MODEL_CARD.md"]
    for text in (
        *names,
        *hashes,
        contents.rationale,
        "Not certified safety",
        "Apache-2.0",
        "0.500",
        "| steps | 1000 |",
    ):
        assert text in card


def test_a_conditioned_bundle_keeps_the_objective_as_input(make, tmp_path):
    contents = make.make_contents(conditioned=True)
    bundle = load_bundle(write_bundle(tmp_path / "conditioned", contents))
    assert bundle.manifest.conditioned
    observation = contents.groups[0].observations[0].copy()
    answers = []
    for one_hot in np.eye(4):
        observation[-4:] = one_hot
        answers.append(bundle.sessions["walkers"].run(observation).action)
    assert len(np.unique(answers, axis=0)) == 4


def test_a_failed_write_leaves_no_bundle_and_no_litter(contents, tmp_path):
    with _disk_of(3000), pytest.raises(RunError, match="File too large"):
        write_bundle(tmp_path / "tripod", contents)
    assert not list(tmp_path.iterdir())


def test_a_failed_write_keeps_the_old_bundle(contents, original, tmp_path):
    folder = shutil.copytree(original, tmp_path / "tripod")
    before = _files(folder)
    policy = contents.groups[0].policy
    big = GaussianPolicy(policy.observation_mean.shape[0], 3, (64, 64))
    changed = replace(contents, groups=(contents.groups[1], replace(contents.groups[0], policy=big)))
    with _disk_of(12_000), pytest.raises(RunError):
        write_bundle(folder, changed)
    assert _files(folder) == before
    assert [path.name for path in tmp_path.iterdir()] == ["tripod"]
    write_bundle(folder, changed)
    assert verify_bundle(folder).groups[0].name == "jumpers"
    assert [path.name for path in tmp_path.iterdir()] == ["tripod"]


def test_a_place_that_cannot_be_written_is_named(contents, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    for place in (tmp_path / "file" / "bundle", tmp_path / "file"):
        with pytest.raises(RunError, match="file") as caught:
            write_bundle(place, contents)
        assert "\n" not in str(caught.value)
    assert (tmp_path / "file").read_text() == "not a folder"


def test_a_folder_with_other_files_is_never_replaced(contents, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(BundleError, match="holds other files"):
        write_bundle(tmp_path, contents)
    assert (tmp_path / "thesis.tex").exists()


def _change_joint(contents, **changes):
    contract = contents.contract
    joints = (*contract.joints[:-1], replace(contract.joints[-1], **changes))
    return replace(contents, contract=replace(contract, joints=joints))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda c: replace(c, metrics={"score": float("nan")}), "metrics.score"),
        (lambda c: replace(c, config={"a": [1, np.float32(2)]}), "config.a.1"),
        (lambda c: replace(c, config={"a": float("inf")}), "config.a"),
        (lambda c: replace(c, objectives=c.objectives[:1] * 2), "'forward' occurs twice"),
        (lambda c: replace(c, groups=c.groups[:1]), "served by group 'jumpers'"),
        (lambda c: replace(c, groups=(c.groups[0], replace(c.groups[1], name="walkers"))), "occurs twice"),
        (lambda c: replace(c, assets={"../escape": b""}), "relative path"),
        (lambda c: replace(c, assets={"golden.npz": b""}), "relative path"),
        (lambda c: _change_joint(c, velocity_limit=0.0), "velocity_limit"),
        (lambda c: _change_joint(c, name="joint_0"), "occurs twice"),
    ],
)
def test_contents_that_contradict_themselves_are_refused_whole(contents, tmp_path, change, match):
    with pytest.raises(BundleError, match=match) as caught:
        write_bundle(tmp_path / "tripod", change(contents))
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_package_may_come_in_a_distribution_of_another_name(contents, tmp_path, monkeypatch):
    def installed(name):
        if name == "onnxruntime":  # it came as onnxruntime-gpu
            raise importlib.metadata.PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr(importlib.metadata, "version", installed)
    monkeypatch.setattr(bundle, "version", installed, raising=False)
    manifest = verify_bundle(write_bundle(tmp_path / "tripod", contents))
    assert manifest.versions["onnxruntime"] == onnxruntime.__version__
    assert manifest.versions.keys() == {"pgx", "python", *bundle.PACKAGES}
