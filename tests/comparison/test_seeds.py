"""The work of one process among several that train seeds."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pgx_core.comparison import seeds
from pgx_core.training.progress import Progress


def test_a_worker_shows_no_bars_of_its_own_and_takes_one_thread(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def train(run: str, stop: str, say: object) -> None:
        with Progress("meta", 10) as progress:
            progress.advance(10, "")
        assert (run, stop, torch.get_num_threads()) == ("a run", "groups", 1)

    monkeypatch.setattr(Progress, "shown", True)
    monkeypatch.setattr(seeds, "read_run", lambda folder: "a run")
    monkeypatch.setattr(seeds, "train", train)
    train("a run", "groups", None)
    assert "meta" in capfd.readouterr().err
    seeds.train_seed(Path("folder"), "groups")
    assert capfd.readouterr().err == ""
