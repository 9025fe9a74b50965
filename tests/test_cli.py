"""`pgx` as its users meet it: real processes for what only they can show, and the words of every usage error."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pgx_core import cli

ROOT = Path(__file__).parents[1]
PGX = (sys.executable, "-m", "pgx_core.cli")


def pgx(*arguments: str, stdout: int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PGX, *arguments], cwd=ROOT, stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=280)


def complaint(ended: subprocess.CompletedProcess[str], status: int) -> str:
    assert ended.returncode == status, ended.stderr
    (line,) = ended.stderr.splitlines()
    return line


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",)])
def test_the_overview(arguments, capsys) -> None:
    cli.main(arguments)
    shown = capsys.readouterr().out
    assert all(f"pgx {command}" in shown for command in cli.COMMANDS)


def test_every_command_explains_itself(capsys) -> None:
    for command in cli.COMMANDS:
        with pytest.raises(SystemExit) as ended:
            cli.main([command, "--help"])
        assert ended.value.code == 0
        assert capsys.readouterr().out.startswith(f"usage: pgx {command}")


def test_the_suites(capsys) -> None:
    cli.main(["suites"])
    shown = capsys.readouterr().out
    assert "tiny: slider, 4 objectives, 60,000 steps a method\n    right_1 right_2 left_1 left_2\n" in shown


@pytest.mark.parametrize(
    ("line", "status", "words"),
    [
        ("trian", 2, "pgx: no command 'trian'; did you mean 'train'? commands: suites, train,"),
        ("xyz", 2, "pgx: no command 'xyz'; commands: suites"),
        ("train", 2, "pgx train: Missing from pgx train: STR name of an embedded suite"),
        ("verify", 2, "pgx verify: Missing from pgx verify"),
        (
            "train tiny --training.wrlds 3",
            2,
            "Unrecognized options: --training.wrlds, 3; Perhaps you meant: --training.w",
        ),
        ("train tiny more", 2, "Unrecognized options: more; see pgx train --help"),
        ("suites more", 2, "Unrecognized options: more; see pgx suites --help"),
        ("train tiny --seed x", 2, "Error parsing --seed: invalid literal"),
        ("train tiny --steps", 2, "Missing value for argument '--steps'"),
        ("train tiny --training.simulation.backend fak", 2, "invalid choice 'fak'"),
        ("train tiny --compare joynt", 2, "invalid choice 'joynt' for argument '--compare'. Expected one of ('joint'"),
        ("train tiny --grouping.clustering.k some", 2, "Error parsing --grouping.clustering.k"),
        (
            "train tinny",
            1,
            "pgx train: no suite 'tinny'; embedded suites: signs, skills, hierarchy, trade_off, quadruped, arm, "
            "hopper, walker, reacher, tiny, cartpole, lunarlander, highway, "
            "metaworld_mt10_fixed, metaworld_mt10_random, metaworld_mt50_random; "
            "did you mean 'tiny'?",
        ),
        ("train nowhere.py:suite", 1, "no file 'nowhere.py'"),
        ("train tiny --from clusterin", 1, "no stage 'clusterin'; did you mean 'clustering'? stages in order: meta,"),
        ("train tiny --to nothing", 1, "no stage 'nothing'; stages in order"),
        ("train tiny --from export --to meta", 1, "expected --from a stage up to 'meta'"),
        ("train tiny --training.worlds -3", 1, "training.worlds: expected 1 or more, got -3"),
        ("train tiny --steps 0", 1, "steps: expected 1 or more, got 0"),
        ("train tiny --meta-share 2", 1, "meta_share: expected a share between 0 and 1, got 2.0"),
        ("train tiny --training.hidden", 1, "training.hidden: expected at least one layer"),
        ("train tiny --training.ppo.epochs 0", 1, "ppo.epochs: expected 1 or more, got 0"),
        (
            "train tiny --grouping.clustering.k 9",
            1,
            "grouping.clustering.k: expected auto, or 1 to the 4 objectives, got 9",
        ),
        ("train tiny --steps 500", 1, "steps: expected at least "),
        ("train tiny --grouping.surrogate.trust-radius nan", 1, "expected trust_radius > 0, got nan"),
        ("train tiny --seed -1", 1, "seed: expected 0 to 2147483647, got -1"),
    ],
)
def test_a_mistake_is_one_line(line, status, words, capsys, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        cli.main(line.split())
    shown = capsys.readouterr()
    assert (ended.value.code, shown.out) == (status, "")
    assert shown.err.count("\n") == 1 and words in shown.err
    assert shown.err.startswith("pgx")
    assert not list(tmp_path.iterdir()), "a mistake left something behind"


def test_a_fault_of_ours_shows_in_full(monkeypatch) -> None:
    monkeypatch.setattr("pgx_core.commands.suites.EMBEDDED", {"broken": None})
    with pytest.raises(AttributeError):
        cli.main(["suites"])


def test_real_process_unknown_suite_and_no_room() -> None:
    assert "did you mean 'signs'?" in complaint(pgx("train", "sings"), 1)
    with open("/dev/full", "w") as full:
        assert complaint(pgx("--help", stdout=full.fileno()), 1) == "pgx --help: No space left on device"


ON_A_ROBOT = """
import sys
class Absent:
    def find_spec(name, path, target=None):
        if name in ("torch", "mujoco", "jaxtyping"):
            raise ModuleNotFoundError("absent", name=name)
sys.meta_path.insert(0, Absent)
from pgx_core.cli import main
main(sys.argv[1:])
"""


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("verify", "."), "bundle.json' is missing"),
        (("suites",), "is missing; install pgx with the extras train"),
    ],
)
def test_real_process_without_torch_can_verify(command, words, tmp_path) -> None:
    program = [sys.executable, "-c", ON_A_ROBOT, *command]
    ended = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert words in complaint(ended, 1)


def test_real_process_without_bars() -> None:
    """The switch that benchmarks set; tqdm reads it when it is imported."""
    program = (
        "from pgx_core.training.progress import Progress\n"
        "with Progress('stage', 9) as progress:\n    progress.skip(3)\n    progress.advance(6, 'note')"
    )
    command, silent = [sys.executable, "-c", program], {**os.environ, "TQDM_DISABLE": "1"}
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, env=silent)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("command", "arguments", "words"),
    [
        ("train", ["quadruped", "--from", "groups"], "the same command without --from continues from there"),
        ("train", ["quadruped", "--from=groups"], "the same command without --from continues from there"),
        ("switch-matrix", ["bundle"], "the same command continues from there"),
        ("play", ["bundle"], "no file was left half written"),
    ],
)
def test_what_an_interrupted_command_says(command, arguments, words) -> None:
    assert words in cli._interrupted(command, arguments)


def test_real_process_interrupted_and_continued(tmp_path) -> None:
    command = [*PGX, "train", "tiny", "--out", str(tmp_path), "--to", "meta", "--training.checkpoint-seconds", "0"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "meta" / "checkpoint.pt").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=280)
    assert process.returncode == 130
    lines = [line for line in err.replace("\r", "\n").splitlines() if line and "step/s" not in line]
    assert lines == ["pgx train: interrupted; what is finished is kept, and the same command continues from there"]
    assert not (tmp_path / "stages.json").exists()
