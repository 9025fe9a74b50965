"""The pictures of a validation."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from pgx_core.files import atomic_path
from pgx_core.report.labels import METHOD_LOOKS
from pgx_core.report.plots import legend_below, strip
from pgx_core.validation.findings import Findings

COLOURS = tuple(METHOD_LOOKS[name].colour for name in ("groups_id", "random_id", "specialists", "cosine", "random"))
PERCENT = FuncFormatter(lambda value, _: f"{100 * value:g}%")
COLUMNS = 4  # panels side by side


def save_plots(findings: Findings, folder: Path) -> None:
    """Write scores.png, taylor.png and sensitivity.png.

    Raises:
        RunError: the folder cannot be written.
    """
    for name, draw in (("scores", scores_figure), ("taylor", taylor_figure), ("sensitivity", sensitivity_figure)):
        with atomic_path(folder / f"{name}.png") as draft:
            draw(findings).savefig(draft, dpi=150)


def scores_figure(findings: Findings) -> Figure:
    """Estimated against real f(S), a panel and colour per objective, one dot per subset that holds it."""
    names, groups = findings.groups.names, findings.groups
    n_rows = math.ceil(len(names) / COLUMNS)
    figure = _figure(
        2.3 * COLUMNS, 2.1 * n_rows + 1.2, "Estimated and real effect of training on a subset of objectives"
    )
    panels = list(figure.subplots(n_rows, COLUMNS, squeeze=False).flat)
    for i, (axes, name) in enumerate(zip(panels, names, strict=False)):
        held = findings.real.subsets[:, i]
        colour = COLOURS[groups.real[i] % len(COLOURS)]
        axes.plot(
            100 * findings.gram.values[held, i],
            findings.real.values[held, i],
            "o",
            color=colour,
            markersize=3,
            alpha=0.7,
        )
        axes.set_title(f"{name}\nSpearman {findings.correlations.spearman[i]:.2f}", fontsize=9)
        strip(axes)
    for axes in panels[len(names) :]:
        axes.set_visible(False)
    figure.supxlabel(
        "estimated: decrease of the loss on held-out transitions, x100 (colour: group by real training)",
        fontsize=9,
    )
    figure.supylabel("real: score after training on the subset", fontsize=9)
    return figure


def taylor_figure(findings: Findings) -> Figure:
    """Both errors of the first-order formula against the step's length."""
    taylor = findings.taylor
    figure = _figure(5.2, 4.4, "Error of the first-order estimate")
    axes = figure.subplots()
    lines = (
        ("of the log-ratio, adapted steps", taylor.adapted_residuals, COLOURS[0], "o-"),
        ("of the log-ratio, random steps", taylor.random_residuals, COLOURS[0], "o--"),
        ("of |log pi|, adapted steps", taylor.adapted_errors, COLOURS[1], "s-"),
        ("of |log pi|, random steps", taylor.random_errors, COLOURS[1], "s--"),
    )
    for label, errors, colour, style in lines:
        low, median, high = np.nanpercentile(errors, [25, 50, 75], axis=0)
        axes.fill_between(taylor.lengths, low, high, color=colour, alpha=0.2, linewidth=0)
        axes.plot(taylor.lengths, median, style, color=colour, markersize=4, label=label)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(taylor.lengths, minor=False)
    axes.set_xticks([], minor=True)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PERCENT)
    axes.set_xlabel("length of the step, share of the parameters' length")
    axes.set_ylabel("relative error (median and middle half)")
    axes.grid(color="#e4e4e4")
    strip(axes)
    legend_below(figure, axes)
    return figure


def sensitivity_figure(findings: Findings) -> Figure:
    """The estimate from less data, one panel per axis."""
    found = findings.sensitivity
    axes_names = list(dict.fromkeys(found.axes))
    figure = _figure(2.6 * len(axes_names), 3.3, "The estimate from less data")
    panels = figure.subplots(1, len(axes_names), sharey=True, squeeze=False)[0]
    for axes, name in zip(panels, axes_names, strict=True):
        own = np.array([axis == name for axis in found.axes])
        settings = found.settings[own]
        lines = (
            ("groups as from all data (NMI)", found.nmi_full, "o-", 7),
            ("groups as from real training (NMI)", found.nmi_real, "s-", 4),
            ("scores as from real training (Spearman)", found.spearman, "^-", 4),
        )
        for (label, values, style, size), colour in zip(lines, COLOURS, strict=False):
            axes.plot(settings, values[own], style, color=colour, markersize=size, label=label)
        if settings[-1] > 4 * settings[0]:
            axes.set_xscale("log")
        axes.set_xticks(settings, [f"{value:.0f}" for value in settings], rotation=60)
        axes.set_xticks([], minor=True)
        axes.set_xlabel(name)
        axes.set_ylim(min(0.0, float(np.nanmin(found.spearman, initial=0.0))) - 0.05, 1.05)
        axes.grid(color="#e4e4e4")
        strip(axes)
    panels[0].set_ylabel("agreement", fontsize=9)
    legend_below(figure, panels[0])
    return figure


def _figure(width: float, height: float, title: str) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=11, fontweight="bold", x=0.02, ha="left")
    return figure
