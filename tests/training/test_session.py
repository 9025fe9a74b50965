"""One training: resumed bit for bit, recorded without gap or repeat, stopped where it diverges."""

from __future__ import annotations

import json
import resource
from dataclasses import replace

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from pgx_core.errors import RunError
from pgx_core.learning.layout import Member
from pgx_core.learning.network import TASK_NETWORKS, clone_policy
from pgx_core.learning.ppo import PPOConfig
from pgx_core.objectives.suites import SIGNS, TINY
from pgx_core.simulation.simulation import SimulationConfig
from pgx_core.training.board import Board
from pgx_core.training.progress import Progress
from pgx_core.training.session import TrainingConfig, load_checkpoint, train_population

CONFIG = TrainingConfig(worlds=8, hidden=(8,), simulation=SimulationConfig("fake"), checkpoint_seconds=0.0)
MEMBERS = (Member((0, 1), True, 4), Member((2, 3), False, 4))
STEPS = 900  # 5 iterations of 192 steps: the last passes the end


class Impatient(Progress):
    """Interrupts the training, as Ctrl-C does, after some iterations."""

    def __init__(self, iterations: int) -> None:
        super().__init__("impatient", STEPS)
        self.left = iterations

    def advance(self, steps: int, note: str) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
        super().advance(steps, note)


def train(folder, config=CONFIG, suite=TINY, members=MEMBERS, steps=STEPS, **more):
    return train_population(suite, members, config, steps, 0, folder, "test", **more)


def states(trained):
    return {name: value.numpy() for name, value in trained.population.state_dict().items()}


def assert_equal(first, second) -> None:
    assert first.keys() == second.keys()
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name], err_msg=name)


@pytest.fixture(params=["fake", "mujoco", "soft_modules", "paco"])
def setting(request):
    if request.param in TASK_NETWORKS:
        return {"config": replace(CONFIG, hidden=(8, 8), network=request.param)}
    config = replace(CONFIG, simulation=SimulationConfig(request.param, threads=1))
    if request.param == "fake":
        return {"config": config}
    return {"config": config, "suite": replace(SIGNS, episode_seconds=1.0), "members": (Member((0, 3), True, 8),)}


def test_an_interrupted_training_ends_bit_for_bit_alike(setting, tmp_path) -> None:
    straight = train(tmp_path / "straight", **setting)
    for iterations in (2, 1, 2):
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "broken", **setting, progress=Impatient(iterations))
    resumed = train(tmp_path / "broken", **setting)
    assert_equal(states(straight), states(resumed))
    assert straight.rows == resumed.rows
    assert [row["steps"] for row in resumed.rows] == [192, 384, 576, 768, 960]


def test_a_finished_training_is_returned_as_it_is(tmp_path) -> None:
    first = train(tmp_path)
    content = (tmp_path / "checkpoint.pt").read_bytes()
    second = train(tmp_path)
    assert_equal(states(first), states(second))
    assert (tmp_path / "checkpoint.pt").read_bytes() == content
    assert second.seconds >= load_checkpoint(tmp_path / "checkpoint.pt")["seconds"]


def test_the_same_seed_gives_the_same_and_another_does_not(tmp_path) -> None:
    first, again = train(tmp_path / "a"), train(tmp_path / "b")
    assert_equal(states(first), states(again))
    other = train_population(TINY, MEMBERS, CONFIG, STEPS, 1, tmp_path / "c", "test")
    assert (states(first)["actor.weights.0"] != states(other)["actor.weights.0"]).all(-1).any()


def test_a_start_is_continued_and_not_drawn_anew(tmp_path) -> None:
    meta = train(tmp_path / "meta", members=(Member((0, 1, 2, 3), False, 8),)).population
    start = clone_policy(meta, 0, (True, False))
    trained = train(tmp_path / "groups", steps=1, start=start)  # one iteration
    first = meta.actor.weights[0].detach().numpy()[:, :2]  # of the observation; those of the id start at 0
    moved = (states(trained)["actor.weights.0"][:, :2] - first).std()
    assert 0 < moved < 0.1 * first.std()


def test_metrics_have_no_gap_and_no_repeat(tmp_path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, progress=Impatient(3))
    trained = train(tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert rows == trained.rows
    assert rows[0]["scores"].keys() == set(TINY.names)
    assert rows[0]["score"] == pytest.approx(np.mean(list(rows[0]["scores"].values())))
    board = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert set(board.Tags()["scalars"]) == {
        "score", "value_loss", "kl", "diverged", "action_std", *(f"score/{name}" for name in TINY.names)
    }  # fmt: skip
    shown = [(event.step, event.value) for event in board.Scalars("score")]
    assert shown == [(row["steps"], pytest.approx(row["score"])) for row in rows]


def test_a_board_survives_a_full_disk(tmp_path) -> None:
    board = Board(tmp_path)
    board.add(1, {"score": 0.5})
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 10, usual[1]))  # a part of a record would fit
        with pytest.raises(RunError, match="File too large; free some space"):
            board.add(2, {"score": 0.6})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert path.read_bytes() == whole
    board.add(3, {"score": 0.7})
    board.close()
    steps = [event.step for event in EventAccumulator(str(tmp_path)).Reload().Scalars("score")]
    assert steps == [1, 3]


def test_a_board_that_cannot_be_made(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="choose another output folder"):
        Board(tmp_path / "file")


def test_divergence_is_said_and_leaves_the_last_good_checkpoint(tmp_path) -> None:
    with pytest.raises(RunError, match=r"test: expected finite network weights, .*learning-rate"):
        train(tmp_path, replace(CONFIG, ppo=PPOConfig(learning_rate=1e30)))
    assert not (tmp_path / "checkpoint.pt").exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x02]q\x00."])
def test_a_damaged_checkpoint_names_the_file(content, tmp_path) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(content)
    with pytest.raises(RunError, match=r"checkpoint\.pt' cannot be read: delete it"):
        train(tmp_path)


def test_a_checkpoint_of_something_else_names_the_file(tmp_path) -> None:
    torch.save({"weights": torch.zeros(3)}, tmp_path / "checkpoint.pt")
    with pytest.raises(RunError, match=r"checkpoint\.pt' cannot be read: delete it"):
        train(tmp_path)
    with pytest.raises(RunError, match="is missing"):
        load_checkpoint(tmp_path / "none.pt")


def test_a_log_holds_few_updates_and_an_honest_end(tmp_path, capfd) -> None:
    with Progress("stage", 3 * STEPS) as progress:
        for name in ("a", "b", "a"):  # the third is already done
            train(tmp_path / name, progress=progress)
    lines = [line for line in capfd.readouterr().err.replace("\r", "\n").splitlines() if line]
    assert len(lines) == 2, lines
    assert lines[0].startswith("stage:   0%") and lines[1].startswith("stage: 100%")
    assert "2.70k/2.70k" in lines[1], "the last iterations pass the end, the bar does not"


def test_skipped_steps_are_no_speed() -> None:
    with Progress("stage", 1000) as progress:
        progress.skip(900)
        progress.advance(10, "")
        shown = progress._bar.format_dict
    assert (shown["n"], shown["initial"]) == (910, 900)
