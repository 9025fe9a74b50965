"""The commands beside `train`, on finished, unfinished and damaged runs."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image

from pgx_core.report.data import MethodScores, TradeOff
from pgx_core.run import read_run
from pgx_core.serving import load_bundle, verify_bundle
from pgx_core.training.evaluation import Evaluation, evaluate
from pgx_core.training.methods import own_objectives
from pgx_core.types import Partition, load_record


def test_verify_a_good_bundle(finished, call) -> None:
    ended = call("verify", finished / "bundle")
    assert (ended.status, ended.err) == (0, "")
    assert "good; slider, 2 policies for 4 objectives at 25 Hz" in ended.out


@pytest.mark.parametrize("name", ["group_1.onnx", "golden.npz", "bundle.json", "MODEL_CARD.md"])
def test_verify_an_altered_bundle(name, finished, tmp_path, call) -> None:
    bundle = shutil.copytree(finished / "bundle", tmp_path / "bundle")
    content = bytearray((bundle / name).read_bytes())
    content[len(content) // 2] ^= 1
    (bundle / name).write_bytes(content)
    ended = call("verify", bundle)
    assert ended.status == 1
    assert ended.complaint.startswith("pgx verify: ") and (name in ended.complaint or name == "bundle.json")


def test_verify_what_is_no_bundle(tmp_path, call) -> None:
    assert "is no folder" in call("verify", tmp_path / "nothing").complaint
    assert "bundle.json' is missing" in call("verify", tmp_path).complaint


def test_golden_pairs_are_of_the_objectives_that_a_group_serves(finished) -> None:
    with np.load(finished / "partition.npz") as file:
        labels = file["labels"]
    with np.load(finished / "bundle" / "golden.npz") as golden:
        for group in (0, 1):
            ids = golden[f"observation_{group}"][:, -4:]
            assert len(ids) == 64 and (ids.sum(1) == 1).all()
            assert set(labels[ids.argmax(1)]) == {group}


def test_every_method_is_measured_from_the_same_starts_which_differ_from_run_to_run(finished, other) -> None:
    starts = []
    for folder in (finished, other.folder):
        run = read_run(folder)
        served = run.population(run.trained(run.served))
        own = own_objectives(load_record(Partition, run.path("partition.npz")).labels)
        every = load_record(Evaluation, run.path("evaluation/every_policy.npz"))
        alone = evaluate(served, run.suite, run.evaluation, run.config.training.simulation, own)
        np.testing.assert_array_equal(every.episodes[own], alone.episodes[own])
        assert np.isfinite(every.episodes).all(), "of every policy on every objective"
        starts.append(run.evaluation.seed)
    assert starts[1] - starts[0] == 1, "the seeds of the two runs are 0 and 1"


def test_play_writes_a_film_and_a_plot(finished, tmp_path, call) -> None:
    ended = call("play", finished / "bundle", "--seconds", 0.4, "--out", tmp_path / "play")
    assert (ended.status, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert [line.split()[0] for line in lines] == ["right_2", "right_1", "left_1", "left_2", "pictures"]
    assert "velocity: commanded -2.00 m/s" in lines[3]
    with Image.open(tmp_path / "play" / "play.gif") as film, Image.open(tmp_path / "play" / "tracking.png") as plot:
        assert film.n_frames == 20  # 40 ticks, every second one
        assert plot.size[0] > 500


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--objectives", "rigt_1"), "did you mean 'right_1'?"),
        (("--seconds", "0"), "seconds: expected 0.04 s (a control tick) or more, got 0.0"),
        (("--seconds", "nan"), "seconds: expected"),
        (("--seed", "-1"), "seed: expected 0 to"),
        (("--mjcf", "nowhere.xml"), "nowhere.xml"),
    ],
)
def test_play_refuses(options, words, finished, tmp_path, call) -> None:
    ended = call("play", finished / "bundle", "--out", tmp_path / "play", *options)
    assert ended.status == 1
    assert words in ended.complaint
    assert not (tmp_path / "play").exists()


def test_play_with_a_full_disk(finished, tmp_path, fork) -> None:
    ended = fork("play", finished / "bundle", "--seconds", 0.2, "--out", tmp_path, file_limit=20_000)
    assert ended.status == 1
    assert "File too large" in ended.complaint
    assert not [path for path in tmp_path.rglob("*") if path.name != "play.gif"]


def test_report_and_export_again(finished, tmp_path, call) -> None:
    folder = shutil.copytree(finished, tmp_path / "run")
    shutil.rmtree(folder / "report")
    ended = call("report", folder)
    assert (ended.status, ended.out.strip()) == (0, str(folder / "report" / "report.html"))
    assert "pgx train tiny --steps 2400" in (folder / "report" / "report.html").read_text()
    ended = call("export", folder, "--out", tmp_path / "elsewhere")
    assert ended.status == 0
    assert verify_bundle(tmp_path / "elsewhere") == verify_bundle(finished / "bundle")
    assert (tmp_path / "elsewhere" / "group_0.onnx").read_bytes() == (finished / "bundle/group_0.onnx").read_bytes()


@pytest.mark.parametrize("command", ["report", "export"])
def test_an_unfinished_run_says_how_to_go_on(command, finished, tmp_path, call, options) -> None:
    folder = tmp_path / "run"
    assert call("train", "tiny", *options, "--out", folder, "--to", "rollouts").status == 0
    ended = call(command, folder)
    assert ended.status == 1
    assert "has not finished its stage 'features': continue it with pgx train tiny" in ended.complaint
    advice = ended.complaint.partition("continue it with pgx ")[2].split()
    ended = call(*advice, "--to", "features")
    assert (ended.status, ended.out.split(":")[0]) == (0, "features")
    assert "no run in" in call(command, tmp_path / "nothing").complaint


def test_export_does_not_overwrite_other_files(finished, tmp_path, call) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    ended = call("export", finished, "--out", tmp_path)
    assert ended.status == 1 and "holds other files" in ended.complaint
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


QUICK = ("--workers", 1, "--episodes", 2, "--references", 1, "--watched-s", 2, "--reference-s", 4)


def test_the_switch_matrix_becomes_part_of_the_bundle(finished, tmp_path, call) -> None:
    bundle = shutil.copytree(finished / "bundle", tmp_path / "bundle")
    for _ in range(2):  # the second replaces the first
        ended = call("switch-matrix", bundle, *QUICK)
        assert ended.status == 0 and ended.out.count("->") == 12
        assert call("verify", bundle).status == 0
    loaded = load_bundle(bundle)
    assert [pair.episodes for pair in loaded.switches.pairs] == [2] * 12
    assert all(0.0 <= pair.peak <= 1.0 + 1e-9 for pair in loaded.switches.pairs)
    assert (bundle / "MODEL_CARD.md").read_text().count("\n## Switches\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"], "nothing is left beside it"
    (bundle / "switch_matrix.json").write_text("{}")
    assert "switch_matrix.json" in call("verify", bundle).complaint
    replaced = call("export", finished, "--out", bundle)
    assert replaced.status == 0 and "without the old bundle's switch_matrix.json: measure" in replaced.err
    assert load_bundle(bundle).switches is None


def test_the_switch_matrix_refuses(finished, tmp_path, call) -> None:
    assert "episodes: expected 1 to 10000" in call("switch-matrix", finished / "bundle", "--episodes", 0).complaint
    assert "is no folder" in call("switch-matrix", tmp_path / "nothing").complaint


WEIGHED = """
from dataclasses import replace
from pgx_core.objectives.objective import Objective, Reward
from pgx_core.objectives.suites import TINY, slide
from functools import partial

def rest(state, command):
    return 1.0 - state.action.square().mean(-1)

def both(state, command):
    return command["slide"] * slide(state, {"velocity": 1.0}) + command["rest"] * rest(state, command)

def go(state, command, velocity):
    return slide(state, {"velocity": velocity})

objectives = tuple(Objective(f"w{w}", (Reward(both),), {"slide": w / 4, "rest": 1 - w / 4}) for w in range(4))
suite = replace(TINY, name="weighed", objectives=objectives, trade_off=(partial(go, velocity=1.0), rest))
"""


def test_weighed_values_are_told_apart(tmp_path, call, options) -> None:
    (tmp_path / "weighed.py").write_text(WEIGHED)
    run = tmp_path / "run"
    assert call("train", tmp_path / "weighed.py:suite", *options, "--out", run).status == 0
    for method in ("groups_id", "joint"):
        values = load_record(TradeOff, run / f"evaluation/{method}_values.npz")
        scores = load_record(MethodScores, run / f"evaluation/{method}.npz").scores
        assert values.terms == ("go", "rest") and values.values.shape == (4, 2)
        weights = np.array([[w / 4, 1 - w / 4] for w in range(4)])
        np.testing.assert_allclose((weights * values.values).sum(1), scores, atol=1e-5)  # the very same episodes
    assert "Expected utility" in (run / "report/report.html").read_text()


NUMBERS = """
import numpy as np
from dataclasses import replace
from pgx_core.objectives.objective import Objective, Reward
from pgx_core.objectives.suites import SLIDER, TINY, slide

robot = replace(SLIDER, control_rate=25, action_scale=np.float32(1.0), velocity_limit=np.int64(20))
objectives = tuple(Objective(f"go_{v}", (Reward(slide),), {"velocity": v}) for v in np.arange(1, 5))
suite = replace(TINY, name="numbers", robot=robot, objectives=objectives)
"""


def test_numbers_of_every_kind_reach_the_bundle(tmp_path, call, options) -> None:
    (tmp_path / "numbers.py").write_text(NUMBERS)
    ended = call("train", tmp_path / "numbers.py:suite", *options, "--to", "export", "--out", tmp_path / "run")
    assert ended.status == 0, ended.complaint
    bundle = load_bundle(tmp_path / "run" / "bundle")
    assert [objective.command["velocity"] for objective in bundle.manifest.objectives] == [1.0, 2.0, 3.0, 4.0]


def test_a_trade_off_takes_two(tmp_path, call, options) -> None:
    (tmp_path / "weighed.py").write_text(WEIGHED.replace(", rest))", ",))"))
    ended = call("train", tmp_path / "weighed.py:suite", *options, "--out", tmp_path / "run")
    assert ended.status == 1 and "a trade_off between at least 2 terms, got 1" in ended.complaint
