"""What holds for every file: small enough to read at a sitting, and free of paths of one machine."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MOST_LINES = 400
# In bytes, since binaries count too: an exported network can carry the stack traces of its exporter.
MACHINE_PATH = re.compile(rb"(?<![\w.~-])/(?:home|root|Users|work|workspace|tmp)/[\w.-]+")


def machine_paths(content: bytes) -> list[str]:
    """The absolute paths in a file that exist on one machine only."""
    return [match.decode() for match in MACHINE_PATH.findall(content)]


def _published_files() -> list[Path]:
    """The files git holds or would add."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: cannot tell the published files from build results")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [path for name in listing.split("\0") if name and (path := ROOT / name).is_file()]


def test_no_module_is_too_long() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in sorted((ROOT / "pgx_core").rglob("*.py"))}
    long = [f"{path.relative_to(ROOT)}: {n} lines" for path, n in lengths.items() if n > MOST_LINES]
    assert not long, f"split these (at most {MOST_LINES} lines): {long}"


def test_the_package_carries_every_file_of_its_folder(tmp_path: Path) -> None:
    command = [sys.executable, "setup.py", "-q", "build_py", "--build-lib", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=60)
    source, built = (
        {path.relative_to(base) for path in (base / "pgx_core").rglob("*") if path.is_file()}
        for base in (ROOT, tmp_path)
    )
    missing = {str(path) for path in source - built if "__pycache__" not in path.parts}
    assert not missing, f"add these to package_data in setup.py: {sorted(missing)}"


def test_no_file_names_a_path_of_one_machine() -> None:
    found = {str(path.relative_to(ROOT)): machine_paths(path.read_bytes()) for path in _published_files()}
    assert {name: paths for name, paths in found.items() if paths} == {}


@pytest.mark.parametrize("folder", ["home", "root", "Users", "work", "tmp"])
def test_a_machine_path_is_found(folder: str) -> None:
    path = f"/{folder}/someone"
    assert machine_paths(f"\0 see '{path}/pgx'".encode()) == [path]
    assert machine_paths(f"https://example.org{path} ../{folder}/someone".encode()) == []
