"""Give this Python environment a ROS 2 from wheels and build the packages of `src` into it: `make ros`.

Afterwards the environment's Python imports rclpy and pgx_msgs with nothing to source: the wheels put its `lib` on the
library path whenever it starts. On a machine with an installed ROS 2, `colcon build` alone builds the same packages.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

WORKSPACE = Path(__file__).resolve().parent
PREFIX = Path(sys.prefix)
STAMP = PREFIX / ".ros"  # written when everything is built
WITHOUT = "no ROS here, the rest goes on without it:"
BUILT_BY = re.compile(r'/opt/python/[^;"]*')  # paths of the machine that built the wheels, in their CMake files


def main() -> None:
    """Install, repair, build."""
    if reason := unsupported():
        print(WITHOUT, reason)
        return
    pip = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile", "-c", "constraints.txt")
    run(*pip, "-e", ".[ros]")
    repair()
    tools = missing_tools()
    if tools:
        print(f"to build the typed interfaces install {', '.join(tools)}, then `make ros`; until then text must do")
    build(typed=not tools)
    link()
    if not tools:
        STAMP.touch()


def unsupported() -> str:
    """Why there are no wheels for this Python; empty if there are."""
    machine, libc = f"{platform.machine()} {platform.system()}", platform.libc_ver()
    if machine != "x86_64 Linux" or libc[0] != "glibc":
        return f"expected wheels for x86_64 Linux with glibc, and this is {machine} with {libc[0] or 'another libc'}"
    if not (3, 10) <= sys.version_info < (3, 15) or sys.implementation.name != "cpython":
        return f"expected CPython 3.10 to 3.14, and this is {platform.python_implementation()} {sys.version.split()[0]}"
    if sys.prefix == sys.base_prefix:
        return "expected a virtual environment to install into, and this is the system's Python"
    return ""


def missing_tools() -> list[str]:
    """The system's packages that building typed interfaces needs and that are not there."""
    compiler = os.environ.get("CXX", "g++").split()[0]
    found = {
        "g++": shutil.which(compiler),
        "cmake": shutil.which("cmake"),
        "python3-dev": Path(sysconfig.get_path("include"), "Python.h").is_file(),
    }
    return [package for package in found if not found[package]]


def repair() -> None:
    """Make the wheels usable by CMake: their files name the Python of the machine that built them."""
    import numpy  # installed by now

    for file in (PREFIX / "share").glob("*/cmake/*_pyExport.cmake"):
        text = file.read_text()
        repaired = BUILT_BY.sub(
            lambda path: numpy.get_include() if "numpy" in path[0] else sysconfig.get_path("include"), text
        )
        if repaired != text:
            file.write_text(repaired)
    for script in ("local_setup.sh", "local_setup.bash"):  # colcon warns of a prefix without them
        (PREFIX / script).touch()


def build(typed: bool) -> None:
    """Build every package but our Python library, which pip installed, into this environment."""
    ignored = ["pgx_core"] if typed else ["pgx_core", "pgx_msgs"]
    run(
        str(PREFIX / "bin/colcon"), "--log-level", "error", "--log-base", str(PREFIX / "colcon/log"), "build",
        "--base-paths", str(WORKSPACE / "src"), "--build-base", str(PREFIX / "colcon/build"),
        "--install-base", str(PREFIX), "--merge-install", "--symlink-install", "--packages-ignore", *ignored,
        "--event-handlers", "console_start_end-", "--cmake-args", "-DBUILD_TESTING=OFF",
    )  # fmt: skip


def link() -> None:
    """Put our packages, built in place, on this Python's path; elsewhere a sourced script does it."""
    site = Path(sysconfig.get_path("purelib"))
    folders = [file.read_text().split("\n")[0] for file in sorted(site.glob("pgx-*.egg-link"))]
    (site / "ros2_ws.pth").write_text("\n".join(folders) + "\n")


def run(*command: str) -> None:
    """Run this Python with the arguments, in the repository, apart from any ROS that the shell has sourced."""
    ours = {
        "AMENT_PREFIX_PATH": str(PREFIX),
        "CMAKE_PREFIX_PATH": str(PREFIX),
        "PATH": f"{PREFIX / 'bin'}:{os.environ['PATH']}",
    }
    foreign = ("PYTHONPATH", "COLCON_PREFIX_PATH", "ROS_DISTRO", "ROS_VERSION", "ROS_PYTHON_VERSION", "MAKEFLAGS")
    rest = {name: value for name, value in os.environ.items() if name not in foreign}
    done = subprocess.run([sys.executable, *command], cwd=WORKSPACE.parent, env=rest | ours)
    if done.returncode:
        sys.exit(done.returncode)


if __name__ == "__main__":
    main()
