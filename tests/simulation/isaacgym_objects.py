"""The stand-in's objects: Isaac Gym's classes, with no more fields than NVIDIA's stubs give them.

What the stand-in itself keeps in them is called `own_...`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import mujoco
import torch

from .isaacgym_stubs import stubs


class Strict:
    """A class of the stubs: only their fields can be set or read."""

    def __setattr__(self, name: str, value: Any) -> None:
        allowed = stubs()[type(self).__name__].fields
        assert name.startswith("own_") or name in allowed, f"{type(self).__name__} has no field '{name}'"
        object.__setattr__(self, name, value)


class Vec3(Strict):
    def __init__(self, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> None:
        assert all(isinstance(value, float) for value in (x, y, z))
        self.x, self.y, self.z = x, y, z


class Quat(Strict):
    def __init__(self, x: float = 0.0, y: float = 0.0, z: float = 0.0, w: float = 1.0) -> None:
        self.x, self.y, self.z, self.w = x, y, z, w


class Transform(Strict):
    def __init__(self, p: Vec3 | None = None, r: Quat | None = None) -> None:
        self.p, self.r = p or Vec3(), r or Quat()


class PhysXParams(Strict):
    pass


class SimParams(Strict):
    def __init__(self) -> None:
        self.physx, self.gravity, self.dt = PhysXParams(), Vec3(0.0, 0.0, -9.8), 1 / 60


class Asset(Strict):
    """Names come from the file that was loaded; Isaac sorts joints by its own lights, here backwards."""

    def __init__(self, path: Path, fixed: bool) -> None:
        assert path.exists()
        model = mujoco.MjModel.from_xml_path(str(path.with_suffix(".xml")))
        dofs = [model.joint(i).name for i in range(model.njnt) if model.jnt_type[i] != mujoco.mjtJoint.mjJNT_FREE]
        if path.suffix == ".urdf":
            root = ElementTree.parse(path).getroot()
            dofs = [joint.attrib["name"] for joint in root.iter("joint") if joint.get("type", "fixed") != "fixed"]
        self.own_model, self.own_fixed, self.own_dofs = model, fixed, sorted(dofs, reverse=True)
        self.own_data = mujoco.MjData(model)  # of the world that is looked at: making one takes longer than a step
        self.own_bodies = [model.body(i).name for i in range(model.nbody - 1, 0, -1)]


class Sim(Strict):
    def __init__(self, params: SimParams) -> None:
        self.own_params, self.own_envs, self.own_ready, self.own_tensors = params, [], False, {}


class Env(Strict):
    def __init__(self, sim: Sim) -> None:
        self.own_sim, self.own_number = sim, len(sim.own_envs)


class Tensor(Strict):
    """What Isaac Gym calls a tensor: torch's, wrapped."""


CLASSES: dict[str, type] = {
    kind.__name__: kind for kind in (Vec3, Quat, Transform, PhysXParams, SimParams, Asset, Sim, Env, Tensor)
}


def class_of(name: str) -> type:
    """A class of the stubs; those that need no behaviour are made as they are asked for."""
    return CLASSES.setdefault(name, type(name, (Strict,), {}))


def unwrap(tensor: torch.Tensor) -> Any:
    assert tensor.is_contiguous(), "Isaac Gym takes contiguous tensors only"
    wrapped = Tensor()
    wrapped.own_torch = tensor
    return wrapped
