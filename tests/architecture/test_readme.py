"""The README shows and names only what is there."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text()
RESULTS = ROOT / "benchmarks/results"


@pytest.mark.parametrize("link", re.findall(r"\]\((?!https?:|#)([^)]+)\)", TEXT))
def test_every_file_it_links_to_exists(link: str) -> None:
    assert (ROOT / link).is_file()


def test_every_benchmark_it_names_exists() -> None:
    named = set(re.findall(r"python (benchmarks/\w+\.py)", TEXT))
    assert named and all((ROOT / name).is_file() for name in named)


def test_no_gap_is_left_in_it() -> None:
    assert "<!--" not in TEXT


ROWS = {
    "one policy": "joint",
    "one policy + objective id": "joint_id",
    "random groups": "random",
    "random groups + id": "random_id",
    "cosine groups": "cosine",
    "pgx groups": "groups",
    "pgx groups + id (served)": "groups_id",
    "specialists": "specialists",
}


def cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_its_table_of_groupings_is_the_committed_one() -> None:
    measured = json.loads((RESULTS / "grouping.json").read_text())
    lines = TEXT.splitlines()
    (first,) = [place for place, line in enumerate(lines) if line.startswith("| | `signs`")]
    heads, _, *rows = lines[first : first + 2 + len(ROWS)]
    suites = re.findall(r"`(\w+)`", heads)
    assert suites == list(measured)
    for label, *shown in map(cells, rows):
        for suite, cell in zip(measured.values(), shown, strict=True):
            score, interval = suite[f"score_{ROWS[label]}"], suite[f"score_{ROWS[label]}_interval"]
            numbers = [f"{number + 0.0:.2f}".replace("-0.00", "0.00") for number in (score, *interval)]
            assert cell == "{} ({} to {})".format(*numbers), label


@pytest.mark.parametrize(
    ("script", "figures"),
    [
        ("seeds", lambda f: f"{f['correct']} of {f['seeds']} seeds"),
        ("surrogate", lambda f: f"{f['speedup_vs_sklearn']:.0f} times faster"),
        ("features", lambda f: f"{f['speedup_vs_loop']:.0f} times the samples per second"),
        ("ppo", lambda f: f"return {f['return_ratio']:.2f} ({{:.2f}} to {{:.2f}}".format(*f["return_ratio_interval"])),
        ("ppo", lambda f: f"speed {f['speed_ratio']:.2f}"),
        ("ppo", lambda f: f"training {f['mean_curve_ours'] / f['mean_curve_sb3']:.2f}"),
        ("serving", lambda f: f"{f['tick_p99_ms']:.1f} ms, {f['cpu_share']:.2f}, {f['period_sigma_ms']:.2f} ms"),
        ("serving", lambda f: f"node: {f['naive_tick_p99_ms']:.0f} ms, {f['naive_cpu_share']:.2f}"),
        ("serving_switches", lambda f: f"{f['end_to_end_p99_ms']:.0f} ms"),
    ],
)
def test_its_figures_are_the_committed_ones(script: str, figures: Callable[[dict[str, Any]], str]) -> None:
    (row,) = [line for line in TEXT.splitlines() if f"`python benchmarks/{script}.py" in line and "|" in line]
    assert figures(json.loads((RESULTS / f"{script}.json").read_text())) in row


def test_its_robot_and_suite_are_the_smallest_that_work(tmp_path: Path) -> None:
    from pgx_core.objectives.loading import load_suite
    from pgx_core.training.rehearsal import rehearse

    (mjcf,) = re.findall(r"```xml\n(.*?)```", TEXT, re.DOTALL)
    (suite,) = [block for block in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL) if "rover.xml" in block]
    (tmp_path / "rover.xml").write_text(mjcf)
    (tmp_path / "rover.py").write_text(suite)
    rehearse(load_suite(f"{tmp_path / 'rover.py'}:suite"))


def test_its_way_from_a_urdf_gives_a_robot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mujoco
    import numpy as np

    from pgx_core.errors import SuiteError
    from pgx_core.objectives.objective import Robot
    from pgx_core.simulation.robot_model import compile_robot

    (script,) = [block for block in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL) if "robot.urdf" in block]
    shutil.copy(ROOT / "pgx_core/objectives/quadruped.urdf", tmp_path / "robot.urdf")
    monkeypatch.chdir(tmp_path)
    exec(script, {})
    terms = ("joint_positions", "projected_gravity", "angular_velocity")
    robot = Robot("mine", Path("robot.xml"), 50.0, terms, action_scale=0.2)
    with pytest.raises(SuiteError, match=r"FL_calf_joint.*the home pose"):  # it cannot stretch its legs to the zeros
        compile_robot(robot)
    spec = mujoco.MjSpec.from_file("robot.xml")
    model = spec.compile()
    spec.add_key(name="home", qpos=[*model.qpos0[:7], *np.clip(model.qpos0[7:], *model.jnt_range[1:].T)])
    spec.compile()
    robot.mjcf.write_text(spec.to_xml())
    contract = compile_robot(robot).contract
    assert (contract.action_size, contract.command_type, contract.control_rate) == (12, "position", 50.0)
    calf = next(joint for joint in contract.joints if joint.name == "FL_calf_joint")
    assert (calf.lower, calf.upper, calf.effort_limit) == (-2.7227, -0.83776, 35.55)
