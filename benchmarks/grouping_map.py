"""When does grouping pay? Its gain over the best single policy that is told its objective, at equal steps.

One `pgx compare` for every cell: suites against the width of the networks, and against the budget. What exists is not
trained again, so a larger grid or more seeds add to what is there.

    python benchmarks/grouping_map.py --out docs/results
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import tyro
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pgx_core.comparison.findings import Findings, find
from pgx_core.comparison.seeds import EVERY_METHOD, train_seeds
from pgx_core.files import atomic_path, write_file
from pgx_core.objectives.loading import load_suite
from pgx_core.run import RunConfig
from pgx_core.scale import Workers
from pgx_core.training.methods import Method

COMPARED: tuple[Method, ...] = ("joint_id", "joint_wide_id", "random_id")
USUAL = 64  # units of each of the two hidden layers, where the budget varies


@dataclass(frozen=True)
class Cell:
    """One comparison."""

    suite: str
    width: int  # units of each hidden layer
    steps: int
    seeds: int
    k: list[int]  # groups, by seed
    groups: float  # interquartile mean of the score over seeds and objectives
    single: float  # of the best single policy
    random: float  # of as many groups drawn at random
    gain: float  # groups - single
    low: float  # its 95% interval
    high: float


def main(
    out: Path,
    suites: tuple[str, ...] = ("signs", "skills", "hierarchy", "cartpole"),
    widths: tuple[int, ...] = (4, 8, 16, 64),
    budgets: tuple[float, ...] = (0.25, 1.0, 4.0),
    seeds: int = 4,
    folder: Path = Path("runs/map"),
    workers: Workers = 1,
) -> None:
    """Train what is missing, then write map.json, map.md and map.png.

    Args:
        out: folder for them.
        suites: embedded suites, or FILE.py:VARIABLE.
        widths: units of each hidden layer, at the suite's own budget.
        budgets: factors on the suite's own steps, at the usual width.
        seeds: of each cell.
        folder: of the runs.
        workers: that do a seed each, as of `pgx compare`.
    """
    grid = dict.fromkeys([*((width, 1.0) for width in widths), *((USUAL, factor) for factor in budgets)])
    cells = [cell(folder, suite, width, factor, seeds, workers) for suite in suites for width, factor in grid]
    write_file(out / "map.json", json.dumps([asdict(one) for one in cells], indent=1) + "\n")
    write_file(out / "map.md", page(cells))
    with atomic_path(out / "map.png") as draft:
        picture(cells, suites).savefig(draft, dpi=150)


def cell(folder: Path, suite: str, width: int, factor: float, seeds: int, workers: Workers) -> Cell:
    """One comparison, trained where it is not there yet."""
    steps = round(factor * load_suite(suite).steps)
    config: RunConfig = replace(EVERY_METHOD, steps=steps, compare=COMPARED)
    config = replace(config, training=replace(config.training, hidden=(width, width)))
    found = find(train_seeds(folder / f"{suite}_{width}_{steps}", suite, config, seeds, workers=workers))
    one = summary(found, suite, width)
    print(row(one), flush=True)
    return one


def summary(found: Findings, suite: str, width: int) -> Cell:
    """The figures of the map."""
    if found.gain is None or found.best_single is None:
        raise SystemExit(f"{suite}: no single policy was compared")
    scores = {r.method: r.score.value for r in found.rows}
    gain = (found.gain.value, found.gain.low, found.gain.high)
    k = [partition.k for partition in found.partitions]
    compared = (scores[found.served], scores[found.best_single], scores["random_id"])
    return Cell(suite, width, found.steps, len(found.seeds), k, *compared, *gain)


def row(one: Cell) -> str:
    """A line of the table."""
    gain = f"{one.gain:+.3f} ({one.low:+.3f} to {one.high:+.3f})"
    groups = " ".join(map(str, one.k))
    return (
        f"| {one.suite} | {one.width} | {one.steps:,} | {groups} | {one.groups:.3f} | {one.single:.3f} "
        f"| {one.random:.3f} | {gain} |"
    )


def page(cells: list[Cell]) -> str:
    """The table."""
    heads = (
        "suite",
        "units",
        "steps",
        "groups, by seed",
        "groups + id",
        "best single + id",
        "random groups + id",
        "gain",
    )
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads), *map(row, cells)]
    return "\n".join(lines) + "\n"


def picture(cells: list[Cell], suites: tuple[str, ...]) -> Figure:
    """The gain against the width, and against the budget, a line per suite."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    usual = {suite: load_suite(suite).steps for suite in suites}
    left, right = figure.subplots(1, 2, sharey=True)
    for number, suite in enumerate(suites):
        own = [one for one in cells if one.suite == suite]
        panels = (
            (left, [(one.width, one) for one in own if one.steps == usual[suite]]),
            (right, [(one.steps / usual[suite], one) for one in own if one.width == USUAL]),
        )
        for axes, points in panels:
            points.sort(key=lambda point: point[0])
            spread = [[one.gain - one.low for _, one in points], [one.high - one.gain for _, one in points]]
            x = [place * 1.04**number for place, _ in points]  # intervals beside each other
            axes.errorbar(x, [one.gain for _, one in points], spread, marker="o", capsize=2, label=suite)
    for axes, label in ((left, "units of each hidden layer"), (right, "budget, times the suite's own")):
        axes.set_xscale("log", base=2)
        axes.axhline(0.0, color="#333333", linewidth=0.8)
        axes.set_xlabel(label)
        axes.spines[["top", "right"]].set_visible(False)
    left.set_ylabel("gain of groups over one policy")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=len(suites), frameon=False)
    return figure


if __name__ == "__main__":
    tyro.cli(main)
