"""The command line: parse, call, and turn a user's mistake into one line."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

COMMANDS = {
    "suites": "the embedded suites and their objectives",
    "train": "objectives in; groups, policies, bundle and report out (resumable)",
    "report": "write a run's report again",
    "export": "write a run's bundle again, or elsewhere",
    "verify": "check a bundle and name the first thing that is wrong",
    "play": "run a bundle in MuJoCo, switching objectives; writes a GIF and a plot",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `pgx`. Exit status: 0 done, 1 a user's mistake or a broken file, 2 usage, 130 interrupted."""
    command, *rest = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if command in ("-h", "--help"):
        print(_overview())
        return
    if command not in COMMANDS:
        sys.exit(f"pgx: no command '{command}'\n{_overview()}")
    # On small networks a second torch thread waits longer at barriers than it computes.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from pgx_core.errors import PgxError

    try:
        _run(command, rest)
    except KeyboardInterrupt:
        print("\npgx: interrupted; the same command continues from the last checkpoint", file=sys.stderr)
        sys.exit(130)
    except PgxError as error:
        sys.exit(f"pgx {command}: {error}")
    except OSError as error:
        where = f" '{error.filename}'" if error.filename else ""
        sys.exit(f"pgx {command}: {error.strerror or error}{where}")
    except ModuleNotFoundError as error:
        sys.exit(f"pgx {command}: the package '{error.name}' is missing; install pgx with the extras train, export, serve")


def _run(command: str, arguments: list[str]) -> None:
    import tyro

    # Each command imports only what it needs: a robot without torch can still verify.
    function = importlib.import_module(f"pgx_core.commands.{command}").main
    tyro.cli(function, args=arguments, prog=f"pgx {command}")


def _overview() -> str:
    lines = [f"  pgx {name:<8} {what}" for name, what in COMMANDS.items()]
    return "\n".join(["usage: pgx COMMAND [options]; `pgx COMMAND --help` explains", *lines])


if __name__ == "__main__":
    main()
