"""Switches of a real bundle in MuJoCo: the slider, whose policies push right or left."""

from __future__ import annotations

import shutil
import threading
import time
from dataclasses import replace

import psutil
import pytest

from pgx_core.errors import RunError
from pgx_core.play import load_model
from pgx_core.switching import campaign
from pgx_core.switching.campaign import forget_draft, measure_switches
from pgx_core.switching.trial import SwitchConfig, switch

QUICK = SwitchConfig(episodes=2, references=1, watched_s=2.0, reference_s=4.0, phase_s=0.5)


@pytest.fixture
def folder(pushers, tmp_path):
    return shutil.copytree(pushers.folder, tmp_path / "bundle")


def test_a_joint_beyond_its_limits_is_a_fall(pushers) -> None:
    model = load_model(pushers, None)
    free = switch(pushers, model, "right", "left", 1.0, QUICK, 0)
    assert (free.fell, len(free.rows)) == ("", 50)
    (joint,) = pushers.manifest.contract.joints
    walled = replace(joint, position_lower=-1.5, position_upper=1.5)
    contract = replace(pushers.manifest.contract, joints=(walled,))
    narrow = replace(pushers, manifest=replace(pushers.manifest, contract=contract))
    stopped = switch(narrow, model, "right", "left", 1.0, QUICK, 0)
    assert "beyond its limits" in stopped.fell and len(stopped.rows) < 50


def test_an_interrupted_measurement_goes_on_where_it_stopped_and_ends_alike(folder, monkeypatch) -> None:
    whole = measure_switches(folder, None, QUICK, 1)
    forget_draft(folder)
    tried = []

    def stopping(bundle, model, pair, references, config):
        if len(tried) == 2:
            raise KeyboardInterrupt
        tried.append(pair)
        return measured(bundle, model, pair, references, config)

    measured = campaign.measure_pair
    monkeypatch.setattr(campaign, "measure_pair", stopping)
    with pytest.raises(KeyboardInterrupt):
        measure_switches(folder, None, QUICK, 1)
    first, tried[:] = tried[:], []
    monkeypatch.setattr(campaign, "measure_pair", lambda *args: (tried.append(args[2]), measured(*args))[1])
    assert measure_switches(folder, None, QUICK, 1) == whole
    assert len(first) == 2 and len(tried) == 4 and not set(first) & set(tried)
    measure_switches(folder, None, replace(QUICK, seed=1), 1)
    assert len(tried) == 4 + 6, "other settings begin anew"


def test_worker_processes_find_what_this_one_finds(folder) -> None:
    alone = measure_switches(folder, None, QUICK, 1)
    forget_draft(folder)
    assert measure_switches(folder, None, QUICK, 2) == alone


def test_a_killed_worker_is_one_line_and_what_is_finished_is_kept(folder) -> None:
    def kill_one() -> None:
        while not (workers := [child for child in psutil.Process().children() if "spawn_main" in str(child.cmdline())]):
            time.sleep(0.01)
        workers[0].kill()

    killer = threading.Thread(target=kill_one)
    killer.start()
    with pytest.raises(RunError, match=r"one was killed.*the same command"):
        measure_switches(folder, None, replace(QUICK, episodes=200), 2)
    killer.join()
