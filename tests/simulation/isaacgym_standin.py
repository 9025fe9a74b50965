"""A stand-in for Isaac Gym: every call checked against its stubs, tensors that behave like its own, simple physics.

A joint is a unit mass under its drive, times what its actor's masses were multiplied with; a free root falls. Where
bodies are and what touches comes from MuJoCo, in Isaac's conventions.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import torch

from .isaacgym_objects import CLASSES, Asset, Env, Sim, SimParams, Strict, Transform, Vec3, class_of, unwrap
from .isaacgym_stubs import check_call, constants, stubs

DOF_FIELDS = (
    *("hasLimits", "lower", "upper", "driveMode", "velocity", "effort", "stiffness", "damping"),
    *("friction", "armature"),
)
DOF_TYPES = [(name, {"hasLimits": "?", "driveMode": "i4"}.get(name, "f4")) for name in DOF_FIELDS]
NAMED = ("SimType", "IndexDomain", "UpAxis")  # the enumerations that calls are checked for
TENSORS = {"actor_root_state": 13, "dof_state": 2, "rigid_body_state": 13, "net_contact_force": 3}


@contextmanager
def installed() -> Iterator[types.ModuleType]:
    """The stand-in as the module `isaacgym`; it yields `isaacgym.gymapi`. Afterwards nothing is left of it."""
    yield _install()
    for name in ("isaacgym", "isaacgym.gymapi", "isaacgym.gymtorch"):
        sys.modules.pop(name, None)
    for name in ("isaacgym_engine", "isaacgym_world"):
        sys.modules.pop(f"pgx_core.simulation.{name}", None)


def _install() -> types.ModuleType:
    """Put modules `isaacgym`, `.gymapi` and `.gymtorch` in place of the real ones."""
    package, gymapi, gymtorch = (
        types.ModuleType(name) for name in ("isaacgym", "isaacgym.gymapi", "isaacgym.gymtorch")
    )
    for name in stubs():
        setattr(gymapi, name, class_of(name))
    for number, (name, kind) in enumerate(constants().items()):
        setattr(gymapi, name, class_of(kind)() if kind in NAMED else number)
    gymapi.acquire_gym = CLASSES["Gym"]
    gymtorch.wrap_tensor = lambda tensor: tensor.own_torch
    gymtorch.unwrap_tensor = unwrap
    package.gymapi, package.gymtorch = gymapi, gymtorch
    sys.modules |= {"isaacgym": package, "isaacgym.gymapi": gymapi, "isaacgym.gymtorch": gymtorch}
    return gymapi


class Gym(Strict):
    """Calls arrive at `_NAME` only after the stubs agreed."""

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("_"):
            return object.__getattribute__(self, name)

        def call(*positional: Any, **named: Any) -> Any:
            arguments = check_call("Gym", name, positional, named)
            return object.__getattribute__(self, f"_{name}")(*arguments.values())

        return call

    def _create_sim(self, compute: int, graphics: int, kind: Any, params: SimParams) -> Sim:
        return Sim(params)

    def _destroy_sim(self, sim: Sim) -> None:
        sim.own_ready = False

    def _add_ground(self, sim: Sim, params: Any) -> None:
        assert params.normal.z == 1.0 and params.static_friction > 0.0

    def _load_asset(self, sim: Sim, folder: str, name: str, options: Any) -> Asset:
        return Asset(Path(folder) / name, options.fix_base_link)

    def _find_asset_dof_index(self, asset: Asset, name: str) -> int:
        return asset.own_dofs.index(name) if name in asset.own_dofs else -1

    def _get_asset_dof_count(self, asset: Asset) -> int:
        return len(asset.own_dofs)

    def _get_asset_dof_names(self, asset: Asset) -> list[str]:
        return asset.own_dofs

    def _get_asset_rigid_body_dict(self, asset: Asset) -> dict[str, int]:
        return {name: index for index, name in enumerate(asset.own_bodies)}

    def _create_env(self, sim: Sim, lower: Vec3, upper: Vec3, per_row: int) -> Env:
        sim.own_envs.append(Env(sim))
        return sim.own_envs[-1]

    def _get_env_origin(self, env: Env) -> Vec3:
        return Vec3(4.0 * env.own_number, 0.0, 0.0)

    def _create_actor(self, env: Env, asset: Asset, pose: Transform, *others: Any) -> int:
        env.own_asset = asset
        env.own_dofs = np.zeros(len(asset.own_dofs), dtype=DOF_TYPES)
        env.own_shapes = [self._fill("RigidShapeProperties", friction=1.0) for _ in asset.own_bodies]
        env.own_masses = []
        for name in asset.own_bodies:
            inertia = self._fill("Mat33", x=Vec3(1.0), y=Vec3(0.0, 1.0), z=Vec3(0.0, 0.0, 1.0))
            mass = float(asset.own_model.body(name).mass[0])
            env.own_masses.append(self._fill("RigidBodyProperties", mass=mass, inertia=inertia))
        return 0

    def _fill(self, name: str, **values: Any) -> Any:
        filled = class_of(name)()
        for field, value in values.items():
            setattr(filled, field, value)
        return filled

    def _get_actor_index(self, env: Env, actor: int, domain: Any) -> int:
        return env.own_number

    def _get_actor_dof_properties(self, env: Env, actor: int) -> np.ndarray:
        return env.own_dofs.copy()

    def _set_actor_dof_properties(self, env: Env, actor: int, properties: np.ndarray) -> bool:
        env.own_dofs = properties.copy()
        return True

    def _get_actor_rigid_body_names(self, env: Env, actor: int) -> list[str]:
        return env.own_asset.own_bodies

    def _get_actor_rigid_shape_properties(self, env: Env, actor: int) -> list[Any]:
        return env.own_shapes

    def _get_actor_rigid_body_shape_indices(self, env: Env, actor: int) -> list[Any]:
        return [self._fill("IndexRange", start=start, count=1) for start in range(len(env.own_shapes))]

    def _set_actor_rigid_shape_properties(self, env: Env, actor: int, shapes: list[Any]) -> bool:
        env.own_shapes = shapes
        return True

    def _get_actor_rigid_body_properties(self, env: Env, actor: int) -> list[Any]:
        return env.own_masses

    def _set_actor_rigid_body_properties(self, env: Env, actor: int, props: list[Any], recompute: bool) -> bool:
        env.own_masses = props
        return True

    def _prepare_sim(self, sim: Sim) -> bool:
        asset, n = sim.own_envs[0].own_asset, len(sim.own_envs)
        model, rows = asset.own_model, {"actor_root_state": 1, "dof_state": len(asset.own_dofs)}
        rows |= dict.fromkeys(("rigid_body_state", "net_contact_force"), len(asset.own_bodies))
        for name, columns in TENSORS.items():
            wrapped = unwrap(torch.zeros(n * rows[name], columns))
            sim.own_tensors[name] = (wrapped, wrapped.own_torch.clone())  # what is shown, and the truth
        sim.own_tensors["actor_root_state"][1][:, 6] = 1.0
        sim.own_targets = torch.zeros(n, len(asset.own_dofs))
        sim.own_qpos = np.array([model.joint(name).qposadr[0] for name in asset.own_dofs])
        sim.own_qvel = np.array([model.joint(name).dofadr[0] for name in asset.own_dofs])
        sim.own_ready, sim.own_placed = True, True
        return True

    def _target(self, sim: Sim, tensor: Any) -> bool:
        assert sim.own_ready and tensor.own_torch.shape == (sim.own_targets.numel(),)
        sim.own_targets = tensor.own_torch.view(sim.own_targets.shape).clone()
        return True

    _set_dof_position_target_tensor = _set_dof_velocity_target_tensor = _set_dof_actuation_force_tensor = _target

    def _indexed(self, name: str, sim: Sim, tensor: Any, indices: Any, count: int) -> bool:
        truth, rows = sim.own_tensors[name][1], indices.own_torch
        assert rows.dtype == torch.int32 and rows.shape == (count,) and tensor.own_torch.shape == truth.shape
        whole = truth.view(len(sim.own_envs), -1)
        whole[rows.long()] = tensor.own_torch.view(whole.shape)[rows.long()]
        return True

    def _set_dof_state_tensor_indexed(self, *arguments: Any) -> bool:
        return self._indexed("dof_state", *arguments)

    def _set_actor_root_state_tensor_indexed(self, *arguments: Any) -> bool:
        return self._indexed("actor_root_state", *arguments)

    def _fetch_results(self, sim: Sim, wait: bool) -> None:
        assert wait

    def _simulate(self, sim: Sim) -> None:
        assert sim.own_ready
        n, dt, gravity = len(sim.own_envs), sim.own_params.dt, sim.own_params.gravity
        position, velocity = sim.own_tensors["dof_state"][1].view(n, -1, 2).unbind(-1)
        drive = {name: torch.tensor(np.stack([env.own_dofs[name] for env in sim.own_envs])) for name in DOF_FIELDS}
        mode, limit = drive["driveMode"], drive["effort"]
        aim = drive["stiffness"] * (sim.own_targets - position) * (mode == 1) - drive["damping"] * velocity
        aim += drive["damping"] * sim.own_targets * (mode == 2) + sim.own_targets * (mode == 3)
        mass = [sum(b.mass for b in e.own_masses) / e.own_asset.own_model.body_mass.sum() for e in sim.own_envs]
        velocity += dt * aim.clip(-limit, limit) / torch.tensor(mass)[:, None]
        position += dt * velocity
        roots = sim.own_tensors["actor_root_state"][1]
        if not sim.own_envs[0].own_asset.own_fixed:
            roots[:, 9] += dt * gravity.z
            roots[:, :3] += dt * roots[:, 7:10]
        sim.own_placed = False

    def _place(self, sim: Sim) -> None:
        """States of all bodies, and contact forces on them; only when asked for, since MuJoCo takes its time."""
        n, asset = len(sim.own_envs), sim.own_envs[0].own_asset
        bodies = sim.own_tensors["rigid_body_state"][1].view(n, -1, 13)
        contacts = sim.own_tensors["net_contact_force"][1].view(n, -1, 3)
        ids = [asset.own_model.body(name).id for name in asset.own_bodies]
        for world, env in enumerate(sim.own_envs):
            data, origin = self._state(sim, world), self._get_env_origin(env)
            speeds = np.zeros((len(ids), 6))
            for speed, body in zip(speeds, ids, strict=True):
                mujoco.mj_objectVelocity(asset.own_model, data, mujoco.mjtObj.mjOBJ_BODY, body, speed, 0)
            places = data.xpos[ids] + (origin.x, origin.y, origin.z)
            turns = data.xquat[ids][:, [1, 2, 3, 0]]
            bodies[world] = torch.from_numpy(np.hstack([places, turns, speeds[:, 3:], speeds[:, :3]]))
            contacts[world] = torch.from_numpy(_contacts(asset.own_model, data)[ids])

    def _state(self, sim: Sim, world: int) -> mujoco.MjData:
        """MuJoCo's view of one world, until the next one's."""
        asset, env = sim.own_envs[world].own_asset, sim.own_envs[world]
        data = asset.own_data
        mujoco.mj_resetData(asset.own_model, data)
        states = sim.own_tensors["dof_state"][1].view(len(sim.own_envs), -1, 2)[world].numpy()
        data.qpos[sim.own_qpos], data.qvel[sim.own_qvel] = states[:, 0], states[:, 1]
        if not asset.own_fixed:
            root, origin = sim.own_tensors["actor_root_state"][1][world].double().numpy(), self._get_env_origin(env)
            data.qpos[:3] = root[:3] - (origin.x, origin.y, origin.z)
            data.qpos[3:7] = root[[6, 3, 4, 5]]
            rotation = np.zeros(9)
            mujoco.mju_quat2Mat(rotation, data.qpos[3:7])
            rotation = rotation.reshape(3, 3)
            data.qvel[3:6] = rotation.T @ root[10:]
            data.qvel[:3] = root[7:10] - np.cross(root[10:], rotation @ asset.own_model.body_ipos[1])
        asset.own_model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET
        if np.isfinite(data.qpos).all() and np.isfinite(data.qvel).all():
            mujoco.mj_forward(asset.own_model, data)
        else:
            data.xpos[:] = np.nan
        return data

    def _refresh(self, name: str, sim: Sim) -> bool:
        if name in ("rigid_body_state", "net_contact_force") and not sim.own_placed:
            self._place(sim)
            sim.own_placed = True
        wrapped, truth = sim.own_tensors[name]
        wrapped.own_torch.copy_(truth)
        return True


def _contacts(model: mujoco.MjModel, data: mujoco.MjData) -> np.ndarray:
    """The net contact force on each body, in the world."""
    total, force, contacts = np.zeros((model.nbody, 3)), np.zeros(6), data.contact
    for number, (frame, geoms) in enumerate(zip(contacts.frame, contacts.geom, strict=True)):
        mujoco.mj_contactForce(model, data, number, force)
        world = frame.reshape(3, 3).T @ force[:3]
        total[model.geom_bodyid[geoms[1]]] += world
        total[model.geom_bodyid[geoms[0]]] -= world
    return total


for _name in TENSORS:
    setattr(Gym, f"_refresh_{_name}_tensor", lambda self, sim, name=_name: self._refresh(name, sim))
    setattr(Gym, f"_acquire_{_name}_tensor", lambda self, sim, name=_name: sim.own_tensors[name][0])
CLASSES["Gym"] = Gym
