"""The typed interfaces: documented, and whole after a journey between two processes."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

msgs = pytest.importorskip("pgx_msgs.msg", reason="typed interfaces are not built: `make ros` with g++ and cmake")
srvs = pytest.importorskip("pgx_msgs.srv")

SOURCE = Path(__file__).parents[2] / "ros2_ws/src/pgx_msgs"
FILES = sorted([*SOURCE.glob("msg/*.msg"), *SOURCE.glob("srv/*.srv")])

STATUS = {
    "mode": "RUN", "objective": "run", "group": "quick", "inputs": ["joint_states", "imu"], "ages": [0.01, math.inf],
    "tick_p99_ms": 1.5, "ticks": 2**63 + 5, "provider": "CPUExecutionProvider", "reason": "é\n",
}  # fmt: skip

ECHO = """
import rclpy
from pgx_msgs.srv import SetObjective

def answer(request, response):
    command = request.command
    response.accepted = list(command.weights) == [0.25, 0.75]
    response.objective = command.name
    response.group = ",".join(command.objectives)
    response.reason = f"{command.header.stamp.sec}.{command.header.stamp.nanosec}"
    return response

rclpy.init()
node = rclpy.create_node("echo")
node.create_service(SetObjective, "set_objective", answer)
print("ready", flush=True)
for _ in range(600):
    rclpy.spin_once(node, timeout_sec=0.1)
"""


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_field_is_explained(file: Path) -> None:
    """Each field stands in a block that begins with a comment, or has one at its end."""
    for block in re.split(r"\n\s*\n|\n---\n", file.read_text()):
        fields = [line for line in block.splitlines() if line and not line.startswith(("#", "---"))]
        if fields:
            assert block.lstrip("-\n").startswith("#") or all("#" in line for line in fields), f"{file.name}: {fields}"


def test_every_interface_is_built() -> None:
    built = {*dir(msgs), *dir(srvs)}
    assert {file.stem for file in FILES} <= built
    build = (SOURCE / "CMakeLists.txt").read_text()
    assert all(file.relative_to(SOURCE).as_posix() in build for file in FILES)


def test_fields_are_checked() -> None:
    with pytest.raises(AssertionError):
        msgs.ObjectiveCommand(objectives=[1, 2])
    with pytest.raises(AssertionError):
        msgs.PolicyStatus(ticks=-1)


def test_a_status_survives_serialisation() -> None:
    from rclpy.serialization import deserialize_message, serialize_message

    status = msgs.PolicyStatus(**STATUS)
    assert deserialize_message(serialize_message(status), msgs.PolicyStatus) == status


def test_a_nested_request_reaches_another_process(listener: Any) -> None:
    with subprocess.Popen([sys.executable, "-c", ECHO], stdout=subprocess.PIPE, text=True) as echo:
        try:
            assert echo.stdout and echo.stdout.readline() == "ready\n"
            command = msgs.ObjectiveCommand(name="run", objectives=["a", "b"], weights=[0.25, 0.75])
            command.header.stamp.sec, command.header.stamp.nanosec = 12, 34
            answer = listener.call(srvs.SetObjective, "/set_objective", srvs.SetObjective.Request(command=command))
        finally:
            echo.kill()
    assert (answer.accepted, answer.objective, answer.group, answer.reason) == (True, "run", "a,b", "12.34")
