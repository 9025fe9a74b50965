"""Whether Isaac Gym does on this machine what MuJoCo does: `python -m pgx_core.simulation.isaacgym_check SUITE`.

Both step the same worlds from the same states under the same commands for one control step, again and again from
MuJoCo's state: contacts are chaotic, so trajectories part, but single steps must agree. Exit status 0 if they do,
else 1.
"""

from __future__ import annotations

import contextlib
import sys
from typing import Any

with contextlib.suppress(ImportError):
    import isaacgym  # noqa: F401 (it refuses to be imported after torch)

import mujoco
import numpy as np
import torch

from pgx_core.errors import PgxError, SuiteError
from pgx_core.objectives.loading import EMBEDDED
from pgx_core.objectives.objective import Suite
from pgx_core.simulation import isaacgym_api
from pgx_core.simulation.robot_model import compile_robot

WORLDS, STEPS = 16, 100
# Of the joint positions after one control step, rad or m: the two solve contacts and servos differently.
TOLERANCE = 0.02


def main(name: str = "quadruped") -> int:
    """Compare, and say how far apart they are."""
    suite = EMBEDDED.get(name)
    try:
        if not isinstance(suite, Suite):
            raise SuiteError(f"expected a robot's suite, got '{name}'; see `pgx suites`")
        errors = compare(suite, "cuda" if torch.cuda.is_available() else "cpu")
    except PgxError as error:
        print(f"isaacgym_check: {error}", file=sys.stderr)
        return 1
    typical, worst = np.median(errors), np.quantile(errors, 0.95)
    good = worst <= TOLERANCE
    print(
        f"{name}: joint positions differ by {typical:.4f} rad or m (median), {worst:.4f} (95%) after one control step; "
        f"{'within' if good else 'NOT within'} {TOLERANCE}"
    )
    return 0 if good else 1


def compare(suite: Suite, device: str, worlds: int = WORLDS, steps: int = STEPS) -> np.ndarray:
    """Largest difference of the joint positions after one control step: [steps worlds], rad or m.

    Raises:
        ConfigError: Isaac Gym cannot be imported.
        SuiteError: it cannot simulate the suite's robot.
    """
    robot = compile_robot(suite.robot)
    isaac: Any = isaacgym_api.load(robot, [robot.model] * worlds, suite.robot.mjcf, device)
    data, errors = [mujoco.MjData(robot.model) for _ in range(worlds)], []
    for world in data:
        world.qpos[:] = robot.home_qpos
    rng, everywhere = np.random.default_rng(0), torch.ones(worlds, dtype=torch.bool, device=device)
    lower, upper = np.array([(joint.lower, joint.upper) for joint in robot.contract.joints]).T
    home = np.clip([joint.default for joint in robot.contract.joints], lower, upper)
    for _ in range(steps):
        noise = 0.1 * (upper - lower) * rng.uniform(-1.0, 1.0, (worlds, len(home)))
        command = np.clip(home + noise, lower, upper)
        qpos, qvel = (np.stack([getattr(world, name) for world in data]) for name in ("qpos", "qvel"))
        isaac.reset(everywhere, *(torch.tensor(value, dtype=torch.float32, device=device) for value in (qpos, qvel)))
        isaac.step(torch.tensor(command, dtype=torch.float32, device=device))
        for world, wanted in zip(data, command, strict=True):
            world.ctrl[:] = wanted
            mujoco.mj_step(robot.model, world, nstep=robot.substeps)
        true = np.stack([world.qpos[robot.joint_qpos] for world in data])
        errors.append(np.abs(isaac.read()[0].cpu().numpy()[:, robot.joint_qpos] - true).max(1))
    return np.stack(errors)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
