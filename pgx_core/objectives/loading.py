"""Find a suite by name, or in a user's own Python file."""

from __future__ import annotations

import difflib
import hashlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType

from pgx_core.errors import SuiteError
from pgx_core.objectives.environment_suite import AnySuite
from pgx_core.objectives.environment_suites import ENVIRONMENT_SUITES
from pgx_core.objectives.suites import SUITES

EMBEDDED: dict[str, AnySuite] = {**SUITES, **ENVIRONMENT_SUITES}


def load_suite(reference: str) -> AnySuite:
    """The embedded suite of that name, or `FILE.py:VARIABLE` from the user's file.

    Raises:
        SuiteError: there is no such suite, or the file fails.
    """
    if ".py" in reference:
        path, _, variable = reference.partition(":")
        return _from_file(Path(path), variable or "suite")
    if reference in EMBEDDED:
        return EMBEDDED[reference]
    near = difflib.get_close_matches(reference, EMBEDDED, n=1)
    hint = f"did you mean '{near[0]}'?" if near else "your own is given as FILE.py:VARIABLE"
    raise SuiteError(f"no suite '{reference}'; embedded suites: {', '.join(EMBEDDED)}; {hint}")


def short_name(reference: str) -> str:
    """A reference as the name of a folder."""
    return reference.rpartition("/")[-1].replace(".py:", "_")


def fingerprint(reference: str, suite: AnySuite) -> str:
    """Changes when the suite's file or one of its robot's changes: results of the old one must not be mixed in.

    Of an embedded suite it is the robot alone: it does not change with the code of this library.
    """
    files = [Path(reference.partition(":")[0])] if ".py" in reference else []
    digest = hashlib.sha256(reference.encode())
    for path in (*files, *suite.files):
        digest.update(path.read_bytes() if path.is_file() else b"")
    return digest.hexdigest()


def _from_file(path: Path, variable: str) -> AnySuite:
    if not path.is_file():
        raise SuiteError(f"no file '{path}'; a suite of your own is given as FILE.py:VARIABLE")
    module = _run(path)
    suite = getattr(module, variable, None)
    if not isinstance(suite, AnySuite):
        near = difflib.get_close_matches(
            variable, [name for name, value in vars(module).items() if isinstance(value, AnySuite)], 1
        )
        hint = f"; did you mean '{near[0]}'?" if near else ""
        came = "nothing of that name" if suite is None else f"a {type(suite).__name__}"
        raise SuiteError(f"'{path}': expected a pgx Suite in the variable '{variable}', found {came}{hint}")
    return suite


def _run(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"pgx_suite_{path.stem}", path)
    assert spec and spec.loader  # a .py file always has both
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses in the file look their module up
    try:
        spec.loader.exec_module(module)
    except SuiteError:
        raise
    except Exception as error:  # the user's own code: one line with the place
        reason = " ".join(str(error).split())
        raise SuiteError(f"'{path}' line {_line(error, spec.origin)}: {type(error).__name__}: {reason}") from error
    return module


def _line(error: Exception, origin: str | None) -> int | str | None:
    """Where in the file `origin` the error came up; errors of other kinds have a `lineno` of their own (JSON)."""
    if isinstance(error, SyntaxError) and error.filename == origin:
        return error.lineno
    return next((f.lineno for f in reversed(traceback.extract_tb(error.__traceback__)) if f.filename == origin), "?")
