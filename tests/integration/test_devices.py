"""Where the worlds run: two options of `pgx train`, a run that goes on elsewhere, the same groups by both engines."""

from __future__ import annotations

import importlib.util

import pytest
import torch

from pgx_core import run as module
from pgx_core.errors import RunError
from pgx_core.run import RunConfig, open_run, read_run
from pgx_core.simulation.simulation import SimulationConfig
from pgx_core.training.session import TrainingConfig
from pgx_core.types import Partition, load_record

HAVE_WARP = importlib.util.find_spec("mujoco_warp") is not None


def placed(backend, device):
    return RunConfig(training=TrainingConfig().placed(backend, device))


def test_a_backend_that_is_not_there_is_told_in_one_line(tmp_path, call) -> None:
    folder = tmp_path / "run"
    ended = call("train", "tiny", "--device", "cuda", "--out", folder)
    assert ended.status == 1
    assert "expected cpu with the mujoco backend; warp and isaacgym run on a GPU, got cuda" in ended.complaint
    assert call("train", "tiny", "--backend", "wrap", "--out", folder).status == 2
    assert not folder.exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_told_in_one_line(tmp_path, call) -> None:
    ended = call("train", "tiny", "--backend", "warp", "--device", "cuda", "--out", tmp_path / "run")
    assert ended.status == 1
    # Warp itself writes a line of its own, which nothing silences.
    (complaint,) = (line for line in ended.err.splitlines() if line and not line.startswith("Warp CUDA warning"))
    assert ("expected a GPU that torch and Warp can use (0 here)" if HAVE_WARP else "pgx-core[warp]") in complaint
    assert not (tmp_path / "run").exists()


@pytest.fixture
def without_physics(monkeypatch):
    """Runs are only opened here, and need no GPU for that."""
    rehearsed = []
    monkeypatch.setattr(module, "rehearse", lambda suite, config: rehearsed.append(config.device))
    return rehearsed


def test_a_run_goes_on_on_another_device_and_remembers_it(tmp_path, without_physics) -> None:
    for device in ("cuda", "cuda", "cpu"):
        assert open_run(tmp_path, "tiny", placed("warp", device)).device == device
        assert read_run(tmp_path).device == device
    assert without_physics == ["cuda", "cpu"]


def test_a_run_does_not_go_on_with_other_physics(tmp_path, without_physics) -> None:
    open_run(tmp_path, "tiny", placed("warp", "cuda"))
    with pytest.raises(RunError, match=r"simulation\.backend was warp, is now mujoco"):
        open_run(tmp_path, "tiny", placed("mujoco", "cpu"))
    assert read_run(tmp_path).device == "cuda"


def test_the_short_options_are_the_long_ones(tmp_path, call) -> None:
    small = ("--steps", 20_000, "--training.worlds", 4, "--to", "meta", "--out", tmp_path)
    assert call("train", "tiny", "--backend", "fake", "--device", "cpu", *small).status == 0
    assert read_run(tmp_path).config.training.simulation == SimulationConfig("fake", "cpu")
    assert call("train", "tiny", "--training.simulation.backend", "fake", *small).status == 0


def test_warp_finds_the_same_groups_as_mujoco(tmp_path, call) -> None:
    pytest.importorskip("mujoco_warp", reason="needs the extra 'warp'")
    found = []
    for backend in ("mujoco", "warp"):
        folder = tmp_path / backend
        ended = call("train", "tiny", "--backend", backend, "--to", "clustering", "--out", folder)
        assert ended.status == 0, ended.err
        found.append(str(load_record(Partition, folder / "partition.npz")))
    assert found[0] == found[1]
