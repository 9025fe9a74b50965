"""The figures as the page shows them: drawn, described in words, and explained."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from pgx_core.report import plots
from pgx_core.report.data import ReportData
from pgx_core.report.labels import decimal, method_labels, short_number
from pgx_core.report.trade_offs import describe_trade_offs, trade_off_figure
from pgx_core.report.verdict import mean_score

DPI = 200  # pixels per inch: sharp on phones that pack two pixels into one


@dataclass(frozen=True)
class Picture:
    """A figure as the page shows it."""

    name: str  # file name without .png
    png: bytes
    alt: str  # what it shows, for those who cannot see it
    caption: str  # how to read it

    @property
    def source(self) -> str:
        """The image as a data address, so that the page needs no other file."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode()


@dataclass(frozen=True)
class Drawing:
    """How one picture is made."""

    name: str
    needs: str  # field of ReportData that must not be empty
    draw: Callable[[ReportData], Figure]
    describe: Callable[[ReportData], str]
    caption: str


def draw_pictures(data: ReportData) -> tuple[Picture, ...]:
    """Every picture for which there is data."""
    return tuple(
        Picture(each.name, png(each.draw(data)), each.describe(data), each.caption)
        for each in DRAWINGS
        if len(getattr(data, each.needs)) > 0
    )


def png(figure: Figure) -> bytes:
    """The figure as a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    return buffer.getvalue()


def _describe_affinity(data: ReportData) -> str:
    labels, matrix = data.partition.labels, data.affinity.matrix
    same = labels[:, None] == labels[None, :]
    pairs = ~np.eye(len(labels), dtype=bool) & np.isfinite(matrix)
    parts = [
        f"{place} groups on average {decimal(matrix[chosen].mean())}"
        for place, chosen in (("inside", pairs & same), ("across", pairs & ~same))
        if chosen.any()
    ]
    return f"Heat map of the affinity of {len(labels)} objectives: {', '.join(parts) or 'no pair was sampled'}."


def _describe_means(data: ReportData) -> str:
    labels = method_labels(data.methods, data.served)
    means = [f"{label} {decimal(mean_score(m).mean)}" for label, m in zip(labels, data.methods, strict=True)]
    return f"Bars of the mean score: {'; '.join(means)}."


def _describe_scores(data: ReportData) -> str:
    return f"Scores of {len(data.names)} objectives under {len(data.methods)} methods; the table holds the numbers."


def _describe_curves(data: ReportData) -> str:
    return f"Learning curves of {len(data.curves)} methods: mean score against environment steps."


def _describe_taylor(data: ReportData) -> str:
    error, length = np.nanmedian(data.taylor_residuals[:, -1]), data.taylor_lengths[-1]
    return f"Median relative error of the first-order estimate: {error:.2%} at a relative step length of {length:.2%}."


def _describe_costs(data: ReportData) -> str:
    stages = [f"{c.stage} {c.seconds:.3g} s and {short_number(c.steps)} steps" for c in data.costs]
    return f"Bars of what each stage took: {'; '.join(stages)}."


DRAWINGS = (
    Drawing(
        "affinity",
        "names",
        plots.affinity_figure,
        _describe_affinity,
        "Row and column meet where two objectives do. Blue: training them together helps; red: it harms. ± is one "
        "standard error. Lines part the groups; a hatched pair, if there is one, was never sampled.",
    ),
    Drawing(
        "taylor",
        "taylor_residuals",
        plots.taylor_figure,
        _describe_taylor,
        "The groups rest on a first-order estimate of the policy's log-ratio. This is its root mean square error, "
        "relative to the log-ratio, against the length of the step; the ticks show how long the fitted steps are.",
    ),
    Drawing(
        "mean_scores",
        "methods",
        plots.mean_scores_figure,
        _describe_means,
        "Mean over the objectives. The intervals cover evaluation episodes of one training seed.",
    ),
    Drawing(
        "curves",
        "curves",
        plots.curves_figure,
        _describe_curves,
        "All policies of a method share its steps, so equal places on the axis are equal cost.",
    ),
    Drawing(
        "scores",
        "methods",
        plots.scores_figure,
        _describe_scores,
        "The same scores objective by objective: a method can win on average and still fail one objective.",
    ),
    Drawing(
        "trade_offs",
        "trade_offs",
        trade_off_figure,
        describe_trade_offs,
        "A dot is what the policy of one objective reaches; a line joins those that no other beats in everything.",
    ),
    Drawing("costs", "costs", plots.costs_figure, _describe_costs, "What each stage took on this machine."),
)
