"""The command line: parse, call, and turn a user's mistake into one line."""

from __future__ import annotations

import contextlib
import difflib
import functools
import importlib
import io
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import NoReturn

COMMANDS = {
    "suites": "the embedded suites and their objectives",
    "train": "objectives in; groups, policies, bundle and report out (resumable)",
    "report": "write a run's report again",
    "validate": "compare a run's estimate with real training of its subsets (resumable)",
    "adapt": "meta-train by MAML, together and per group, and adapt to a suite's unseen objectives (resumable)",
    "compare": "every way to group at equal steps, over several seeds (resumable)",
    "export": "write a run's bundle again, or elsewhere",
    "verify": "check a bundle and name the first thing that is wrong",
    "play": "run a bundle in MuJoCo, switching objectives; writes a GIF and a plot",
    "switch-matrix": "try every switch between two objectives in MuJoCo, into the bundle (resumable)",
    "up": "serve a bundle over ROS on its simulated robot, until Ctrl-C",
    "objective": "command an objective of a running server, and print its answer",
    "doctor": "what is installed here, what works, and what to install for the rest",
}
MISTAKE, USAGE, INTERRUPTED = 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `pgx`. Exit status: 0 done, 1 a user's mistake or a broken file, 2 usage, 130 interrupted."""
    command, *rest = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if command in ("-h", "--help"):
        command, call = "--help", _print_overview
    elif command in COMMANDS:
        call = functools.partial(_run, command, rest)
    else:
        near = difflib.get_close_matches(command, COMMANDS, n=1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        _stop(USAGE, f"pgx: no command '{command}'; {hint}commands: {', '.join(COMMANDS)}")
    # On small networks a second torch thread waits longer at barriers than it computes.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with _leaving_at_once(f"pgx {command}: {_interrupted(command, rest)}"):
        _guard(f"pgx {command}", call)


def _interrupted(command: str, arguments: Sequence[str]) -> str:
    """What a Ctrl-C leaves behind."""
    if "(resumable)" not in COMMANDS.get(command, ""):
        return "interrupted; no file was left half written"
    # `--from` again would throw away what has been done since.
    rewinds = any(argument.split("=")[0] == "--from" for argument in arguments)
    return (
        f"interrupted; what is finished is kept, and the same command{' without --from' * rewinds} continues from there"
    )


@contextlib.contextmanager
def _leaving_at_once(message: str) -> Iterator[None]:
    """End the process in the moment of a Ctrl-C, with a message.

    Libraries catch KeyboardInterrupt: torch's exporter makes an error with a traceback of it, others go on with half
    their modules. To be killed does no harm, since results and checkpoints are written in one step.
    """

    def leave(signal_number: int, frame: object) -> None:
        os.write(2, f"\n{message}\n".encode())  # print is not for signal handlers
        os._exit(INTERRUPTED)

    usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not usual or threading.current_thread() is not threading.main_thread():
        yield  # whoever calls this function in a program of their own, or ignores the signal, has their way
        return
    signal.signal(signal.SIGINT, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _guard(name: str, call: Callable[[], None]) -> None:
    """Call, and report what a user can cause in one line. Any other exception is a fault of ours: it shows in full."""
    from pgx_core.errors import PgxError

    try:
        call()
        sys.stdout.flush()
    except PgxError as error:
        _stop(MISTAKE, f"{name}: {error}")
    except OSError as error:
        where = f" '{error.filename}'" if error.filename else ""
        _stop(MISTAKE, f"{name}: {error.strerror or error}{where}")
    except MemoryError:
        _stop(MISTAKE, f"{name}: out of memory; ask for fewer worlds, samples or episodes")
    except ModuleNotFoundError as error:
        extras = "install pgx with the extras train, export, serve"
        _stop(MISTAKE, f"{name}: the package '{error.name}' is missing; {extras}")


def _stop(status: int, message: str) -> NoReturn:
    """End the process with one line on stderr."""
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    print(" ".join(message.split()), file=sys.stderr)
    sys.exit(status)


def _run(command: str, arguments: list[str]) -> None:
    if any("isaacgym" in argument for argument in arguments):
        with contextlib.suppress(ImportError):  # the backend says it better
            importlib.import_module("isaacgym")  # it refuses to be imported after torch
    # Each command imports only what it needs: a robot without torch can still verify.
    function = importlib.import_module(f"pgx_core.commands.{command.replace('-', '_')}").main
    _parse(command, function, arguments)()


def _parse(command: str, function: Callable[..., None], arguments: list[str]) -> Callable[[], None]:
    """The call that the arguments ask for; a usage error ends the process with one line instead of a box."""
    import tyro

    @functools.wraps(function)
    def bind(*values: object, **named: object) -> Callable[[], None]:
        return functools.partial(function, *values, **named)

    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(bind, args=arguments, prog=f"pgx {command}")
    except SystemExit as ended:
        if ended.code == USAGE:
            _stop(USAGE, f"pgx {command}: {_unboxed(complaint.getvalue())}; see pgx {command} --help")
        raise


def _unboxed(text: str) -> str:
    """The words of the parser's message: without its frame, colours, title and pointer to the help."""
    lines = [line.strip("│ ") for line in re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()]
    inside = " ".join(line for line in lines if line and line[0] not in "╭╰")
    parts = [part.strip() for part in re.split("─+|-{5,}", inside)]
    if "╭" not in text:  # where the output cannot show a frame, the title stands above a rule
        parts = parts[1:] or parts
    return "; ".join(part for part in parts if part and not part.startswith("For full helptext")).rstrip(".")


def _print_overview() -> None:
    print("usage: pgx COMMAND [options]; `pgx COMMAND --help` explains")
    for name, what in COMMANDS.items():
        print(f"  pgx {name:<13} {what}")


if __name__ == "__main__":
    main()
