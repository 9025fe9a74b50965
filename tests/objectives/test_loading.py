"""Suites by name or from a user's file, and what is said when that fails."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from pgx_core.errors import SuiteError
from pgx_core.objectives.loading import fingerprint, load_suite
from pgx_core.objectives.suites import SUITES, TINY

GOOD = """\
from dataclasses import dataclass, replace
from pgx_core.objectives.suites import TINY

@dataclass
class Helper:  # dataclasses look their module up while the file runs
    speed: float = 1.0

mine = replace(TINY, name="mine")
suite = replace(TINY, name="usual")
number = 3
"""


@pytest.fixture
def write(tmp_path):
    def write(text, name="user_suite.py"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize("name", SUITES)
def test_an_embedded_suite_is_found_by_name(name):
    assert load_suite(name) is SUITES[name]


def test_a_file_gives_the_named_variable_or_suite(write):
    path = write(GOOD)
    assert load_suite(f"{path}:mine").name == "mine"
    assert load_suite(str(path)).name == "usual"


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("signz", "no suite 'signz'; embedded suites: signs, .*did you mean 'signs'"),
        ("xylophone", "FILE.py:VARIABLE"),
        ("nowhere.py:mine", "no file 'nowhere.py'"),
    ],
)
def test_an_unknown_suite_is_answered_with_what_there_is(reference, message):
    with pytest.raises(SuiteError, match=message):
        load_suite(reference)


@pytest.mark.parametrize(
    ("variable", "came"),
    [("other", "found nothing of that name"), ("number", "found a int"), ("Helper", "found a type")],
)
def test_a_variable_that_is_no_suite_is_named(write, variable, came):
    with pytest.raises(SuiteError, match=f"in the variable '{variable}', {came}"):
        load_suite(f"{write(GOOD)}:{variable}")


@pytest.mark.parametrize("relative", [True, False])
@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a = 1\n\n1 / 0\n", 3, "ZeroDivisionError: division by zero"),
        ("a = 1\nb b\n", 2, "SyntaxError"),
        ("\n\n\ndef f():\n    raise ValueError('two\\nlines')\nf()\n", 5, "ValueError: two lines$"),
        ("import json\n\njson.loads('{')\n", 3, "JSONDecodeError"),
        ("import no_such_module_at_all\n", 1, "ModuleNotFoundError"),
    ],
)
def test_an_exception_in_the_file_gives_file_and_line(write, monkeypatch, relative, text, line, message):
    path = write(text)
    monkeypatch.chdir(path.parent)
    name = path.name if relative else str(path)
    with pytest.raises(SuiteError, match=f"^'{re.escape(name)}' line {line}: {message}") as caught:
        load_suite(name)
    assert "\n" not in str(caught.value)


def test_an_error_of_ours_in_the_file_passes_as_it_is(write):
    path = write("from pgx_core.objectives.objective import Objective\nObjective('idle', ())\n")
    with pytest.raises(SuiteError, match=r"^objective 'idle': expected at least one Reward"):
        load_suite(str(path))


def test_the_fingerprint_follows_the_file_and_the_robot(write, tmp_path):
    robot = write(TINY.robot.mjcf.read_text(), "robot.xml")
    text = (
        GOOD
        + f"from pathlib import Path\nsuite = replace(TINY, robot=replace(TINY.robot, mjcf=Path({str(robot)!r})))\n"
    )
    path = write(text)

    def now():
        return fingerprint(str(path), load_suite(str(path)))

    first = now()
    assert now() == first and fingerprint("tiny", TINY) != first
    path.write_text(text + "# a remark\n")
    second = now()
    robot.write_text(robot.read_text().replace('mass="1"', 'mass="2"'))
    assert len({first, second, now()}) == 3


def test_the_fingerprint_follows_what_the_mjcf_includes(write, tmp_path):
    write(TINY.robot.mjcf.read_text(), "body.xml")
    scene = write('<mujoco><include file="body.xml"/></mujoco>', "scene.xml")
    suite = replace(TINY, robot=replace(TINY.robot, mjcf=scene))
    before = fingerprint("mine", suite)
    assert fingerprint("mine", suite) == before
    write(TINY.robot.mjcf.read_text().replace('mass="1"', 'mass="2"'), "body.xml")
    assert fingerprint("mine", suite) != before
    scene.write_text("<mujoco><broken")
    assert fingerprint("mine", suite) != before, "and it is no error here"


def test_embedded_suites_of_one_robot_differ_in_their_fingerprint():
    assert len({fingerprint(name, suite) for name, suite in SUITES.items()}) == len(SUITES)


def test_the_robots_of_the_embedded_suites_lie_in_the_package():
    assert all(Path(suite.robot.mjcf).is_file() for suite in SUITES.values())
