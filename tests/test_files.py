"""A file or folder under its final name is whole, and nothing else is left."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import resource
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pgx_core import files
from pgx_core.errors import RunError
from pgx_core.files import atomic_folder, atomic_path, locked, remove_drafts, write_file

BIG = b"x" * 10_000


@contextlib.contextmanager
def full_disk():
    """No file can grow beyond 4 kB. Not a fixture: the test runner's own output may go to a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_file_is_written_read_and_replaced(tmp_path):
    path = tmp_path / "new" / "folder" / "a.txt"
    write_file(path, "old ä")
    assert path.read_text(encoding="utf-8") == "old ä"
    write_file(path, b"new")
    assert path.read_bytes() == b"new"
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


def test_a_full_disk_keeps_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    write_file(path, "old")
    with full_disk(), pytest.raises(RunError, match="File too large; free some space") as caught:
        write_file(path, BIG)
    assert str(path) in str(caught.value)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_full_disk_keeps_the_old_folder(tmp_path):
    path = tmp_path / "result"
    for attempt in ("first", "second"):
        with atomic_folder(path) as draft:
            (draft / attempt).write_text("small")
    with full_disk(), pytest.raises(RunError, match="File too large"), atomic_folder(path) as draft:
        (draft / "third").write_text("small")
        (draft / "big").write_bytes(BIG)
    assert [p.name for p in path.iterdir()] == ["second"]
    assert [p.name for p in tmp_path.iterdir()] == ["result"]


@pytest.mark.parametrize("make", [atomic_path, atomic_folder])
def test_an_error_of_the_body_passes_and_leaves_nothing(tmp_path, make):
    with pytest.raises(ZeroDivisionError), make(tmp_path / "a") as draft:
        ((draft / "part") if draft.is_dir() else draft).write_text("part")
        _ = 1 / 0
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("make", [atomic_path, atomic_folder])
def test_a_file_in_the_way_is_named_and_kept(tmp_path, make):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RunError, match=r"file'.*choose another output folder"), make(tmp_path / "file" / "a"):
        pytest.fail("the body must not run")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_never_replaces_a_file(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RunError, match="a file of that name is in the way"), atomic_folder(tmp_path / "file"):
        pytest.fail("the body must not run")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_that_cannot_be_put_in_place_gives_the_old_one_back(tmp_path):
    path = tmp_path / "result"
    path.mkdir()
    (path / "old").write_text("old")
    with pytest.raises(RunError), atomic_folder(path) as draft:
        draft.rmdir()  # nothing to rename
    assert [p.name for p in path.iterdir()] == ["old"]
    assert [p.name for p in tmp_path.iterdir()] == ["result"]


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOSPC])
@pytest.mark.parametrize("make", [atomic_path, atomic_folder])
def test_a_place_that_takes_no_draft_is_named(tmp_path, make, number, monkeypatch):
    def refuse(*arguments, **named):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    words = f"cannot write in '{tmp_path}': {os.strerror(number)}; choose another output folder"
    with pytest.raises(RunError, match=words), make(tmp_path / "a"):
        pytest.fail("the body must not run")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("make", [atomic_path, atomic_folder])
def test_a_read_only_folder(tmp_path, make):
    tmp_path.chmod(0o555)
    try:
        if os.access(tmp_path, os.W_OK):
            pytest.skip("permissions do not bind this user")
        with pytest.raises(RunError, match=f"'{tmp_path}': Permission denied"), make(tmp_path / "a"):
            pytest.fail("the body must not run")
        assert not list(tmp_path.iterdir())
    finally:
        tmp_path.chmod(0o755)


def test_a_draft_keeps_its_suffix_and_the_usual_permissions(tmp_path):
    with atomic_path(tmp_path / "a.npz") as draft:
        assert draft.suffix == ".npz"
        draft.write_bytes(b"")
    with atomic_folder(tmp_path / "folder") as draft:
        pass
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE((tmp_path / "a.npz").stat().st_mode) == 0o666 & ~umask
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == 0o777 & ~umask


KILLED = """
import os, signal, sys
from pathlib import Path
from pgx_core.files import atomic_folder, atomic_path
make = {"folder": atomic_folder, "file": atomic_path}[sys.argv[1]]
with make(Path(sys.argv[2])) as draft:
    (draft / "part" if draft.is_dir() else draft).write_text("part")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_killed_writer_leaves_nothing_under_the_final_name(tmp_path, kind):
    root = Path(__file__).parents[1]
    subprocess.run([sys.executable, "-c", KILLED, kind, str(tmp_path / "a")], cwd=root, check=False, timeout=60)
    assert not (tmp_path / "a").exists()
    assert len(list(tmp_path.iterdir())) == 1, "the hidden draft: the process did get that far"


def _replace_and_be_killed(path: Path, moment: int, exchanges: bool) -> bool:
    """Replace a folder in a process that is killed before the `moment`-th line in `files.py` after the body. Was it?"""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    lines = itertools.count()

    def trace(frame, event, argument):
        if frame.f_code.co_filename != files.__file__:
            return None
        if event == "line" and next(lines) == moment:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace

    try:
        if not exchanges:
            files._exchange = lambda draft, path: False
        with atomic_folder(path) as draft:
            for name in ("a", "b"):
                (draft / name).write_text("new")
            sys.settrace(trace)
    finally:
        os._exit(0)


@pytest.mark.parametrize("exchanges", [True, False])  # False: as on file systems that cannot, such as NFS
def test_a_folder_is_whole_at_whatever_line_its_writer_is_killed(tmp_path, exchanges):
    path, seen = tmp_path / "a.folder", set()
    for moment in itertools.count():
        with atomic_folder(path) as draft:
            for name in ("a", "b"):
                (draft / name).write_text("old")
        killed = _replace_and_be_killed(path, moment, exchanges)
        if not exchanges:
            seen.add(path.exists())
            remove_drafts(tmp_path)
        assert sorted(p.name for p in path.iterdir()) == ["a", "b"]
        texts = {p.read_text() for p in path.iterdir()}
        assert len(texts) == 1
        seen |= texts
        remove_drafts(tmp_path)
        assert {p.read_text() for p in path.iterdir()} == texts
        assert [p.name for p in tmp_path.iterdir()] == ["a.folder"]
        if not killed:
            break
    assert moment > 15 and seen == {"old", "new"} | (set() if exchanges else {True, False}), "every case was met"
    assert texts == {"new"}


def test_an_interrupt_between_two_renames_gives_the_old_folder_back(tmp_path, monkeypatch):
    path, real = tmp_path / "a", Path.replace
    with atomic_folder(path) as draft:
        (draft / "old").write_text("old")

    def interrupted(self, target):
        if target == path and self.name == "a" and not path.exists():
            monkeypatch.undo()
            raise KeyboardInterrupt
        return real(self, target)

    monkeypatch.setattr(files, "_exchange", lambda draft, path: False)
    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt), atomic_folder(path) as draft:
        (draft / "new").write_text("new")
    assert [p.name for p in path.iterdir()] == ["old"]
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_one_works_in_a_folder_at_a_time(tmp_path):
    with locked(tmp_path):
        with pytest.raises(RunError, match="another pgx works in"), locked(tmp_path):
            pass
        with locked(tmp_path / "other"):
            pass
    with locked(tmp_path):
        pass
