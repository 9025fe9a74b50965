"""Our library as a ROS workspace builds it, where pip has no say."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[2] / "ros2_ws" / "src"
COLCON = shutil.which("colcon", path=os.pathsep.join([str(Path(sys.prefix, "bin")), os.environ["PATH"]]))
SERVE = """
import sys
import pgx_core
from pgx_core.serving import Controller, load_bundle
Controller(load_bundle(sys.argv[1]))
print(pgx_core.__file__, *sorted({"torch", "mujoco", "rclpy"} & set(sys.modules)))
"""


@pytest.mark.skipif(COLCON is None, reason="colcon is not in this environment: `make ros` adds it")
def test_colcon_builds_the_half_of_the_library_that_serves(tmp_path: Path, runner_bundle: Path) -> None:
    folders = [f"--{name}-base={tmp_path / name}" for name in ("build", "install")]
    command = [COLCON, f"--log-base={tmp_path / 'log'}", "build", "--base-paths", SOURCES / "pgx_core", *folders]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    (site,) = (tmp_path / "install" / "pgx_core").glob("**/*-packages")
    environment = os.environ | {"PYTHONPATH": str(site)}
    served = subprocess.run(
        [sys.executable, "-c", SERVE, runner_bundle], capture_output=True, text=True, env=environment, cwd=tmp_path
    )
    assert served.stdout.split() == [str(site / "pgx_core" / "__init__.py")], served.stderr
