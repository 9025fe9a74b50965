"""A side view of a MuJoCo robot without OpenGL: each geom's silhouette in the x-z plane, painted back to front."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont

SHAPES = mujoco.mjtGeom
ANGLES = np.linspace(0, 2 * np.pi, 32, endpoint=False)
OVERSAMPLE = 2  # paint this many times larger, then shrink: smooth edges
DEFAULT_RGBA = np.array([0.5, 0.5, 0.5, 1.0], np.float32)
VISIBLE_GROUPS = 3  # MuJoCo's viewers show geom groups 0 to 2
SKY, GROUND, TICK, INK = (238, 243, 248), (214, 217, 220), (150, 156, 162), (40, 46, 52)


@dataclass(frozen=True)
class View:
    """What the picture shows, in metres. The camera follows the root in x and keeps its height."""

    centre_z: float  # height of the picture's centre
    height: float  # height of the whole picture
    ground_z: float
    depth: float = 0.0  # how far the robot reaches towards the camera


def frame_view(model: mujoco.MjModel, qpos: Float[np.ndarray, "T nq"], aspect: float) -> View:
    """A view that holds the robot at every pose, with the ground near the lower edge.

    Args:
        model: the robot and its world.
        qpos: poses.
        aspect: width over height of the picture.
    """
    data, low, high, reach, depth = mujoco.MjData(model), np.inf, -np.inf, 0.0, 0.0
    solid = robot_geoms(model)
    for pose in qpos:
        place(model, data, pose)
        centres, radii = data.geom_xpos[solid], model.geom_rbound[solid]
        low, high = min(low, (centres[:, 2] - radii).min()), max(high, (centres[:, 2] + radii).max())
        depth = max(depth, float((root_y(model, data) - centres[:, 1] + radii).max()))
        reach = max(reach, (np.abs(centres[:, 0] - root_x(model, data)) + radii).max())
    planes = np.flatnonzero(model.geom_type == SHAPES.mjGEOM_PLANE)
    ground = float(data.geom_xpos[planes[0], 2]) if len(planes) else float(low)
    top, bottom = max(high, ground), min(low, ground)
    height = max(1.25 * (top - bottom), 2.2 * reach / aspect)
    return View(bottom - 0.12 * height + height / 2, float(height), ground, depth)


def robot_geoms(model: mujoco.MjModel) -> np.ndarray:
    """Indices of the visible geoms of the moving bodies (of all visible ones if nothing moves)."""
    visible = (model.geom_group < VISIBLE_GROUPS) & (model.geom_type != SHAPES.mjGEOM_PLANE)
    moving = visible & (model.body_weldid[model.geom_bodyid] != 0)
    return np.flatnonzero(moving if moving.any() else visible)


def place(model: mujoco.MjModel, data: mujoco.MjData, pose: np.ndarray) -> None:
    """Put the robot into a pose."""
    data.qpos[:] = pose
    mujoco.mj_kinematics(model, data)
    mujoco.mj_camlight(model, data)


def root_x(model: mujoco.MjModel, data: mujoco.MjData) -> float:
    """Where the first body stands, m."""
    return float(data.xpos[1, 0]) if model.nbody > 1 else 0.0


def root_y(model: mujoco.MjModel, data: mujoco.MjData) -> float:
    """How far to the left the first body stands, m."""
    return float(data.xpos[1, 1]) if model.nbody > 1 else 0.0


def paint_frames(model: mujoco.MjModel, qpos: Float[np.ndarray, "T nq"], width: int, height: int) -> list[np.ndarray]:
    """Side views [height, width, 3] uint8, one per pose."""
    view, data = frame_view(model, qpos, width / height), mujoco.MjData(model)
    frames = []
    for pose in qpos:
        place(model, data, pose)
        canvas = Image.new("RGB", (OVERSAMPLE * width, OVERSAMPLE * height), SKY)
        _paint(ImageDraw.Draw(canvas), model, data, view, canvas.size)
        frames.append(np.asarray(canvas.resize((width, height), Image.Resampling.BOX)))
    return frames


def _paint(
    draw: ImageDraw.ImageDraw, model: mujoco.MjModel, data: mujoco.MjData, view: View, size: tuple[int, int]
) -> None:
    scale, middle = size[1] / view.height, root_x(model, data)

    def pixels(points: np.ndarray) -> list[tuple[float, float]]:
        return [(size[0] / 2 + (x - middle) * scale, size[1] / 2 - (z - view.centre_z) * scale) for x, z in points]

    _paint_ground(draw, view, middle, size, pixels)
    visible = (model.geom_group < VISIBLE_GROUPS) & (model.geom_type != SHAPES.mjGEOM_PLANE)
    # The camera looks along +y, so the largest y is farthest.
    for geom in sorted(np.flatnonzero(visible), key=lambda g: -data.geom_xpos[g, 1]):
        outline, colour = silhouette(model, data, int(geom)), _colour(model, int(geom))
        if outline is not None and colour is not None:
            draw.polygon(pixels(outline), fill=colour, outline=tuple(int(0.6 * c) for c in colour), width=OVERSAMPLE)


def _paint_ground(
    draw: ImageDraw.ImageDraw,
    view: View,
    middle: float,
    size: tuple[int, int],
    pixels: Callable[[np.ndarray], list[tuple[float, float]]],
) -> None:
    """The ground with a tick and its place in metres every half metre or more, so that motion can be seen."""
    ((_, line),) = pixels(np.array([[0.0, view.ground_z]]))
    draw.rectangle((0, line, *size), fill=GROUND)
    draw.line((0, line, size[0], line), fill=INK, width=OVERSAMPLE)
    half = view.height * size[0] / size[1] / 2
    spacing = tick_spacing(half)
    font = ImageFont.load_default(size=size[1] / 26)
    for number in range(int(np.floor((middle - half) / spacing)), int(np.ceil((middle + half) / spacing)) + 1):
        ((x, _),) = pixels(np.array([[number * spacing, view.ground_z]]))
        draw.line((x, line, x, line + size[1] / 40), fill=TICK, width=OVERSAMPLE)
        draw.text((x, line + size[1] / 36), f"{number * spacing:g} m", fill=INK, font=font, anchor="mt")


def tick_spacing(half_width: float) -> float:
    """Metres between two marks on the ground: three to eight marks are in sight."""
    return next((step for step in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0) if 2 * half_width / step <= 8), 10.0)


def _colour(model: mujoco.MjModel, geom: int) -> tuple[int, ...] | None:
    """8-bit RGB of a geom, mixed with the sky where it is translucent; None where it is invisible."""
    material, rgba = model.geom_matid[geom], model.geom_rgba[geom]
    if material >= 0 and (rgba == DEFAULT_RGBA).all():  # as in MuJoCo, the geom's own colour goes first
        rgba = model.mat_rgba[material]
    if rgba[3] == 0:
        return None
    mixed = 255 * rgba[:3] * rgba[3] + np.array(SKY) * (1 - rgba[3])
    return tuple(int(c) for c in np.clip(mixed, 0, 255))


def silhouette(model: mujoco.MjModel, data: mujoco.MjData, geom: int) -> Float[np.ndarray, "K 2"] | None:
    """The outline (x, z) in the world of a convex geom seen along y; None for a shape that is not painted.

    The farthest point of a convex body in each direction of the x-z plane projects onto its outline.
    """
    rotation = data.geom_xmat[geom].reshape(3, 3)
    directions = np.stack([np.cos(ANGLES), np.zeros_like(ANGLES), np.sin(ANGLES)], -1)
    farthest = _support(model, geom, directions @ rotation)
    if farthest is None:
        return None
    points: np.ndarray = farthest @ rotation.T + data.geom_xpos[geom]
    return points[:, [0, 2]]


def _support(model: mujoco.MjModel, geom: int, d: Float[np.ndarray, "K 3"]) -> Any:
    """The farthest point [K, 3] of a geom in each direction d, both in its own frame; None for other shapes."""
    kind, size = model.geom_type[geom], model.geom_size[geom]
    radius, along = size[0], np.where(d[:, 2:] >= 0, 1.0, -1.0) * np.array([0.0, 0.0, size[1]])
    if kind == SHAPES.mjGEOM_SPHERE:
        return _unit(d) * radius
    if kind == SHAPES.mjGEOM_CAPSULE:
        return _unit(d) * radius + along
    if kind == SHAPES.mjGEOM_CYLINDER:
        return _unit(d * [1.0, 1.0, 0.0]) * radius + along
    if kind == SHAPES.mjGEOM_ELLIPSOID:
        return _unit(d * size) * size
    if kind == SHAPES.mjGEOM_BOX:
        return np.where(d >= 0, 1.0, -1.0) * size
    if kind == SHAPES.mjGEOM_MESH:
        mesh = model.geom_dataid[geom]
        start, count = model.mesh_vertadr[mesh], model.mesh_vertnum[mesh]
        vertices = model.mesh_vert[start : start + count]
        return vertices[(d @ vertices.T).argmax(-1)]
    return None


def _unit(vectors: Float[np.ndarray, "K 3"]) -> Float[np.ndarray, "K 3"]:
    unit: np.ndarray = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    return unit
