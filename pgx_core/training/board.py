"""An event file for TensorBoard, written in the foreground.

The usual writer works in a thread of its own: there a full disk prints a traceback, and the training goes on.
"""

from __future__ import annotations

import contextlib
import io
import os
import time
from collections.abc import Mapping
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event, SessionLog  # type: ignore[import-untyped]
from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[import-untyped]
from tensorboard.summary.writer.record_writer import RecordWriter  # type: ignore[import-untyped]

from pgx_core.errors import RunError


class Board:
    """Scalars over steps.

    Args:
        folder: one file is added to it.
        first_step: a resumed training's; TensorBoard forgets what an interrupted one wrote from there on.

    Raises:
        RunError: the folder cannot be written.
    """

    def __init__(self, folder: Path, first_step: int | None = None) -> None:
        # TensorBoard reads the files of a folder in the order of their names.
        self._path = folder / f"events.out.tfevents.{time.time():.6f}.{os.getpid()}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("ab", buffering=0)
        except OSError as error:
            raise self._failure(error) from error
        self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))
        if first_step is not None:
            start = SessionLog(status=SessionLog.START)
            self._write(Event(wall_time=time.time(), step=first_step, session_log=start))

    def add(self, step: int, scalars: Mapping[str, float]) -> None:
        """Record the scalars of one step.

        Raises:
            RunError: they cannot be written.
        """
        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in scalars.items()]
        self._write(Event(wall_time=time.time(), step=step, summary=Summary(value=values)))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, event: Event) -> None:
        """Append one record, whole or not at all."""
        record = io.BytesIO()
        RecordWriter(record).write(event.SerializeToString())
        rest, end = record.getvalue(), self._file.tell()
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            with contextlib.suppress(OSError):
                self._file.truncate(end)
            raise self._failure(error) from error

    def _failure(self, error: OSError) -> RunError:
        return RunError(
            f"cannot write '{self._path}': {error.strerror or error}; free some space or choose another output folder"
        )
