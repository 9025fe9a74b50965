"""The figures of a report: each a pure function of the data, drawn to be read at the width of a phone."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter

from pgx_core.report.data import ReportData
from pgx_core.report.labels import decimal, error_text, group_colour, label, look, method_labels, short_number
from pgx_core.report.verdict import Z95, mean_score

WIDTH = 4.8  # inches; text of 10 points then comes out near 10 pixels on a phone of 390
MAX_ANNOTATED = 12  # objectives; beyond it the values in the cells could not be read
INK = "#333333"
STEPS = FuncFormatter(lambda value, _: short_number(value))
PERCENT = FuncFormatter(lambda value, _: f"{100 * value:g}%")


def affinity_figure(data: ReportData) -> Figure:
    """Heat map of the affinity, objectives ordered by group; a pair that was never sampled is hatched."""
    order = np.argsort(data.partition.labels, kind="stable")
    matrix, errors = (values[np.ix_(order, order)] for values in (data.affinity.matrix, data.affinity.errors))
    labels, n = data.partition.labels[order], len(order)
    cell = float(np.clip(3.6 / n, 0.42, 0.75)) if n <= MAX_ANNOTATED else 5.0 / n
    figure, axes = titled_figure(cell * n + 1.2, max(WIDTH, cell * n + 1.3), "How much objectives help each other")
    norm = _heat_scale(matrix)
    image = axes.imshow(np.ma.masked_invalid(matrix), norm=norm, cmap="RdBu")
    for row, column in np.argwhere(np.isnan(matrix)):
        axes.add_patch(_unknown_cell(int(row), int(column)))
    if n <= MAX_ANNOTATED:
        _annotate_cells(axes, matrix, errors, norm, size=72 * cell * 0.28)
    else:
        figure.colorbar(image, ax=axes, shrink=0.7)
    for edge in np.flatnonzero(np.diff(labels)) + 0.5:
        axes.axhline(edge, color=INK, linewidth=2)
        axes.axvline(edge, color=INK, linewidth=2)
    names = [data.names[i] for i in order]
    axes.set_xticks(range(n), names, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(n), names)
    for tick, group in zip([*axes.get_xticklabels(), *axes.get_yticklabels()], [*labels, *labels], strict=True):
        tick.set_bbox({"facecolor": group_colour(int(group)), "edgecolor": "none", "pad": 1.5})
    return figure


def curves_figure(data: ReportData) -> Figure:
    """Mean score against environment steps, one line per training run."""
    figure, axes = titled_figure(3.6, title="Mean score while training")
    for curve in data.curves:
        style = look(curve.method)
        every = max(1, len(curve.steps) // 6)
        sign: dict[str, Any] = {"color": style.colour, "marker": style.marker, "markevery": every}
        axes.plot(curve.steps, curve.scores, label=label(curve.method, data.served), **sign)
    axes.set_xlabel("environment steps, all policies together")
    axes.xaxis.set_major_formatter(STEPS)
    axes.grid(color="#e4e4e4")
    legend_below(figure, axes)
    return figure


def scores_figure(data: ReportData) -> Figure:
    """Score of every objective under every method: a dot with its 95% interval."""
    n, m = len(data.names), max(1, len(data.methods))
    figure, axes = titled_figure(n * (0.11 * m + 0.15) + 1.6, title="Score of each objective")
    rows = np.arange(n)
    axes.barh(rows[1::2], 1, height=1, color="#f2f2f2", zorder=0, transform=axes.get_yaxis_transform())
    for index, (method, name) in enumerate(zip(data.methods, method_labels(data.methods, data.served), strict=True)):
        style, offset = look(method.method), 0.8 * ((index + 0.5) / m - 0.5)
        sign: dict[str, Any] = {"color": style.colour, "fmt": style.marker, "markersize": 5.5}
        axes.errorbar(method.scores, rows + offset, xerr=Z95 * method.errors, label=name, **sign)
    axes.set_yticks(rows, data.names)
    axes.set_ylim(n - 0.5, -0.5)
    axes.set_xlabel("score of an episode, 95% interval")
    axes.grid(axis="x", color="#e4e4e4")
    legend_below(figure, axes)
    return figure


def mean_scores_figure(data: ReportData) -> Figure:
    """Mean score of each method over the objectives, with its 95% interval over evaluation episodes."""
    figure, axes = titled_figure(0.34 * len(data.methods) + 1.1, title="Mean score over the objectives")
    rows = np.arange(len(data.methods))
    estimates = [mean_score(method) for method in data.methods]
    means, errors = (np.array([getattr(e, name) for e in estimates]) for name in ("mean", "error"))
    axes.barh(rows, means, color=[look(m.method).colour for m in data.methods], height=0.7)
    axes.errorbar(means, rows, xerr=Z95 * errors, fmt="none", color="black", capsize=2)
    ends = np.fmax(means, 0) + np.nan_to_num(Z95 * errors)
    _write_values(axes, ends, [decimal(e.mean) for e in estimates])
    axes.set_yticks(rows, method_labels(data.methods, data.served))
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_xlabel("mean score, 95% interval")
    return figure


def taylor_figure(data: ReportData) -> Figure:
    """Relative error of the first-order log-ratio against the step's length; the fitted steps are ticks below."""
    figure, axes = titled_figure(3.2, title="Error of the first-order estimate")
    low, median, high = np.nanpercentile(data.taylor_residuals, [25, 50, 75], axis=0)
    lengths, colour = data.taylor_lengths, look("groups_id").colour
    axes.fill_between(lengths, low, high, color=colour, alpha=0.25, linewidth=0, label="middle half of the subsets")
    axes.plot(lengths, median, color=colour, marker="o", markersize=4, label="median subset")
    axes.axhline(0.01, color="#D55E00", linestyle="--", linewidth=1.2, label="1%")
    axes.set_xscale("log")
    axes.set_yscale("log")
    steps = data.step_lengths[data.step_lengths > 0]
    foot: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "color": INK, "markersize": 10}
    axes.plot(steps, np.full(len(steps), 0.03), "|", label="fitted steps", **foot)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PERCENT)
    axes.set_xlabel("length of the step, share of the parameters' length")
    axes.set_ylabel("relative error")
    axes.grid(color="#e4e4e4")
    legend_below(figure, axes)
    return figure


def costs_figure(data: ReportData) -> Figure:
    """Seconds and environment steps of each stage."""
    figure = Figure(figsize=(WIDTH, 0.32 * len(data.costs) + 1.0), layout="constrained")
    FigureCanvasAgg(figure)
    rows = np.arange(len(data.costs))
    left, right = figure.subplots(1, 2, sharey=True)
    seconds, steps = (np.array([getattr(c, name) for c in data.costs], float) for name in ("seconds", "steps"))
    spent = [f"{value:.1f}" for value in seconds]
    panels = (left, seconds, "seconds", spent), (right, steps, "environment steps", list(map(short_number, steps)))
    for axes, values, title, texts in panels:
        strip(axes)
        axes.barh(rows, values, color="#56B4E9", height=0.7)
        _write_values(axes, values, texts)
        axes.set_title(title, fontsize=10)
        axes.set_xticks([])
        axes.spines["bottom"].set_visible(False)
    left.set_yticks(rows, [cost.stage for cost in data.costs])
    left.set_ylim(len(rows) - 0.5, -0.5)
    return figure


def titled_figure(height: float, width: float = WIDTH, title: str = "") -> tuple[Figure, Axes]:
    """An empty picture of one panel."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    figure.suptitle(title, fontsize=11, fontweight="bold", x=0.02, ha="left")
    strip(axes)
    return figure, axes


def strip(axes: Axes) -> None:
    """Take away what says nothing: two spines and the ticks."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(length=0)
    axes.set_axisbelow(True)


def legend_below(figure: Figure, axes: Axes) -> None:
    """The legend of a panel under the picture."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower left", ncols=2, fontsize=8.5, frameon=False)


def _heat_scale(matrix: np.ndarray) -> Normalize:
    """Around zero, so that the one colour is harm and the other help."""
    limit = float(np.nanmax(np.abs(matrix), initial=0.0)) or 1.0
    return Normalize(-limit, limit)


def _unknown_cell(row: int, column: int) -> Rectangle:
    corner = (column - 0.5, row - 0.5)
    return Rectangle(corner, 1, 1, facecolor="#dddddd", edgecolor="#888888", hatch="////", linewidth=0)


def _annotate_cells(axes: Axes, matrix: np.ndarray, errors: np.ndarray, norm: Normalize, size: float) -> None:
    colours = axes.get_images()[0].get_cmap()
    for (row, column), value in np.ndenumerate(matrix):
        if np.isnan(value) or row == column:  # what an objective does for itself is not a pair
            continue
        red, green, blue, _ = colours(norm(value))
        ink = "white" if 0.299 * red + 0.587 * green + 0.114 * blue < 0.5 else "black"
        centred: dict[str, Any] = {"color": ink, "ha": "center"}
        axes.text(column, row, decimal(value), fontsize=size, va="bottom", **centred)
        axes.text(column, row + 0.05, error_text(errors[row, column]), fontsize=0.75 * size, va="top", **centred)


def _write_values(axes: Axes, ends: np.ndarray, texts: list[str]) -> None:
    """Write each row's value behind its bar, and leave room for it."""
    axes.margins(x=0.25)
    for row, (end, text) in enumerate(zip(ends, texts, strict=True)):
        place = float(end) if np.isfinite(end) else 0.0
        axes.annotate(text, (place, row), (4, 0), textcoords="offset points", va="center", fontsize=9)
