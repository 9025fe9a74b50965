"""What is not the robot, where an objective begins: a target, put somewhere within the bundle's ranges."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pgx_core.contract import JointStart

Placement = Mapping[str, tuple[float, float]]  # by joint: position, rad or m, and velocity, rad/s or m/s


def draw_scene(scene: Mapping[str, JointStart], rng: np.random.Generator) -> Placement:
    """A placement of the scene's joints, uniform within their ranges."""
    return {
        joint: (float(rng.uniform(*start.position)), float(rng.uniform(*start.velocity)))
        for joint, start in scene.items()
    }
