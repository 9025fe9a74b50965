"""Work in processes of this machine that end with this one."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

from pgx_core.errors import RunError

Job = Callable[[], Any]
KILLED = (
    "expected every worker process to end by itself, and one was killed, for want of memory perhaps: the same command "
    "(without --from) goes on from there; give it fewer --workers"
)


class _WorkerError(Exception):
    """Where in another process an error happened."""


def run_in_processes(
    jobs: Sequence[Job],
    count: int,
    finish: Callable[[Any], None] = lambda _: None,
    watch: Callable[[], None] = lambda: None,
    interval: float | None = None,
) -> None:
    """Call every job, in the order given, `count` at once in as many processes. An error in one ends the others.

    Plain processes and pipes: `concurrent.futures` waits for ever where one is killed while another starts.

    Args:
        jobs: what to call, one or more; they, their results and errors travel by pickle.
        count: of processes, >= 1.
        finish: called here with each job's result, as they end.
        watch: called meanwhile.
        interval: s, at most, between two calls of `watch`; None: whenever a job ends.

    Raises:
        RunError: a process was ended from outside.
        Exception: a job's own, caused by the traceback that it had there.
    """
    waiting = deque(jobs)
    working: dict[Connection, SpawnProcess] = {}
    try:
        while waiting and len(working) < count:
            link, process = _start_worker()
            working[link] = process
            _give(link, waiting.popleft())
        while working:
            ready = wait(list(working), interval)
            watch()
            for link in [one for one in working if one in ready]:
                finish(_result(link))
                if waiting:
                    _give(link, waiting.popleft())
                else:
                    link.close()
                    working.pop(link).join()
    finally:
        for process in working.values():
            process.kill()
            process.join()


def _start_worker() -> tuple[Connection, SpawnProcess]:
    spawn = multiprocessing.get_context("spawn")  # a fork would share the threads' locks, but not the threads
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_work, args=(theirs,))
    resource_tracker.ensure_running()  # started by a worker's start, it would lift the mask
    with _ctrl_c_afterwards():
        process.start()
    theirs.close()  # the worker's alone now: our end tells when it is gone
    return ours, process


@contextlib.contextmanager
def _ctrl_c_afterwards() -> Iterator[None]:
    """Hear Ctrl-C when this is over: what starts half complains. A process that starts in it never does."""
    if threading.current_thread() is not threading.main_thread():  # no other is ever interrupted
        yield
        return
    heard: list[int] = []
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # which the new process inherits
    try:
        # Other threads do not have the mask: the signal goes to one of them, and Python calls the handler here.
        handler = signal.signal(signal.SIGINT, lambda number, _: heard.append(number))
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, handler)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    if heard:
        signal.raise_signal(signal.SIGINT)


def _work(link: Connection) -> None:
    follow_parent()
    with contextlib.suppress(EOFError):  # there is nothing more to do
        while True:
            job = link.recv()
            try:
                link.send((job(), None))
            except BaseException as error:
                _report(link, error)


def _report(link: Connection, error: BaseException) -> None:
    """Send it with its traceback, which pickle leaves out; what cannot be pickled, by its words."""
    told = _WorkerError(f"in a worker process:\n{traceback.format_exc()}")
    try:
        link.send((error, told))
    except Exception:
        link.send((RuntimeError(repr(error)), told))


def _give(link: Connection, job: Job) -> None:
    try:
        link.send(job)
    except ConnectionError:
        raise RunError(KILLED) from None


def _result(link: Connection) -> Any:
    try:
        result, told = link.recv()
    except (EOFError, ConnectionError):
        raise RunError(KILLED) from None
    if told is not None:
        raise result from told
    return result


def follow_parent() -> None:
    """In a worker process: leave Ctrl-C to the parent, and end when it does, however it does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
