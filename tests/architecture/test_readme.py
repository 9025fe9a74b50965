"""The README shows and names only what is there."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("link", re.findall(r"\]\((?!https?:|#)([^)]+)\)", TEXT))
def test_every_file_it_links_to_exists(link: str) -> None:
    assert (ROOT / link).is_file()


def test_every_benchmark_it_names_exists() -> None:
    named = set(re.findall(r"python (benchmarks/\w+\.py)", TEXT))
    assert named and all((ROOT / name).is_file() for name in named)


def test_no_gap_is_left_in_it() -> None:
    assert "<!--" not in TEXT


def test_its_robot_and_suite_are_the_smallest_that_work(tmp_path: Path) -> None:
    from pgx_core.objectives.loading import load_suite
    from pgx_core.training.rehearsal import rehearse

    (mjcf,) = re.findall(r"```xml\n(.*?)```", TEXT, re.DOTALL)
    (suite,) = [block for block in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL) if "rover.xml" in block]
    (tmp_path / "rover.xml").write_text(mjcf)
    (tmp_path / "rover.py").write_text(suite)
    rehearse(load_suite(f"{tmp_path / 'rover.py'}:suite"))


def test_its_way_from_a_urdf_gives_a_robot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pgx_core.objectives.objective import Robot
    from pgx_core.simulation.robot_model import compile_robot

    (script,) = [block for block in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL) if "robot.urdf" in block]
    shutil.copy(ROOT / "pgx_core/objectives/quadruped.urdf", tmp_path / "robot.urdf")
    monkeypatch.chdir(tmp_path)
    exec(script, {})
    terms = ("joint_positions", "projected_gravity", "angular_velocity")
    contract = compile_robot(Robot("mine", Path("robot.xml"), 50.0, terms, action_scale=0.2)).contract
    assert (contract.action_size, contract.command_type, contract.control_rate) == (12, "position", 50.0)
    calf = next(joint for joint in contract.joints if joint.name == "FL_calf_joint")
    assert (calf.lower, calf.upper, calf.effort_limit) == (-2.7227, -0.83776, 35.55)
