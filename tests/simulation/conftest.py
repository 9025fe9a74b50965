from __future__ import annotations

from dataclasses import replace

import pytest

from pgx_core.objectives.objective import Robot

ARM = """\
<mujoco>
  <compiler angle="radian"/>
  <option timestep="0.002"/>
  <worldbody>
    <body name="base">
      <geom size="0.1" mass="1"/>
      <site name="imu"/>
      <body name="link">
        <joint name="shoulder" axis="0 1 0" range="-1.5 1.5" limited="true"/>
        <geom type="capsule" fromto="0 0 0 0.3 0 0" size="0.02" mass="0.5"/>
        <body name="tip" pos="0.3 0 0">
          <joint name="elbow" axis="0 1 0" damping="0.1"/>
          <geom type="capsule" fromto="0 0 0 0.2 0 0" size="0.02" mass="0.2"/>
        </body>
      </body>
    </body>
  </worldbody>
  <actuator>
    <position name="s" joint="shoulder" kp="20" kv="2" ctrlrange="-1 1"/>
    <position name="e" joint="elbow" kp="10" ctrlrange="-2 0.5" forcerange="-3 3"/>
  </actuator>
  <sensor><framequat name="orientation" objtype="site" objname="imu"/><touch name="touch" site="imu"/></sensor>
  <keyframe><key name="home" qpos="0.2 -0.4"/></keyframe>
</mujoco>
"""


@pytest.fixture
def make_robot(tmp_path):
    """A two-joint arm, with parts of its MJCF or fields of its `Robot` replaced."""

    def make_robot(*changes, **fields):
        text = ARM
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "arm.xml"
        path.write_text(text)
        robot = Robot("arm", path, 50.0, ("joint_positions", "joint_velocities", "projected_gravity", "sensor:touch"))
        return replace(robot, **fields)

    return make_robot
