"""Writing results so that a file under its final name is always whole."""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pgx_core.errors import RunError

DRAFT = re.compile(r"\..+\.[a-z0-9_]{8}")  # the names that `tempfile` gives to draft folders


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

    Raises:
        RunError: the disk is full, the place cannot be written, or `path` is a file.
    """
    with _draft_folder(path) as folder:
        draft, replaced = folder / path.name, folder / "replaced folder"
        if path.exists() and not path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "a file of that name is in the way")
        draft.mkdir()
        yield draft
        for file in draft.rglob("*"):
            _sync(file)
        if path.exists():
            path.replace(replaced)
        try:
            draft.replace(path)
        except OSError:
            if replaced.exists():
                replaced.replace(path)
            raise


def remove_drafts(folder: Path) -> None:
    """Remove the drafts that killed processes left in a folder and in those below. No other process may write there."""
    for path in list(folder.rglob(".*")):
        if DRAFT.fullmatch(path.name) and path.is_dir():
            shutil.rmtree(path, ignore_errors=True)


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
        shutil.rmtree(folder, ignore_errors=True)
