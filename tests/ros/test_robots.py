"""Robots of another kind than the runner, each in a running system: what moves their joints, in which message, and how
they are made safe when a sensor of their own fails or their server dies.
"""

from __future__ import annotations

import signal
import time
from pathlib import Path

import numpy as np
import pytest
from pgx_policy_server.parameters import SERVER
from std_msgs.msg import Float64MultiArray

from pgx_core.objectives.objective import Robot

from .law import Law, values_of
from .processes import wait_until
from .system import (
    ACTIONS,
    FRAME,
    LOST,
    RATE,
    SCHEDULING,
    TICK,
    TIMEOUT,
    VELOCITY_LIMIT,
    System,
    running_system,
    seconds,
)

DEFAULTS = {row.name: row.default for row in SERVER}
SENSOR, TOPIC = "tip", "/sensors/tip"
BLEND = 0.1  # s
SCALE = 0.5  # of the actions, in a range of -1 to 1
MJCF = """<mujoco>
  <option timestep="0.005" integrator="implicitfast"/>
  <worldbody>
    <body name="upper" pos="0 0 1">
      <joint name="shoulder" axis="0 1 0" damping="1"/> <geom type="capsule" fromto="0 0 0 0 0 -0.3" size="0.03"/>
      <body name="lower" pos="0 0 -0.3">
        <joint name="elbow" axis="0 1 0" damping="1"/> <geom type="capsule" fromto="0 0 0 0 0 -0.3" size="0.03"/>
        <site name="tip" pos="0 0 -0.3"/>
      </body>
    </body>
  </worldbody>
  <actuator> {shoulder} {elbow} </actuator>
  <sensor> <accelerometer name="tip" site="tip"/> </sensor>
</mujoco>"""
ACTUATORS = {
    "position": '<position joint="{}" kp="30" kv="3" ctrlrange="-1 1"/>',
    "velocity": '<velocity joint="{}" kv="3" ctrlrange="-1 1"/>',
    "effort": '<motor joint="{}" ctrlrange="-1 1"/>',
}


class Arm:
    """An arm in a system, and what it is commanded."""

    def __init__(self, system: System, command_type: str, safe_state: str) -> None:
        self.system, self.command_type, self.safe_state = system, command_type, safe_state

    @property
    def commands(self) -> np.ndarray:
        """[ticks, joints]."""
        return np.array([values_of(heard.message, self.command_type) for heard in self.system.commands])

    def serve(self, objective: str, group: str) -> None:
        """Ask for it, until its policy is at the wheel."""
        wanted = SCALE * ACTIONS[group]
        assert self.system.ask(name=objective).accepted
        wait_until(lambda: np.abs(self.commands[-1] - wanted).max() < 0.1, 10.0, f"commands of {group}")

    def is_safe(self, since: int) -> bool:
        """Whether the commands have come to the safe state: where it hangs, where it was left, or nothing at all."""
        settled = self.commands[since:][-5:]
        if self.command_type != "position":
            return bool(np.abs(settled).max() < 1e-6)
        if self.safe_state == "damp":
            return bool(np.abs(settled[-1] - self.system.joint_positions()).max() < 0.01)
        return bool((settled == settled[0]).all() and len(settled) == 5)


@pytest.mark.parametrize(
    ("command_type", "message", "safe_state"),
    [
        ("position", "trajectory", "hold"),
        ("position", "joint_state", "damp"),
        ("velocity", "joint_state", "hold"),
        ("effort", "forward", "damp"),
    ],
)
def test_every_kind_of_robot_is_served_and_made_safe_in_time(
    tmp_path: Path, laws: Law, command_type: str, message: str, safe_state: str
) -> None:
    """All commands are held to the law: in their range, and no step beyond the limit or the blend."""
    mjcf = tmp_path / "arm.xml"
    mjcf.write_text(MJCF.format(**{joint: ACTUATORS[command_type].format(joint) for joint in ("shoulder", "elbow")}))
    observation = ("joint_positions", "joint_velocities", f"sensor:{SENSOR}", "last_action")
    robot = Robot("arm", mjcf, RATE, observation, SCALE, VELOCITY_LIMIT, safe_state=safe_state)
    with running_system(tmp_path, laws, robot, message, blend_s=BLEND) as system:
        system.listen(Float64MultiArray, TOPIC, reliable=False)
        system.begin()
        arm = Arm(system, command_type, safe_state)
        for fault in ("nan", "drop"):
            arm.serve("run", "quick")
            arm.serve("walk", "calm")
            assert_safe_in_time(arm, fault)
            system.heal()
        since = len(system.commands)
        system.server.popen.send_signal(signal.SIGKILL)
        system.server.popen.wait()
        assert system.takeover(time.monotonic()) < TIMEOUT + LOST * TICK + SCHEDULING
        wait_until(lambda: arm.is_safe(since), 10.0, "the watchdog's safe command")
        system.end()


def assert_safe_in_time(arm: Arm, fault: str) -> None:
    """By the simulated clock within the sensor's age and `bad_ticks` ticks of the fault, and not sooner.

    Sensors' messages may be lost on the way, here as at the server: no good one that is heard was later than the fault.
    """
    system, mark, counted = arm.system, arm.system.mark(), len(arm.system.commands)
    system.inject(fault, SENSOR)
    in_force = time.monotonic()
    event = system.event(mark, kind="mode", target=arm.safe_state.upper()).message
    assert event.reason.startswith(f"sensor:{SENSOR}: "), event.reason
    last_good = max(h.arrival for h in system.heard[TOPIC] if np.isfinite(h.message.data).all())
    safe_at, age, bad = seconds(event.header.stamp), DEFAULTS["sensor_age_s"], DEFAULTS["bad_ticks"]
    assert safe_at - system.clock_at(last_good) >= age + (bad - 1) * TICK - 2 * FRAME
    assert safe_at - system.clock_at(in_force) <= age + (bad + LOST) * TICK + FRAME
    wait_until(lambda: arm.is_safe(counted), 10.0, "the safe command")
