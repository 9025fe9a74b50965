"""The planar runner is mirrored front to back: neither direction is favoured by the robot."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from pgx_core.objectives.suites import RUNNER

LEGS = np.array([3, 4, 5, 0, 1, 2])  # hind and front trade places


def mirror(q):
    """x and pitch turn, and so does each joint of the other leg."""
    return np.concatenate([[-q[0], q[1], -q[2]], -q[3:][LEGS]])


@pytest.fixture(scope="module")
def model():
    return mujoco.MjModel.from_xml_path(str(RUNNER.mjcf))


def simulate(model, qpos, qvel, control, steps):
    data = mujoco.MjData(model)
    data.qpos[:], data.qvel[:], data.ctrl[:] = qpos, qvel, control
    for _ in range(steps):
        mujoco.mj_step(model, data)
    mujoco.mj_forward(model, data)
    return data


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("height", [0.0, -0.05, 0.5])  # m above the reference pose: standing, pressed in, in the air
def test_a_mirrored_state_moves_as_the_mirror_image(model, seed, height):
    rng = np.random.default_rng(seed)
    qpos = rng.uniform(-0.3, 0.3, model.nq)
    qpos[1] = height
    qvel, control = rng.normal(size=model.nv), rng.uniform(-0.8, 0.8, model.nu)
    one = simulate(model, qpos, qvel, control, steps=5)
    other = simulate(model, mirror(qpos), mirror(qvel), -control[LEGS], steps=5)
    assert one.ncon == other.ncon
    np.testing.assert_allclose(other.qpos, mirror(one.qpos), atol=1e-6)
    np.testing.assert_allclose(other.qvel, mirror(one.qvel), atol=1e-5)
    np.testing.assert_allclose(
        other.sensor("com_velocity").data, one.sensor("com_velocity").data * [-1, 1, 1], atol=1e-5
    )


def test_it_touches_the_ground_at_rest(model):
    data = simulate(model, np.zeros(model.nq), np.zeros(model.nv), np.zeros(model.nu), steps=100)
    assert data.ncon >= 2
    assert abs(data.qpos[1]) < 0.1 and abs(data.qpos[2]) < 0.05
    np.testing.assert_allclose(data.qvel, 0.0, atol=0.02)
