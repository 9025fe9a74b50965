"""Nothing damaged, altered or contradictory is ever served."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest

from pgx_core.errors import BundleError
from pgx_core.records import from_plain, to_json
from pgx_core.serving import check_robot, load_bundle, verify_bundle
from pgx_core.serving.golden import pack_golden, unpack_golden
from pgx_core.serving.manifest import BundleManifest, contract_hash, decode_manifest, encode_manifest, sha256
from pgx_core.serving.policy import PolicySession

FILES = (
    "bundle.json",
    "group_0.onnx",
    "group_1.onnx",
    "golden.npz",
    "MODEL_CARD.md",
    "robot.xml",
    "meshes/foot.stl",
)


def refusal(folder) -> str:
    """The one line that refuses the bundle."""
    with pytest.raises(BundleError) as caught:
        verify_bundle(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def reseal(folder, change=lambda manifest: manifest) -> None:
    """Write the manifest anew, with correct checksums: what a careless or hostile editor could do."""
    manifest = change(decode_manifest((folder / "bundle.json").read_text()))
    files = {name: sha256((folder / name).read_bytes()) for name in manifest.files if (folder / name).exists()}
    (folder / "bundle.json").write_text(encode_manifest(replace(manifest, files=files)))


def change_contract(manifest, **changes):
    return replace(manifest, contract=replace(manifest.contract, **changes))


def change_joint(manifest, **changes):
    first, *rest = manifest.contract.joints
    return change_contract(manifest, joints=(replace(first, **changes), *rest))


def test_the_corruption_tests_see_every_file(original):
    assert {path.relative_to(original).as_posix() for path in original.rglob("*") if path.is_file()} == set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_anywhere_is_found_and_its_file_named(folder, name):
    content = (folder / name).read_bytes()
    random = np.random.default_rng(0)
    for position in random.integers(len(content), size=150 if name == "bundle.json" else 30):
        flipped = bytearray(content)
        flipped[position] ^= 1 << random.integers(8)
        (folder / name).write_bytes(flipped)
        assert name in refusal(folder), f"byte {position}"


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_or_grown_file_is_found_and_named(folder, name):
    content = (folder / name).read_bytes()
    for altered in (b"", content[:1], content[: len(content) // 2], content[:-1], content + b"\0", content + b"\n"):
        (folder / name).write_bytes(altered)
        assert name in refusal(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_or_replaced_file_is_found_and_named(folder, name):
    (folder / name).unlink()
    assert name in refusal(folder)
    (folder / name).mkdir()
    assert name in refusal(folder)


@pytest.mark.parametrize("name", ["group_2.onnx", "meshes/hand.stl", "new/deep/file.txt", ".hidden"])
def test_an_extra_file_is_found_and_named(folder, name):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b"extra")
    assert name in refusal(folder)


def test_a_link_out_of_the_bundle_is_an_extra_file(folder):
    (folder / "link").symlink_to("/")
    assert "link" in refusal(folder)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{",
        "{}",
        "[" * 100_000,
        '{"schema_version": 1}',
        '{"schema_version": 2}',
        '{"schema_version": 3}',
        '{"a": NaN}',
        "\ud800",
    ],
)
def test_a_malformed_manifest_is_refused(folder, text):
    (folder / "bundle.json").write_bytes(text.encode(errors="surrogatepass"))
    assert "bundle.json" in refusal(folder)


@pytest.mark.parametrize("where", ["absent", "bundle.json"])
def test_what_is_no_folder_is_refused(folder, where):
    assert "is no folder" in refusal(folder / where)


def test_a_number_that_overflows_is_refused(folder):
    text = (folder / "bundle.json").read_text()
    for number in ("1e999", "1" + "0" * 400):
        (folder / "bundle.json").write_text(text.replace('"velocity_limit": 2.0', f'"velocity_limit": {number}'))
        assert "bundle.json" in refusal(folder)


def test_a_joint_altered_in_the_manifest_is_refused_even_if_its_seal_is_renewed(folder):
    path = folder / "bundle.json"
    plain = json.loads(path.read_text())
    plain["contract"]["joints"][0]["scale"] = 0.6
    path.write_text(to_json(plain))
    assert "altered" in refusal(folder)
    path.write_text(encode_manifest(from_plain(BundleManifest, plain)))
    assert "pgx_contract" in refusal(folder)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda m: change_joint(m, lower=0.9), "lower < upper"),
        (lambda m: change_joint(m, default=5.0), "default within"),
        (lambda m: change_joint(m, stiffness=0.0), "gains"),
        (lambda m: change_joint(m, damping=-1.0), "gains"),
        (lambda m: change_joint(m, velocity_limit=0.0), "velocity_limit"),
        (lambda m: change_joint(m, rated_velocity=1.9), "rated_velocity"),
        (lambda m: change_joint(m, effort_limit=-1.0), "effort_limit"),
        (lambda m: change_joint(m, scale=0.0), "scale"),
        (lambda m: change_joint(m, position_lower=2.0), "position_lower < position_upper"),
        (lambda m: change_joint(m, position_upper=None), "both position limits"),
        (lambda m: change_joint(m, name="joint_1"), "joint 'joint_1' occurs twice"),
        (lambda m: change_joint(m, name=""), "no name"),
        (lambda m: change_contract(m, joints=()), "at least one joint"),
        (lambda m: change_contract(m, control_rate=0.0), "control_rate"),
        (lambda m: change_contract(m, maximum_tilt=0.0), "maximum_tilt in 0 to pi"),
        (lambda m: change_contract(m, maximum_tilt=4.0), "maximum_tilt in 0 to pi"),
        (
            lambda m: change_contract(m, maximum_tilt=1.0, observation=m.contract.observation[:2]),
            "needs the observation term 'projected_gravity'",
        ),
        (lambda m: change_contract(m, observation=m.contract.observation[:1] * 2), "occurs twice"),
        (
            lambda m: change_contract(m, observation=(replace(m.contract.observation[0], source="joint_position"),)),
            "unknown observation term 'joint_position'",
        ),
        (
            lambda m: change_contract(m, observation=(replace(m.contract.observation[0], size=4),)),
            "'joint_positions': expected size 3, got 4",
        ),
        (lambda m: change_contract(m, observation=(replace(m.contract.observation[0], scale=0.0),)), "scale other"),
        (lambda m: replace(m, objectives=m.objectives[:1] * 2), "objective 'forward' occurs twice"),
        (lambda m: replace(m, objectives=(replace(m.objectives[0], group="swimmers"),)), "'swimmers'"),
        (lambda m: replace(m, objectives=()), "at least one objective"),
        (lambda m: replace(m, groups=(m.groups[0], replace(m.groups[1], name="walkers"))), "'walkers' occurs twice"),
        (lambda m: replace(m, groups=(m.groups[0], replace(m.groups[1], file="group_0.onnx"))), "occurs twice"),
        (lambda m: replace(m, groups=(m.groups[1], m.groups[0])), "group 'jumpers': replaying golden.npz"),
        (lambda m: replace(m, groups=(m.groups[0], replace(m.groups[1], name="swimmers"))), "swimmers|jumpers"),
        (lambda m: replace(m, opset=17), "opset 18, got 17"),
        (lambda m: replace(m, robot_file="other.xml"), "other.xml"),
        (lambda m: replace(m, files={k: v for k, v in m.files.items() if k != "group_0.onnx"}), "group_0.onnx"),
    ],
)
def test_a_contradictory_manifest_is_refused(folder, change, match):
    reseal(folder, change)
    assert re.search(match, refusal(folder))


def edit_model(folder, change, name="group_0.onnx") -> None:
    model = onnx.load(folder / name)
    change(model)
    (folder / name).write_bytes(model.SerializeToString())
    reseal(folder)


def _set_weight(value):
    def change(model):
        name = next(tensor.name for tensor in model.graph.initializer if "layers.2.bias" in tensor.name)
        index = next(k for k, tensor in enumerate(model.graph.initializer) if tensor.name == name)
        array = onnx.numpy_helper.to_array(model.graph.initializer[index]).copy()
        array[0] += value
        model.graph.initializer[index].CopyFrom(onnx.numpy_helper.from_array(array, name))

    return change


def _set_dim(which, dim, value):
    def change(model):
        node = getattr(model.graph, which)[0]
        node.type.tensor_type.shape.dim[dim].dim_value = value

    return change


def _rename_output(model):
    for node in model.graph.node:
        node.output[:] = ["torque" if name == "command" else name for name in node.output]
    model.graph.output[1].name = "torque"


def _set_metadata(key, value):
    def change(model):
        next(entry for entry in model.metadata_props if entry.key == key).value = value

    return change


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (_set_weight(np.nan), "finite"),
        (_set_weight(1e-3), "replaying golden.npz"),
        (_set_dim("input", 0, 1), "inputs and outputs"),
        (_set_dim("input", 1, 16), "group 'walkers'"),
        (_rename_output, "torque"),
        (lambda m: m.metadata_props.pop(), "pgx_"),
        (_set_metadata("pgx_group", "jumpers"), "pgx_group"),
        (_set_metadata("pgx_contract", "0" * 64), "pgx_contract"),
        (_set_metadata("pgx_opset", "17"), "pgx_opset"),
        (lambda m: m.graph.node.pop(), "cannot read"),
    ],
)
def test_another_network_under_correct_checksums_is_refused(folder, change, match):
    edit_model(folder, change)
    message = refusal(folder)
    assert match in message
    assert "walkers" in message


def test_rubbish_under_correct_checksums_is_refused(folder):
    for content in (b"", b"rubbish", bytes(1000)):
        (folder / "group_0.onnx").write_bytes(content)
        reseal(folder)
        assert "group 'walkers'" in refusal(folder)


def test_two_networks_that_are_swapped_are_refused(folder):
    first, second = folder / "group_0.onnx", folder / "group_1.onnx"
    first_content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(first_content)
    reseal(folder)
    assert "pgx_group" in refusal(folder)


def test_a_contract_that_the_network_does_not_decode_by_is_refused(folder):
    """Contract and metadata agree, but the graph has other limits inside."""
    reseal(folder, lambda manifest: change_joint(manifest, scale=0.7))
    manifest = decode_manifest((folder / "bundle.json").read_text())
    edit_model(folder, _set_metadata("pgx_contract", contract_hash(manifest.contract)))
    assert "decoding probe actions" in refusal(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda arrays: arrays | {"action_0": arrays["action_0"].astype(np.float64)},
        lambda arrays: arrays | {"action_0": arrays["action_0"][:, :2]},
        lambda arrays: arrays | {"action_0": arrays["action_0"][:3]},
        lambda arrays: {name: array[:0] for name, array in arrays.items()},
        lambda arrays: arrays | {"action_0": arrays["action_0"] * np.float32(np.nan)},
        lambda arrays: arrays | {"extra": arrays["action_0"]},
        lambda arrays: {name: array for name, array in arrays.items() if name != "command_1"},
        lambda arrays: arrays | {"action_0": arrays["action_0"] + np.float32(1e-4)},
        lambda arrays: arrays | {"command_1": arrays["command_1"] + np.float32(1e-4)},
        lambda arrays: arrays | {"command_0": np.array([{}], dtype=object)},
        lambda arrays: arrays | {"command_0": np.float32(1)},
    ],
)
def test_golden_pairs_that_do_not_hold_are_refused(folder, change):
    with np.load(folder / "golden.npz") as file:
        arrays = dict(file)
    np.savez(folder / "golden.npz", **change(arrays))
    reseal(folder)
    assert "golden.npz" in refusal(folder)


def test_golden_pairs_come_back_as_they_were(bundle, original):
    contract = bundle.manifest.contract
    content = (original / "golden.npz").read_bytes()
    assert pack_golden(unpack_golden(content, contract, 2)) == content


def test_an_unknown_provider_is_refused(original):
    with pytest.raises(BundleError, match=r"no provider 'AbacusExecutionProvider'; it knows: .*CPU"):
        load_bundle(original, providers=("AbacusExecutionProvider", "CPUExecutionProvider"))


CPU, ABSENT = "CPUExecutionProvider", "MIGraphXExecutionProvider"  # the second is in no package of the index


@pytest.mark.skipif(ABSENT in onnxruntime.get_available_providers(), reason=f"has {ABSENT}")
def test_a_provider_that_is_not_available_is_skipped_but_not_where_it_is_required(original):
    for require in ("", CPU):
        bundle = load_bundle(original, (ABSENT, CPU), require)
        assert {session.provider for session in bundle.sessions.values()} == {CPU}
    with pytest.raises(BundleError, match=f"'walkers' runs on {CPU}, expected {ABSENT}"):
        load_bundle(original, (ABSENT, CPU), require_provider=ABSENT)
    with pytest.raises(BundleError, match=f"none of the providers {ABSENT} is available here: .*{CPU}"):
        load_bundle(original, (ABSENT,))


def test_a_session_gives_arrays_of_its_own(bundle, contents):
    session: PolicySession = bundle.sessions["walkers"]
    observations = contents.groups[0].observations[:2, : bundle.manifest.contract.observation_size]
    first = session.run(observations[0])
    kept = first.action.copy()
    session.run(observations[1])
    np.testing.assert_array_equal(first.action, kept)


def test_the_robot_must_have_the_joints_in_any_order(bundle):
    contract = bundle.manifest.contract
    check_robot(contract, ["joint_2", "joint_0", "joint_1"])
    with pytest.raises(BundleError, match="the robot lacks joint_1, joint_2; the bundle does not command gripper"):
        check_robot(contract, ["gripper", "joint_0"])
    with pytest.raises(BundleError, match="the robot repeats joint_0"):
        check_robot(contract, ["joint_0", "joint_0", "joint_1", "joint_2"])
