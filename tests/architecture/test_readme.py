"""The README shows and names only what is there."""

from __future__ import annotations

import re
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
