"""What the benchmarks share."""

from __future__ import annotations

import functools
import json
import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("numpy", "torch", "mujoco", "scikit-learn", "onnxruntime")  # that speed and figures depend on


def write_json(path: Path | None, figures: dict[str, Any]) -> None:
    """Write the figures where `--json` asks for it, and as "made" how they came about."""
    if path:
        path.write_text(json.dumps({**figures, "made": provenance()}, indent=2) + "\n")


@functools.cache  # a soak writes every minute, and must not start processes
def provenance() -> dict[str, Any]:
    """The command, the commit ("+" where files differ from it), and what it ran on."""
    return {
        "command": " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]]),
        "commit": _commit(),
        "python": platform.python_version(),
        **{name: installed for name in PACKAGES if (installed := _version(name))},
        "processors": os.cpu_count(),
    }


def _commit() -> str:
    """Empty outside of a clone."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--exclude=*", "--dirty=+"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
