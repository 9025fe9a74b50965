"""`pgx play`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import mujoco
import numpy as np
import tyro

from pgx_core.errors import require_seed
from pgx_core.files import atomic_path
from pgx_core.play import MOTIONS, Episode, load_model, play, ticks_of
from pgx_core.report.render import plot_distance, plot_tracking, render_frames, write_gif
from pgx_core.serving import load_bundle
from pgx_core.serving.manifest import BundleManifest

FRAMES_PER_SECOND = 12.5
MOST_SENSORS = 6  # in one picture


def main(
    bundle: tyro.conf.Positional[Path],
    out: Path | None = None,
    objectives: tuple[str, ...] = (),
    seconds: float = 4.0,
    mjcf: Path | None = None,
    seed: int = 0,
) -> None:
    """Run a bundle in MuJoCo, switching objectives without a reset; write a GIF and a plot.

    Args:
        bundle: bundle folder.
        out: where the pictures go; the folder `play` beside the bundle where not given.
        objectives: which objectives, in this order; where not given every one once, from the fastest command down.
        seconds: time for each objective.
        mjcf: the robot, where the bundle carries none.
        seed: of the start.
    """
    require_seed(seed, "seed")
    loaded = load_bundle(bundle)
    schedule = objectives or gentle_schedule(loaded.manifest)
    model = load_model(loaded, mjcf)
    episode = play(loaded, model, schedule, seconds, seed)
    folder = out or bundle.resolve().parent / "play"
    pictures = _draw(folder, model, episode, loaded.manifest.contract.control_rate)
    ticks = ticks_of(seconds, loaded.manifest.contract)
    for start in range(0, len(episode.times), ticks):
        print(_stretch(episode, start, start + ticks))
    if episode.refusals:
        print(f"{episode.refusals} of {len(episode.times)} ticks were refused: readings or answers were unusable")
    for stop in episode.stops:
        print(f"damped at {stop}")
    print("pictures", *pictures)


def gentle_schedule(manifest: BundleManifest) -> tuple[str, ...]:
    """Every objective once, the fastest commanded velocity first: a switch is then a small change of command."""
    ordered = sorted(manifest.objectives, key=lambda objective: -objective.command.get("velocity", 0.0))
    return tuple(objective.name for objective in ordered)


def _stretch(episode: Episode, start: int, end: int) -> str:
    """One objective's stretch in a line, with what came of it in its second half."""
    line = f"{episode.objectives[start]:<16} {episode.groups[start]}"
    late = slice((start + end) // 2, end)
    if not math.isnan(episode.distance[start]):
        return f"{line}   {100.0 * float(np.mean(episode.distance[late])):.1f} cm from the target in the second half"
    if not _shown(episode).any():
        return line + "".join(f"   {name} {np.mean(episode.observed[name][late]):.3g}" for name in _sensors(episode))
    achieved = np.mean(episode.velocity[late], 0)
    units = list(MOTIONS.items())
    return line + "".join(
        f"   {units[k][0]}: commanded {episode.target[start, k]:5.2f} {units[k][1]}, achieved {achieved[k]:5.2f}"
        for k in _told(episode, start)
    )


def _draw(folder: Path, model: mujoco.MjModel, episode: Episode, rate: float) -> list[Path]:
    """The film, and a plot of commanded velocities, of targets to be reached, or else of observed sensors."""
    every = max(1, round(rate / FRAMES_PER_SECOND))
    captions = [_caption(episode, tick) for tick in range(0, len(episode.times), every)]
    frames = render_frames(model, episode.qpos[::every], captions=captions)
    write_gif(folder / "play.gif", frames, rate / every)
    numbers = {group: index for index, group in enumerate(dict.fromkeys(episode.groups))}
    stretches = episode.objectives, [numbers[g] for g in episode.groups]
    if not np.isnan(episode.distance).all():
        figure = plot_distance(episode.times, episode.distance, *stretches)
    elif _shown(episode).any():
        tracks = {
            f"{motion}, {unit}": (episode.target[:, k], episode.velocity[:, k])
            for k, (motion, unit) in enumerate(MOTIONS.items())
            if _shown(episode)[k]
        }
        figure = plot_tracking(episode.times, tracks, *stretches)
    elif _sensors(episode):
        nothing = np.full(len(episode.times), np.nan)
        tracks = {name: (nothing, episode.observed[name]) for name in _sensors(episode)}
        figure = plot_tracking(episode.times, tracks, *stretches)
    else:
        return [folder / "play.gif"]
    with atomic_path(folder / "tracking.png") as draft:
        figure.savefig(draft, dpi=150)
    return [folder / "play.gif", folder / "tracking.png"]


def _sensors(episode: Episode) -> list[str]:
    """Of a robot whose objectives command neither motion nor target: what it observes, where that ever changes."""
    return [name for name, values in episode.observed.items() if np.ptp(values) > 0.0][:MOST_SENSORS]


def _shown(episode: Episode) -> np.ndarray:
    """Which motions are commanded at all, [3] bool: of several, those that are always 0 are left out."""
    commanded: np.ndarray = ~np.isnan(episode.target).all(0)
    moving = commanded & (np.nan_to_num(episode.target) != 0.0).any(0)
    return moving if moving.any() else commanded


def _caption(episode: Episode, tick: int) -> str:
    """Who pursues what, and how well."""
    line = f"{episode.objectives[tick]} ({episode.groups[tick]})"
    if not math.isnan(episode.distance[tick]):
        return f"{line}  {100.0 * episode.distance[tick]:.1f} cm away"
    units = list(MOTIONS.values())
    return line + "".join(
        f"  {episode.target[tick, k]:+.1f} {units[k]}  now {episode.velocity[tick, k]:+.1f}"
        for k in _told(episode, tick)
    )


def _told(episode: Episode, tick: int) -> Sequence[int]:
    """What is said of one objective: the motions that it asks for, or else the first that it wants at rest."""
    commanded = np.flatnonzero(_shown(episode) & ~np.isnan(episode.target[tick])).tolist()
    return [k for k in commanded if episode.target[tick, k] != 0.0] or commanded[:1]
