"""`pgx play`."""

from __future__ import annotations

from pathlib import Path

import tyro

from pgx_core.files import atomic_path
from pgx_core.play import Episode, load_model, play
from pgx_core.report.render import plot_tracking, render_frames, write_gif
from pgx_core.serving import load_bundle

FRAMES_PER_SECOND = 12.5


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
        objectives: which objectives, in this order; every one once where not given.
        seconds: time for each objective.
        mjcf: the robot, where the bundle carries none.
        seed: of the start.
    """
    loaded = load_bundle(bundle)
    schedule = objectives or tuple(objective.name for objective in loaded.manifest.objectives)
    model = load_model(loaded, mjcf)
    episode = play(loaded, model, schedule, seconds, seed)
    folder = out or bundle.resolve().parent / "play"
    _draw(folder, model, episode, loaded.manifest.contract.control_rate)
    ends = range(round(seconds * loaded.manifest.contract.control_rate) - 1, len(episode.times), round(seconds * loaded.manifest.contract.control_rate))
    for end in ends:
        half = slice(end - round(0.5 * seconds * loaded.manifest.contract.control_rate), end + 1)
        print(
            f"{episode.objectives[end]:<16} {episode.groups[end]}   commanded {episode.target[end]:6.2f} m/s   "
            f"achieved {episode.velocity[half].mean():6.2f} m/s"
        )
    print(f"pictures {folder / 'play.gif'} {folder / 'tracking.png'}")


def _draw(folder: Path, model: object, episode: Episode, rate: float) -> None:
    every = max(1, round(rate / FRAMES_PER_SECOND))
    captions = [
        f"{name} ({group})" + ("" if target != target else f"  {target:+.1f} m/s") + f"  now {velocity:+.1f}"
        for name, group, target, velocity in zip(
            episode.objectives, episode.groups, episode.target, episode.velocity, strict=True
        )
    ]
    frames = render_frames(model, episode.qpos[::every], captions=captions[::every])
    write_gif(folder / "play.gif", frames, rate / every)
    numbers = {group: index for index, group in enumerate(dict.fromkeys(episode.groups))}
    figure = plot_tracking(
        episode.times, episode.target, episode.velocity, episode.objectives, [numbers[g] for g in episode.groups]
    )
    with atomic_path(folder / "tracking.png") as draft:
        figure.savefig(draft, dpi=150)
