"""Pictures of the robot: frames by OpenGL or the side-view painter, captions, GIFs, and the tracking plot."""

from __future__ import annotations

import io
import itertools
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import mujoco
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from PIL import Image, ImageDraw, ImageFont

from pgx_core.files import write_file
from pgx_core.report.labels import group_colour
from pgx_core.report.painter import paint_frames

NEAR = 2.0  # cm: a tool so near its target is there
GIF_LIMIT = 3_000_000  # bytes
GIF_TRIES = ((128, 1.0), (64, 1.0), (64, 0.8), (48, 0.6), (32, 0.4))  # colours and scale, until the file fits


def render_frames(
    model: mujoco.MjModel,
    qpos: Float[np.ndarray, "T nq"],
    width: int = 480,
    height: int = 270,
    captions: Sequence[str] | None = None,
) -> list[np.ndarray]:
    """Pictures [height, width, 3] uint8 of the robot, one per pose: by OpenGL where it works, else painted.

    Args:
        model: the robot and its world.
        qpos: poses, at least one.
        width: pixels.
        height: pixels.
        captions: one line of text for each frame.

    Raises:
        ValueError: the poses do not fit the model, or the captions the poses.
    """
    if qpos.ndim != 2 or qpos.shape[1] != model.nq or len(qpos) == 0:
        raise ValueError(f"qpos: expected poses [T, {model.nq}], got shape {qpos.shape}")
    frames = gl_frames(model, qpos, width, height) or paint_frames(model, qpos, width, height)
    if captions is None:
        return frames
    return [draw_caption(frame, caption) for frame, caption in zip(frames, captions, strict=True)]


def gl_frames(
    model: mujoco.MjModel, qpos: Float[np.ndarray, "T nq"], width: int, height: int
) -> list[np.ndarray] | None:
    """Frames drawn by MuJoCo's renderer, or None where no OpenGL context can be made.

    Runs in a process of its own: MuJoCo fixes its OpenGL platform when it is imported, and a broken driver
    ends the process rather than raising.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        mujoco.mj_saveModel(model, str(folder / "model.mjb"), None)
        np.savez(folder / "job.npz", qpos=qpos, size=(width, height))
        command = [sys.executable, "-m", "pgx_core.report.gl_worker", str(folder)]
        for platform in _gl_platforms():
            try:
                subprocess.run(
                    command,
                    env={**os.environ, **platform},
                    check=True,
                    capture_output=True,
                    timeout=60 + 0.5 * len(qpos),
                )
                return list(np.load(folder / "frames.npy"))
            except (subprocess.SubprocessError, OSError):
                continue
    return None


def _gl_platforms() -> list[dict[str, str]]:
    """Environment settings to try: the user's or the screen's own, else those that need no screen."""
    if sys.platform != "linux" or os.environ.get("MUJOCO_GL") or os.environ.get("DISPLAY"):
        return [{}]
    return [{"MUJOCO_GL": "egl"}, {"MUJOCO_GL": "osmesa"}]


def draw_caption(frame: np.ndarray, caption: str) -> np.ndarray:
    """The frame with a line of text on a dark band at the top; text too long for it is set smaller."""
    image = Image.fromarray(frame)
    draw = ImageDraw.Draw(image)
    size = max(11.0, image.height / 18)
    band = round(1.6 * size)
    size *= min(1.0, (image.width - 12) / max(_font(size).getlength(caption), 1.0))
    draw.rectangle((0, 0, image.width, band), fill=(27, 31, 36))
    draw.text((6, band / 2), caption, fill="white", font=_font(size), anchor="lm")
    return np.asarray(image)


def _font(size: float) -> ImageFont.FreeTypeFont:
    # matplotlib ships this font everywhere, with the signs a caption needs.
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"), size)


def write_gif(path: Path, frames: Sequence[np.ndarray], fps: float | int) -> None:
    """Write frames as a GIF that loops, with one palette, as rich and large as `GIF_TRIES` can have it under 3 MB.

    Args:
        path: the file.
        frames: pictures [height, width, 3] uint8, at least one.
        fps: frames per second; GIF counts in hundredths of a second and players refuse more than 50.

    Raises:
        RunError: the file cannot be written.
        ValueError: there is no frame.
    """
    if not frames:
        raise ValueError("a GIF needs at least one frame, got none")
    duration = max(20, 10 * round(100 / fps))
    images = [Image.fromarray(frame) for frame in frames]
    for colours, scale in GIF_TRIES:
        size = round(scale * images[0].width), round(scale * images[0].height)
        resized = [image.resize(size, Image.Resampling.LANCZOS) for image in images] if scale < 1.0 else images
        first, *others = _with_shared_palette(resized, colours)
        content = io.BytesIO()
        first.save(content, "GIF", save_all=True, append_images=others, duration=duration, loop=0, optimize=False)
        if content.tell() < GIF_LIMIT:
            break
    write_file(path, content.getvalue())


def _with_shared_palette(images: Sequence[Image.Image], colours: int) -> list[Image.Image]:
    """Every image in one palette, chosen from a few of them: still parts then stay equal, and compress."""
    sample = images[:: max(1, len(images) // 8)]
    sheet = Image.new("RGB", (sample[0].width, sample[0].height * len(sample)))
    for index, image in enumerate(sample):
        sheet.paste(image, (0, index * image.height))
    palette = sheet.quantize(colours)
    return [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]


def plot_tracking(
    times: Float[np.ndarray, "T"],
    tracks: Mapping[str, tuple[Float[np.ndarray, "T"], Float[np.ndarray, "T"]]],
    objective_names: Sequence[str],
    groups: Sequence[int],
) -> Figure:
    """Commanded and achieved motion over time; each stretch of one objective is shaded in its group's colour.

    Args:
        times: s.
        tracks: by what it is and its unit ("velocity, m/s"), one above the other: commanded (NaN where nothing is),
            achieved.
        objective_names: the objective at each time.
        groups: index of the group that serves it at each time.
    """
    figure, rows = _stretches_figure(times, objective_names, groups, len(tracks))
    for axes, (label, (commanded, achieved)) in zip(rows, tracks.items(), strict=True):
        told = not np.isnan(commanded).all()
        if told:
            axes.plot(times, commanded, color="#333333", linestyle="--", linewidth=1.5, label="commanded")
        axes.plot(times, achieved, color="#0072B2", linewidth=1.8, label="achieved" if told else "measured")
        axes.margins(x=0, y=0.15)
        axes.set_ylabel(label)
    _legend(figure, rows[-1], groups)
    return figure


def plot_distance(
    times: Float[np.ndarray, "T"],
    distance: Float[np.ndarray, "T"],
    objective_names: Sequence[str],
    groups: Sequence[int],
) -> Figure:
    """Distance of the tool from its target over time, on a logarithmic axis; see `plot_tracking`.

    Args:
        times: s.
        distance: m.
        objective_names: the objective at each time.
        groups: index of the group that serves it at each time.
    """
    figure, (axes,) = _stretches_figure(times, objective_names, groups)
    axes.plot(times, 100.0 * distance, color="#0072B2", linewidth=1.8, label="from tool to target")
    axes.axhline(NEAR, color="#333333", linestyle="--", linewidth=1.2, label=f"{NEAR:g} cm")
    axes.set_yscale("log")
    axes.set_yticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, 0.1), 2.5 * high)  # room for the names
    axes.margins(x=0)
    axes.set_ylabel("distance, cm")
    _legend(figure, axes, groups)
    return figure


def _stretches_figure(
    times: Float[np.ndarray, "T"], objective_names: Sequence[str], groups: Sequence[int], rows: int = 1
) -> tuple[Figure, list[Axes]]:
    """Rows of axes over time, each stretch of one objective named, and shaded in its group's colour."""
    stretches = objective_stretches(objective_names)
    figure = Figure(figsize=(max(7.2, 1.1 * len(stretches)), 1.8 + 1.6 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    every: list[Axes] = figure.subplots(rows, sharex=True, squeeze=False)[:, 0].tolist()
    words: dict[str, Any] = {"ha": "center", "va": "top", "fontsize": 8}
    for start, end in stretches:
        left, right = times[start], times[min(end, len(times) - 1)]
        for axes in every:
            axes.axvspan(left, right, color=group_colour(groups[start]), alpha=0.45, linewidth=0)
            axes.axvline(left, color="white", linewidth=1)
        top = every[0].get_xaxis_transform()
        every[0].text((left + right) / 2, 0.98, objective_names[start], transform=top, **words)
    every[-1].set_xlabel("time, s")
    for axes in every:
        axes.spines[["top", "right"]].set_visible(False)
    return figure, every


def _legend(figure: Figure, axes: Axes, groups: Sequence[int]) -> None:
    patches = [Patch(color=group_colour(g), alpha=0.45, label=f"group {g}") for g in sorted(set(groups))]
    lines = [line for line in axes.get_lines() if not str(line.get_label()).startswith("_")]  # matplotlib's own names
    handles = [*lines, *patches]
    figure.legend(handles=handles, loc="outside lower left", ncols=6, frameon=False, fontsize=9)


def objective_stretches(objective_names: Sequence[str]) -> list[tuple[int, int]]:
    """(first, one past last) of each run of equal names."""
    n = len(objective_names)
    edges = [i for i in range(n) if i == 0 or objective_names[i] != objective_names[i - 1]]
    return list(itertools.pairwise([*edges, n]))
