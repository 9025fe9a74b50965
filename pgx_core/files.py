"""Writing results so that a file under its final name is always whole."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pgx_core.errors import RunError

DRAFT = re.compile(r"\..+\.[a-z0-9_]{8}")  # the names that `tempfile` gives to draft folders
REPLACED = ".replaced"  # in a draft folder, after the final name: the folder that stood under it
AT_FDCWD, RENAME_EXCHANGE = -100, 2  # of Linux's <fcntl.h>


def write_file(path: Path, content: bytes | str) -> None:
    """Write `path` in one step: readers see the old file or the new one, never a part.

    Raises:
        RunError: the disk is full, or the folder cannot be written.
    """
    with atomic_path(path) as draft:
        draft.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A draft path beside `path`; what the body writes there becomes `path` if the body succeeds.

    The draft keeps the file's suffixes, since some writers choose the format by them.
    """
    with _draft_folder(path) as folder:
        draft = folder / path.name
        yield draft
        _sync(draft)
        draft.replace(path)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A draft folder that replaces the folder `path` if the body succeeds, and vanishes if it fails.

    Where folders can be exchanged in one step, as on Linux's own file systems, `path` is whole at every moment: the old
    one, or the new one. Elsewhere (NFS, other systems) a process that is killed between two renames leaves nothing
    under that name, and the old one in its draft, from where `remove_drafts` puts it back.

    Raises:
        RunError: the disk is full, the place cannot be written, or `path` is a file.
    """
    with _draft_folder(path) as folder:
        draft = folder / path.name
        if path.exists() and not path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "a file of that name is in the way")
        draft.mkdir()
        yield draft
        for file in draft.rglob("*"):
            _sync(file)
        if _exchange(draft, path):
            return
        if path.exists():
            path.replace(folder / f"{path.name}{REPLACED}")
        draft.replace(path)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Nobody else who asks works in that folder meanwhile: two would remove each other's drafts and results.

    Raises:
        RunError: somebody does.
    """
    if not folder.is_dir():  # whoever looks for something in there says it better
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system that knows no locks
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise RunError(f"another pgx works in '{folder}': wait for it, or choose another folder") from error
        yield
    finally:
        os.close(descriptor)


def remove_drafts(folder: Path) -> None:
    """Remove the drafts that killed processes left in a folder and in those below. No other process may write there.

    A folder that one of them had moved away to replace it is put back first.
    """
    for path in list(folder.rglob(".*")):
        if DRAFT.fullmatch(path.name) and path.is_dir():
            _remove_draft(path)


def _exchange(draft: Path, path: Path) -> bool:
    """Let two folders change places in one step. False: there are not two, or the system cannot; nothing was done."""
    try:
        rename = ctypes.CDLL(None).renameat2
    except AttributeError:  # not Linux, or an old C library
        return False
    return bool(rename(AT_FDCWD, os.fsencode(draft), AT_FDCWD, os.fsencode(path), RENAME_EXCHANGE) == 0)


def _remove_draft(folder: Path) -> None:
    path = folder.with_name(folder.name[1:].rpartition(".")[0])
    replaced = folder / f"{path.name}{REPLACED}"
    if replaced.exists() and not path.exists():
        replaced.replace(path)  # the only copy
    shutil.rmtree(folder, ignore_errors=True)


def _sync(path: Path) -> None:
    """Bring `path` to the disk, so that a power cut after the rename does not leave an empty file."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _draft_folder(path: Path) -> Iterator[Path]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    except OSError as error:
        raise RunError(
            f"cannot write in '{path.parent}': {error.strerror or error}; choose another output folder"
        ) from error
    try:
        yield folder
    except OSError as error:
        raise RunError(
            f"cannot write '{path}': {error.strerror or error}; free some space or choose another output folder"
        ) from error
    finally:
        _remove_draft(folder)
