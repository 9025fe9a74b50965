"""Look at this machine. Nothing heavy is imported here: what must be tried runs in processes of its own."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil
import subprocess
import sys
from dataclasses import dataclass

from pgx_core.doctor.parts import BACKENDS, PARTS, Part, Purpose

TIME_LIMIT = 120.0  # s, for one probe: the first use of warp compiles for half a minute


@dataclass(frozen=True)
class Finding:
    """One row of the table."""

    name: str
    works: bool
    detail: str  # what was found, or what is wrong
    remedy: str = ""  # what to do about it, mostly a command; empty where nothing is wrong
    needed: Purpose = ""  # what is impossible unless it works


@dataclass(frozen=True)
class Examination:
    """Everything that was found."""

    parts: tuple[Finding, ...]  # what is installed
    backends: tuple[Finding, ...]  # what can step worlds here

    @property
    def trains(self) -> bool:
        """A policy can be trained and exported here."""
        here = all(part.works for part in self.parts if part.needed == "train")
        return here and any(backend.works for backend in self.backends if backend.name == "mujoco")

    @property
    def serves(self) -> bool:
        """A bundle can be served here."""
        return all(part.works for part in self.parts if part.needed == "serve")


def examine(time_limit: float = TIME_LIMIT) -> Examination:
    """Look for every part, and try every backend whose parts are there.

    Args:
        time_limit: of each probe, s; one that takes longer counts as hanging.
    """
    parts = tuple(_part(part, time_limit) for part in PARTS)
    backends = tuple(_backend(name, modules, remedy, time_limit) for name, modules, remedy in BACKENDS)
    return Examination(parts, backends)


def _part(part: Part, time_limit: float) -> Finding:
    there = _importable(part.module) if part.module else bool(part.probe or shutil.which(part.name))
    if not there:
        return Finding(part.name, False, f"for {part.gives}", part.remedy, part.needed)
    version = _version(part)
    if not part.probe:
        return Finding(part.name, True, version or "found", needed=part.needed)
    works, line = _probe(part.probe, time_limit)
    detail = f"{version}, {line}" if version else line
    return Finding(part.name, works, detail, "" if works else f"try {part.remedy}", part.needed)


def _backend(name: str, modules: tuple[str, ...], remedy: str, time_limit: float) -> Finding:
    missing = [module for module in modules if not _importable(module)]
    if missing:
        return Finding(name, False, f"needs {', '.join(missing)}", remedy)
    works, line = _probe(f"step_{name}", time_limit)
    return Finding(name, works, line, "" if works else f"try {remedy}")


def _importable(module: str) -> bool:
    """Whether it is there; a folder that happens to have its name, and no code, is not it."""
    try:
        spec = importlib.util.find_spec(module)
        return spec is not None and spec.origin is not None
    except (ImportError, ValueError):
        return False


def _version(part: Part) -> str:
    try:
        return importlib.metadata.version(part.distribution or part.name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _probe(name: str, time_limit: float) -> tuple[bool, str]:
    """Whether a probe succeeded, and its one line."""
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "pgx_core.doctor.probes", name],
            capture_output=True, text=True, errors="replace", timeout=time_limit,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return False, f"hangs: no answer within {time_limit:g} s"
    if ended.returncode == 0:
        return True, _last(ended.stdout)
    if ended.returncode < 0:
        return False, f"crashes with signal {-ended.returncode}: {_last(ended.stderr)}"
    return False, _last(ended.stderr)


def _last(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "without a word")
