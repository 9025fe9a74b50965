"""Whole runs of the suite `tiny` at toy size, in this process or in a forked one that can be killed or starved."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jaxtyping
import numpy as np
import pytest
import torch
from filelock import FileLock

from pgx_core import cli

SETTINGS = {
    "training.simulation.backend": "fake",
    "training.worlds": 8,
    "training.hidden": 8,
    "training.ppo.horizon": 10,
    "training.ppo.epochs": 1,
    "training.checkpoint-seconds": 0,
    "steps": 2400,
    "rollouts.samples": 200,
    "evaluation.episodes": 2,
    "grouping.clustering.k": 2,
    "grouping.features.dimensions": 20,
    "compare": "joint",
}
OPTIONS = tuple(word for name, value in SETTINGS.items() for word in (f"--{name}", str(value)))


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int  # exit status; the negative number of the signal that killed it
    out: str
    err: str  # without progress bars

    @property
    def complaint(self) -> str:
        """The one line on stderr."""
        lines = [line for line in self.err.splitlines() if line.strip()]
        assert len(lines) == 1, f"expected one line on stderr, got {self.err!r}"
        return lines[0]


@pytest.fixture(scope="session")
def options() -> tuple[str, ...]:
    """Settings that make a run of `tiny` take seconds."""
    return OPTIONS


@pytest.fixture(autouse=True)
def _as_users_run_it(unchecked: Callable[[], contextlib.AbstractContextManager[None]]) -> Iterator[None]:
    with unchecked():
        yield


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Runs a command in this process."""

    def run(*arguments: object) -> Ended:
        capfd.readouterr()
        status = 0
        try:
            cli.main([str(argument) for argument in arguments])
        except SystemExit as ended:
            status = int(ended.code or 0)
        out, err = capfd.readouterr()
        return Ended(status, out, _without_bars(err))

    return run


@pytest.fixture(scope="session")
def fork() -> Callable[..., Ended]:
    """Runs a command in a process of its own, without the seconds that importing torch takes."""
    return _fork


def _fork(
    *arguments: object,
    after: float | None = None,
    kill: int = signal.SIGKILL,
    file_limit: int | None = None,
    refused: tuple[Path, int] | None = None,
) -> Ended:
    """A command's end.

    `after` so many seconds the process gets the signal `kill`; no file of its may grow beyond `file_limit` bytes; what
    would change anything under the folder `refused[0]` fails with the error number `refused[1]`, root's wishes too.
    """
    out, err = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        _be_child([str(argument) for argument in arguments], out[1], err[1], file_limit, refused)
    for _, end in (out, err):
        os.close(end)
    timer = threading.Timer(
        120.0 if after is None else after, _send, (child, signal.SIGKILL if after is None else kill)
    )
    timer.start()
    texts = [_read_all(end) for end, _ in (out, err)]
    _, status = os.waitpid(child, 0)
    timer.cancel()
    return Ended(os.waitstatus_to_exitcode(status), texts[0], _without_bars(texts[1]))


def _be_child(
    arguments: list[str], out: int, err: int, file_limit: int | None, refused: tuple[Path, int] | None
) -> None:
    status = 70
    try:
        os.dup2(out, 1)
        os.dup2(err, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w", 1)
        jaxtyping.config.update("jaxtyping_disable", True)  # see `unchecked`
        if file_limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))
        if refused is not None:
            sys.addaudithook(partial(_refuse, *refused))
        cli.main(arguments)
        status = 0
    except SystemExit as ended:
        status = int(ended.code or 0)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _refuse(folder: Path, number: int, event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook: Python asks it before it opens, makes, renames or removes a file."""
    opens = event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR)
    if not opens and event not in ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree"):
        return
    for path in arguments[:2]:
        if isinstance(path, (str, Path)) and Path(path).absolute().is_relative_to(folder):
            raise OSError(number, os.strerror(number), str(path))


def _send(process: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # it was faster
        os.kill(process, number)


def _read_all(descriptor: int) -> str:
    with os.fdopen(descriptor, "rb") as file:
        return file.read().decode()


def _without_bars(err: str) -> str:
    return "\n".join(line for line in re.split(r"[\r\n]", err) if "step" not in line or line.startswith("pgx"))


def _once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that the first of the test processes to ask for it makes for all."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    made = folder / "made"
    with FileLock(folder.with_suffix(".lock")):
        if not made.exists():
            folder.mkdir(exist_ok=True)
            make(folder)
            made.touch()
    return folder


@pytest.fixture(scope="session")
def finished(
    unchecked: Callable[[], contextlib.AbstractContextManager[None]], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder of a finished run. Not to be changed."""

    def make(folder: Path) -> None:
        torch.set_num_threads(1)
        with unchecked():
            cli.main(["train", "tiny", *OPTIONS, "--out", str(folder / "run")])

    return _once(tmp_path_factory, "finished", make) / "run"


@dataclass(frozen=True)
class Timed:
    """A run, and how long it took."""

    folder: Path
    seconds: float


@pytest.fixture(scope="session")
def other(finished: Path, fork: Callable[..., Ended], tmp_path_factory: pytest.TempPathFactory) -> Timed:
    """A run up to its bundle with another seed, timed with everything imported."""

    def make(folder: Path) -> None:
        began = time.monotonic()
        assert fork("train", "tiny", *OPTIONS, "--seed", 1, "--to", "export", "--out", folder / "run").status == 0
        (folder / "seconds").write_text(repr(time.monotonic() - began))

    folder = _once(tmp_path_factory, "other", make)
    return Timed(folder / "run", float((folder / "seconds").read_text()))


@pytest.fixture(scope="session")
def results() -> Callable[[Path], dict[str, Any]]:
    """Everything in a run folder that must be the same however the run came about."""
    return _results


def _results(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.name == "checkpoint.pt":
            saved = torch.load(path, weights_only=True)
            found[name] = [saved["trainer"]["steps"], saved["rows"], saved["trainer"]["population"]]
        elif path.suffix == ".npz" and "bundle" not in name:
            with np.load(path) as file:
                found[name] = {key: file[key].tobytes() for key in file.files}
        elif "bundle" in path.parts and path.is_file():
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return {name: _plain(value) for name, value in found.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.numpy().tobytes()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else repr(value) if value != value else value


@pytest.fixture(scope="session")
def untouched() -> Callable[[Path], dict[str, bytes]]:
    """Every file under a folder with its bytes."""
    return lambda folder: {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
