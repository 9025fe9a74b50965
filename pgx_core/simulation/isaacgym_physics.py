"""What a MuJoCo model's physics becomes in Isaac Gym's terms. Knows nothing of Isaac Gym's package."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import mujoco
import numpy as np

from pgx_core.errors import SuiteError

NONE, POSITION, VELOCITY, EFFORT = 0, 1, 2, 3  # Isaac's drive modes
UNLIMITED = 1e6  # N m or N


@dataclass(frozen=True)
class Drives:
    """Values of each degree of freedom, under the names of Isaac's dof properties."""

    driveMode: np.ndarray  # noqa: N815 (its name there)
    stiffness: np.ndarray  # N m/rad or N/m
    damping: np.ndarray  # N m s/rad or N s/m: the servo's and the joint's own
    effort: np.ndarray  # the limit, N m or N
    armature: np.ndarray  # kg m2 or kg
    friction: np.ndarray  # N m or N


def check_models(models: Sequence[mujoco.MjModel]) -> None:
    """Refuse what Isaac Gym cannot do.

    Raises:
        SuiteError: it names what.
    """
    first = models[0]
    gravities = sorted({float(model.opt.gravity[2]) for model in models})
    if len({tuple(model.opt.gravity) for model in models}) > 1:
        came = ", ".join(f"{value:g}" for value in gravities)
        raise SuiteError(f"Isaac Gym has one gravity for all worlds; the objectives ask for {came} m/s2; use mujoco")
    if int(mujoco.mjtJoint.mjJNT_BALL) in first.jnt_type or (first.jnt_type[1:] == mujoco.mjtJoint.mjJNT_FREE).any():
        raise SuiteError(
            "Isaac Gym: expected one free joint at most, hinges and slides; got a ball or a second free one"
        )
    roots = [first.body(body).name for body in range(1, first.nbody) if first.body_parentid[body] == 0]
    if len(roots) > 1:
        raise SuiteError(f"Isaac Gym: expected one body in the world, got {', '.join(roots)}; use mujoco")
    if (first.actuator_gear[:, 0] != 1.0).any() or first.actuator_biasprm[:, 0].any():
        raise SuiteError("Isaac Gym: expected actuators of gear 1 and without a constant force, got others")
    solid = (first.geom_bodyid == 0) & ((first.geom_contype | first.geom_conaffinity) != 0)
    if (first.geom_type[solid] != mujoco.mjtGeom.mjGEOM_PLANE).any():
        raise SuiteError("Isaac Gym: expected no fixed obstacle but a plane, got another solid geom in the world")
    plane = ground_friction(first)
    for model in models:
        for body in range(1, model.nbody):
            friction_of(model, model.body(body).name, plane)


def drives(model: mujoco.MjModel) -> Drives:
    """PhysX's drive is MuJoCo's servo: stiffness (target - position) - damping velocity, within the limit of effort.

    A joint's own damping joins the drive's, so for velocity servos the target must shrink: see `target_scale`.
    """
    mode, stiffness = np.zeros(model.nv, dtype=np.int64), np.zeros(model.nv)
    damping, effort = np.array(model.dof_damping), np.full(model.nv, UNLIMITED)
    for actuator in range(model.nu):
        dof = model.jnt_dofadr[model.actuator_trnid[actuator, 0]]
        _, position, velocity = model.actuator_biasprm[actuator, :3]
        mode[dof] = POSITION if position else VELOCITY if velocity else EFFORT
        stiffness[dof] = -position
        damping[dof] -= velocity
        if model.actuator_forcelimited[actuator]:
            effort[dof] = model.actuator_forcerange[actuator, 1]
    return Drives(mode, stiffness, damping, effort, np.array(model.dof_armature), np.array(model.dof_frictionloss))


def target_scale(model: mujoco.MjModel) -> np.ndarray:
    """Isaac's target for a command of 1, of each actuator."""
    found, dofs = drives(model), model.jnt_dofadr[model.actuator_trnid[:, 0]]
    kind, gain = found.driveMode[dofs], model.actuator_gainprm[:, 0]
    stiffness, damping = found.stiffness[dofs], found.damping[dofs]
    divisor = np.where(kind == POSITION, stiffness, np.where(kind == VELOCITY, damping, 1.0))
    scale: np.ndarray = gain / divisor
    return scale


def ground_friction(model: mujoco.MjModel) -> float | None:
    """Of the plane; None where nothing can stand on one."""
    planes = (model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE) & ((model.geom_contype | model.geom_conaffinity) != 0)
    return float(model.geom_friction[planes, 0].max()) if planes.any() else None


def friction_of(model: mujoco.MjModel, body: str, plane: float | None) -> float:
    """Isaac's friction of a body's shapes.

    Isaac averages the two that touch, MuJoCo takes the larger. All worlds share one plane; a shape of twice the wanted
    friction less the plane's makes the average right.

    Args:
        model: of one world.
        body: its name.
        plane: friction of the plane that all worlds share.

    Raises:
        SuiteError: the friction wanted is below half of the plane's.
    """
    own = [float(model.geom_friction[geom, 0]) for geom in np.flatnonzero(model.geom_bodyid == model.body(body).id)]
    ground = ground_friction(model)
    if ground is None or plane is None or not own:
        return max(own, default=0.0)
    wanted = max(*own, ground)
    if 2.0 * wanted < plane:
        raise SuiteError(f"Isaac Gym: expected a friction of {plane / 2:g} or more at '{body}', got {wanted:g}")
    return 2.0 * wanted - plane
