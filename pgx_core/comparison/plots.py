"""The pictures of a comparison."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pgx_core.comparison.findings import Findings
from pgx_core.comparison.statistics import Interval
from pgx_core.files import atomic_path
from pgx_core.report.labels import decimal, label, look, short_number
from pgx_core.report.plots import INK, STEPS, legend_below, strip, titled_figure
from pgx_core.results import training_curve
from pgx_core.run import Run

POINTS = 60  # of a mean curve


def save_plots(findings: Findings, runs: tuple[Run, ...], folder: Path) -> tuple[Path, ...]:
    """Write scores.png and curves.png.

    Raises:
        RunError: the folder cannot be written, or a checkpoint is damaged.
    """
    pictures = {"scores": scores_figure(findings), "curves": curves_figure(runs)}
    for name, figure in pictures.items():
        with atomic_path(folder / f"{name}.png") as draft:
            figure.savefig(draft, dpi=150)
    return tuple(folder / f"{name}.png" for name in pictures)


def scores_figure(findings: Findings) -> Figure:
    """Each method's score, and how likely it is to beat the best single policy; both with 95% intervals."""
    figure = Figure(figsize=(8.4, 0.34 * len(findings.rows) + 1.3), layout="constrained")
    FigureCanvasAgg(figure)
    steps, seeds = short_number(findings.steps), len(findings.seeds)
    title = f"{findings.suite}: {steps} environment steps each, {seeds} seeds"
    figure.suptitle(title, fontsize=11, fontweight="bold", x=0.02, ha="left")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    for axes, name, words in (
        (left, "score", "score, interquartile mean"),
        (right, "beats", "probability to beat the best single policy"),
    ):
        strip(axes)
        for place, row in enumerate(findings.rows):
            _draw(axes, place, row.method, getattr(row, name))
        axes.set_xlabel(words, fontsize=9)
        axes.grid(axis="x", color="#e4e4e4")
    right.axvline(0.5, color=INK, linewidth=0.8)
    right.set_xlim(-0.03, 1.03)
    left.set_yticks(range(len(findings.rows)), [label(row.method, findings.served) for row in findings.rows])
    left.set_ylim(len(findings.rows) - 0.5, -0.5)
    return figure


def _draw(axes: Axes, place: int, method: str, found: Interval | None) -> None:
    if found is None:
        axes.annotate("the best single policy", (0.5, place), ha="center", va="center", fontsize=8, backgroundcolor="w")
        return
    style = look(method)
    spread = np.array([[found.value - found.low], [found.high - found.value]]).clip(min=0.0)
    axes.errorbar(found.value, place, xerr=spread, color=style.colour, fmt=style.marker, capsize=2, markersize=6)
    axes.annotate(decimal(found.value), (found.value, place), (0, 5), textcoords="offset points", ha="center", size=7)


def curves_figure(runs: tuple[Run, ...]) -> Figure:
    """Mean score over objectives and seeds against environment steps; the band holds every seed."""
    figure, axes = titled_figure(3.9, title=f"{runs[0].suite.name}: mean score while training, {len(runs)} seeds")
    for method in runs[0].methods:
        curves = [training_curve(run, method) for run in runs]
        steps = np.linspace(
            max(curve.steps[0] for curve in curves), min(curve.steps[-1] for curve in curves), POINTS
        )  # seeds differ in their number of groups, and so in the steps of an iteration
        scores = np.array([np.interp(steps, curve.steps, curve.scores) for curve in curves])
        style = look(method)
        sign: dict[str, Any] = {"color": style.colour, "marker": style.marker, "markevery": POINTS // 6}
        axes.fill_between(steps, scores.min(0), scores.max(0), color=style.colour, alpha=0.15, linewidth=0)
        axes.plot(steps, scores.mean(0), label=label(method, runs[0].served), markersize=5, linewidth=1.2, **sign)
    axes.set_xlabel("environment steps, all policies together")
    axes.xaxis.set_major_formatter(STEPS)
    axes.grid(color="#e4e4e4")
    legend_below(figure, axes)
    return figure
