"""The GPU path over 64 to 16384 worlds: physics, training, features, regressions, and a whole run.

Two robots (planar runner, quadruped) by MuJoCo Warp on one GPU, against MuJoCo C on all cores of the same host, and
against the roofline: peaks measured here in a large product of matrices and a large copy, and the operations and bytes
that the work counts. Warp's physics counts each array of its state once per step, and no operations. About ten minutes.

    python benchmarks/gpu.py --out benchmarks/results/gpu

A rehearsal without a GPU:

    python benchmarks/gpu.py --device cpu --worlds 6 12 --seconds 0.1 --threads 1 --pipeline-worlds 0 --out runs/gpu
"""

from __future__ import annotations

import math
import os
import platform
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import matplotlib
import torch
import tyro
from common import write_json
from gpu_measure import Speed, measure, measure_features, measure_pipeline, measure_surrogate
from gpu_roofline import Peaks, measure_peaks

from pgx_core.errors import PgxError
from pgx_core.memory import out_of_memory
from pgx_core.objectives.objective import Suite
from pgx_core.objectives.suites import SUITES
from pgx_core.simulation.simulation import SimulationConfig

ROBOTS = ("signs", "quadruped")
# Targets on an H100, and what others publish (RTX 6000 Ada, RTX 4090), none of it measured here.
TARGETS = {"signs": 1e6, "quadruped": 2e5}
HOST_WORLDS = 1024  # more make no core faster
COLUMNS = ("suite", "backend", "worlds", "physics/s", "of roofline", "training/s", "of roofline", "busy", "GiB")


def main(
    out: Path,
    device: str = "cuda",
    worlds: tuple[int, ...] = (64, 256, 1024, 2048, 4096, 8192, 16384),
    seconds: float = 2.0,
    threads: int | None = None,
    samples: int = 131_072,
    pipeline_suite: str = "signs",
    pipeline_worlds: int = 512,
) -> None:
    """Measure, print, and write gpu.json, gpu.md and gpu.png.

    Args:
        out: folder for them.
        device: of the warp backend: cuda, cuda:N, or cpu for a rehearsal.
        worlds: numbers of worlds.
        seconds: of each measurement.
        threads: cores for MuJoCo C and for torch on the CPU; all where not given.
        samples: transitions whose features are computed.
        pipeline_suite: what the whole run is of.
        pipeline_worlds: its worlds; 0 leaves it out.
    """
    threads = threads or os.cpu_count() or 1
    torch.set_num_threads(threads)
    warp, host = SimulationConfig("warp", device), SimulationConfig(threads=threads)
    where = torch.device(device)
    peaks = measure_peaks(where)
    speeds = []
    for name in ROBOTS:
        speeds += sweep(SUITES[name], warp, worlds, peaks, seconds)
        speeds += sweep(SUITES[name], host, tuple(w for w in worlds if w <= HOST_WORLDS), peaks, seconds)
    figures: dict[str, object] = machine(where, threads) | {"peaks": asdict(peaks)}
    figures |= measure_features(where, samples, seconds) | measure_surrogate(where, seconds)
    if pipeline_worlds:
        figures |= measure_pipeline(pipeline_suite, warp, pipeline_worlds)
    save(out, figures, speeds)


def sweep(suite: Suite, config: SimulationConfig, worlds: tuple[int, ...], peaks: Peaks, seconds: float) -> list[Speed]:
    """Every number of worlds that fits into memory."""
    speeds = []
    for count in worlds:
        try:
            with out_of_memory(f"{suite.name} in {count} worlds", "--worlds"):
                speeds.append(measure(suite, config, count, peaks, seconds))
        except PgxError as error:
            print(error, flush=True)
            break
        print(row(speeds[-1]), flush=True)
    return speeds


def machine(device: torch.device, threads: int) -> dict[str, object]:
    """What the figures were taken on."""
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else "none: a rehearsal on the CPU"
    versions = {name: version(name) for name in ("torch", "mujoco", "mujoco-warp", "warp-lang")}
    return {"gpu": gpu, "processor": platform.processor() or platform.machine(), "threads": threads, **versions}


def save(out: Path, figures: dict[str, object], speeds: list[Speed]) -> None:
    """Raw numbers, tables and a picture."""
    out.mkdir(parents=True, exist_ok=True)
    plain = [{key: finite(value) for key, value in asdict(speed).items()} for speed in speeds]
    write_json(out / "gpu.json", figures | {"speeds": plain})
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS), *map(row, speeds)]
    lines += ["", "| figure | value |", "|---|---|"]
    lines += [
        f"| {name} | {f'{value:.4g}' if isinstance(value, float) else value} |" for name, value in figures.items()
    ]
    (out / "gpu.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    draw(speeds, out / "gpu.png")


def row(speed: Speed) -> str:
    """One line of the table."""
    cells = (
        speed.suite,
        speed.backend,
        f"{speed.worlds}",
        f"{speed.physics_steps:,.0f}",
        percent(speed.physics_roofline),
        f"{speed.training_steps:,.0f}",
        percent(speed.training_roofline),
        percent(speed.busy),
        "" if math.isnan(speed.memory) else f"{speed.memory / 2**30:.2f}",
    )
    return "| " + " | ".join(cells) + " |"


def percent(share: float) -> str:
    """Empty where it was not measured."""
    return "" if math.isnan(share) else f"{share:.1%}"


def finite(value: object) -> object:
    """JSON knows no NaN."""
    return None if isinstance(value, float) and math.isnan(value) else value


def draw(speeds: list[Speed], path: Path) -> None:
    """Steps per second over worlds: physics and training, a line for each robot and backend."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, both = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for axes, name in zip(both, ("physics_steps", "training_steps"), strict=True):
        for line in dict.fromkeys((speed.suite, speed.backend) for speed in speeds):
            own = [speed for speed in speeds if (speed.suite, speed.backend) == line]
            axes.loglog([s.worlds for s in own], [getattr(s, name) for s in own], "o-", label=" ".join(line))
        axes.set(xlabel="worlds", ylabel=f"{name.replace('_', ' ')} per second")
        axes.grid(alpha=0.3)
    for suite, target in TARGETS.items():
        both[1].axhline(target, linestyle=":", color="grey")
        both[1].annotate(f"target, {suite}", (1, target), xycoords=("axes fraction", "data"), ha="right", va="bottom")
    both[0].legend()
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


if __name__ == "__main__":
    tyro.cli(main)
