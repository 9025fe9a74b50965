"""Isaac Gym's scene for a robot: the asset, W actors with their own physics, and where everything lies.

Import it through `isaacgym_api.load` only: it imports `isaacgym`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np
import torch
from isaacgym import gymapi

from pgx_core.errors import SuiteError
from pgx_core.simulation.isaacgym_physics import check_models, drives, friction_of, ground_friction
from pgx_core.simulation.robot_model import RobotModel

HALF_SPACE = 2.0  # m: worlds lie on a grid, since thousands in one place would drown the search for contacts
FREE = int(mujoco.mjtJoint.mjJNT_FREE)


@dataclass(frozen=True)
class World:
    """A prepared simulation."""

    gym: gymapi.Gym
    sim: gymapi.Sim
    actors: np.ndarray  # index of each world's actor in the simulation
    origins: np.ndarray  # [W, 3] of each world, m
    joints: np.ndarray  # the model's hinges and slides: their numbers in MuJoCo ...
    dofs: np.ndarray  # ... and in Isaac, found by name
    bodies: dict[str, int]  # by name


def build_world(robot: RobotModel, models: Sequence[mujoco.MjModel], mjcf: Path, device: torch.device) -> World:
    """Make the simulation with one actor per model.

    Args:
        robot: what all have in common.
        models: the model of each world, varied in friction, mass and strength.
        mjcf: of the robot; a URDF beside it with the same name is taken instead.
        device: cpu, or the GPU that computes and keeps the tensors.

    Raises:
        SuiteError: the robot or a world's physics cannot be had in Isaac Gym.
    """
    check_models([robot.model, *models])
    plane = ground_friction(robot.model)
    gym = gymapi.acquire_gym()
    sim = gym.create_sim(device.index or 0, -1, gymapi.SIM_PHYSX, _parameters(robot.model, device))
    if sim is None:
        raise SuiteError(f"Isaac Gym: cannot simulate on '{device}'; its own examples show whether it works here")
    _add_ground(gym, sim, plane)
    asset, names = _load(gym, sim, robot.model, mjcf)
    joints = np.flatnonzero(robot.model.jnt_type != FREE)
    dofs = [gym.find_asset_dof_index(asset, robot.model.joint(int(joint)).name) for joint in joints]
    if -1 in dofs or gym.get_asset_dof_count(asset) != len(dofs):
        ours = ", ".join(robot.model.joint(int(joint)).name for joint in joints)
        raise SuiteError(f"Isaac Gym: expected the joints {ours}, got {', '.join(gym.get_asset_dof_names(asset))}")
    actors, origins = [], []
    for number, model in enumerate(models):
        corner = gymapi.Vec3(HALF_SPACE, HALF_SPACE, HALF_SPACE)
        env = gym.create_env(sim, gymapi.Vec3(-HALF_SPACE, -HALF_SPACE, 0.0), corner, int(len(models) ** 0.5) or 1)
        actor = gym.create_actor(env, asset, _pose(model), "robot", number, 1)  # 1: no collisions with itself
        _drive(gym, env, actor, model, np.array(dofs), joints)
        _weigh(gym, env, actor, model)
        _rub(gym, env, actor, model, plane)
        origin = gym.get_env_origin(env)
        origins.append((origin.x, origin.y, origin.z))
        actors.append(gym.get_actor_index(env, actor, gymapi.DOMAIN_SIM))
    if not gym.prepare_sim(sim):
        raise SuiteError("Isaac Gym: prepare_sim failed; its own words stand above")
    return World(gym, sim, np.array(actors), np.array(origins), joints, np.array(dofs), names)


def _parameters(model: mujoco.MjModel, device: torch.device) -> gymapi.SimParams:
    parameters, gravity = gymapi.SimParams(), [float(value) for value in model.opt.gravity]
    parameters.dt = float(model.opt.timestep)
    parameters.substeps = 1
    parameters.up_axis = gymapi.UP_AXIS_Z
    parameters.gravity = gymapi.Vec3(*gravity)
    parameters.use_gpu_pipeline = parameters.physx.use_gpu = device.type == "cuda"
    parameters.physx.solver_type = 1
    parameters.physx.num_position_iterations = 8
    parameters.physx.num_velocity_iterations = 1
    parameters.physx.contact_offset = 0.01
    parameters.physx.rest_offset = 0.0
    return parameters


def _add_ground(gym: gymapi.Gym, sim: gymapi.Sim, friction: float | None) -> None:
    if friction is None:
        return
    plane = gymapi.PlaneParams()
    plane.normal = gymapi.Vec3(0.0, 0.0, 1.0)
    plane.static_friction = plane.dynamic_friction = friction
    gym.add_ground(sim, plane)


def _load(gym: gymapi.Gym, sim: gymapi.Sim, model: mujoco.MjModel, mjcf: Path) -> tuple[gymapi.Asset, dict[str, int]]:
    options = gymapi.AssetOptions()
    options.fix_base_link = model.jnt_type[0] != FREE
    options.collapse_fixed_joints = False  # sensors sit on links that are fixed to others
    options.angular_damping = options.linear_damping = 0.0
    options.use_physx_armature = True  # of the joints, as in MuJoCo
    twin = mjcf.with_suffix(".urdf")
    asset = gym.load_asset(sim, str(mjcf.parent), twin.name if twin.exists() else mjcf.name, options)
    if asset is None:
        raise SuiteError(f"Isaac Gym: cannot load '{twin if twin.exists() else mjcf}'; its own words stand above")
    bodies = dict(gym.get_asset_rigid_body_dict(asset))
    known = {model.body(body).name for body in range(model.nbody)}
    if not bodies.keys() <= known:
        came = ", ".join(sorted(bodies.keys() - known))
        raise SuiteError(f"Isaac Gym: expected bodies that the MJCF has, got also {came}")
    return asset, bodies


def _pose(model: mujoco.MjModel) -> gymapi.Transform:
    x, y, z = (float(value) for value in model.body_pos[1])
    w, i, j, k = (float(value) for value in model.body_quat[1])
    return gymapi.Transform(gymapi.Vec3(x, y, z), gymapi.Quat(i, j, k, w))


def _drive(
    gym: gymapi.Gym, env: gymapi.Env, actor: int, model: mujoco.MjModel, dofs: np.ndarray, joints: np.ndarray
) -> None:
    """Give one actor its world's servos."""
    properties = gym.get_actor_dof_properties(env, actor)
    for name, values in vars(drives(model)).items():
        properties[name][dofs] = values[model.jnt_dofadr[joints]]
    gym.set_actor_dof_properties(env, actor, properties)


def _rub(gym: gymapi.Gym, env: gymapi.Env, actor: int, model: mujoco.MjModel, plane: float | None) -> None:
    """Give one actor its world's friction."""
    names = gym.get_actor_rigid_body_names(env, actor)
    shapes = gym.get_actor_rigid_shape_properties(env, actor)
    for name, span in zip(names, gym.get_actor_rigid_body_shape_indices(env, actor), strict=True):
        for shape in shapes[span.start : span.start + span.count]:
            shape.friction = friction_of(model, name, plane)
    gym.set_actor_rigid_shape_properties(env, actor, shapes)


def _weigh(gym: gymapi.Gym, env: gymapi.Env, actor: int, model: mujoco.MjModel) -> None:
    """Give one actor its world's masses; inertias follow them."""
    bodies = gym.get_actor_rigid_body_properties(env, actor)
    for name, body in zip(gym.get_actor_rigid_body_names(env, actor), bodies, strict=True):
        wanted = float(model.body(name).mass[0])
        if body.mass <= 0.0 or wanted <= 0.0:
            continue
        factor, body.mass = wanted / body.mass, wanted
        for row in (body.inertia.x, body.inertia.y, body.inertia.z):
            row.x, row.y, row.z = factor * row.x, factor * row.y, factor * row.z
    gym.set_actor_rigid_body_properties(env, actor, bodies, False)
