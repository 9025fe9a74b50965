"""Draws frames by OpenGL in a process of its own: `python -m pgx_core.report.gl_worker FOLDER`.

Reads FOLDER/model.mjb and job.npz (qpos [T, nq]; size: width, height), writes frames.npy [T, height, width, 3].
"""

from __future__ import annotations

import sys
from pathlib import Path

import mujoco
import numpy as np

from pgx_core.report.painter import SKY, View, frame_view, place, root_x, root_y, tick_spacing

GEOMS = mujoco.mjtGeom


def main(folder: Path) -> None:
    """Draw every pose of the job."""
    model = mujoco.MjModel.from_binary_path(str(folder / "model.mjb"))
    with np.load(folder / "job.npz") as job:
        qpos, (width, height) = job["qpos"], job["size"].tolist()
    _prepare(model, width, height)
    view, data = frame_view(model, qpos, width / height), mujoco.MjData(model)
    frames = np.empty((len(qpos), height, width, 3), np.uint8)
    with mujoco.Renderer(model, height, width) as renderer:
        for index, pose in enumerate(qpos):
            place(model, data, pose)
            renderer.update_scene(data, _camera(model, data, view))
            _decorate(renderer.scene, model, view, (root_x(model, data), root_y(model, data)), width / height)
            renderer.render(out=frames[index])
    np.save(folder / "frames.npy", frames)


def _camera(model: mujoco.MjModel, data: mujoco.MjData, view: View) -> mujoco.MjvCamera:
    """A camera that follows the root over the ground: from the side, or half from ahead where it moves sideways too."""
    camera = mujoco.MjvCamera()
    camera.lookat[:] = root_x(model, data), root_y(model, data), view.centre_z
    free = model.njnt > 0 and model.jnt_type[0] == mujoco.mjtJoint.mjJNT_FREE
    camera.azimuth, camera.elevation = (120.0, -18.0) if free else (90.0, -8.0)
    # What is near looks large: the nearest part is to fit, not the middle.
    camera.distance = view.depth + view.height / 2 / np.tan(np.radians(model.vis.global_.fovy) / 2)
    return camera


def _prepare(model: mujoco.MjModel, width: int, height: int) -> None:
    """Make room for the picture, save a software renderer its slowest work, and light a model that has no lamp."""
    model.vis.global_.offwidth, model.vis.global_.offheight = width, height
    model.vis.quality.offsamples, model.vis.quality.shadowsize = 2, 1024
    if model.nlight == 0:
        model.vis.headlight.ambient[:] = 0.45
        model.vis.headlight.diffuse[:] = 0.55


def _decorate(
    scene: mujoco.MjvScene, model: mujoco.MjModel, view: View, middle: tuple[float, float], aspect: float
) -> None:
    """Marks on the ground at round metres, so that motion can be seen, and a backdrop where the model has no sky."""
    spacing = tick_spacing(aspect * view.height / 2)
    first = int(np.floor(middle[0] / spacing)) - 6
    for number in range(first, first + 13):
        mark = np.array([0.006, 0.25, 0.001]) * view.height
        _add_box(scene, mark, (number * spacing, middle[1], view.ground_z), (0.9, 0.6, 0.1), glow=0.0)
    if not (model.tex_type == mujoco.mjtTexture.mjTEXTURE_SKYBOX).any():
        wall = np.array([60.0, 0.1, 60.0]) * view.height
        _add_box(scene, wall, (middle[0], middle[1] + 25 * view.height, 0.0), tuple(c / 255 for c in SKY), glow=1.0)


def _add_box(
    scene: mujoco.MjvScene, size: np.ndarray, centre: tuple[float, ...], rgb: tuple[float, ...], glow: float
) -> None:
    if scene.ngeom >= scene.maxgeom:
        return
    box = scene.geoms[scene.ngeom]
    rgba = np.array([*rgb, 1.0], np.float32)
    mujoco.mjv_initGeom(box, GEOMS.mjGEOM_BOX, size, np.array(centre), np.eye(3).ravel(), rgba)
    box.emission = glow
    scene.ngeom += 1


if __name__ == "__main__":
    main(Path(sys.argv[1]))
