"""One self-contained HTML page and its pictures, from a run's data."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import jinja2
import numpy as np

from pgx_core.files import write_file
from pgx_core.report.data import ReportData
from pgx_core.report.labels import decimal, error_text, group_colour, label, look, method_labels, short_number
from pgx_core.report.pictures import Picture, draw_pictures
from pgx_core.report.trade_offs import expected_utility, hypervolume
from pgx_core.report.verdict import caveats, mean_score, verdict


@dataclass(frozen=True)
class Cell:
    """A score in the table."""

    score: str
    error: str  # empty where it was not measured
    success: str  # the same, or where the suite reports none
    best: bool


def write_report(folder: Path, data: ReportData) -> Path:
    """Write `report.html` and its pictures into `folder`; returns the page's path.

    Raises:
        RunError: the folder cannot be written.
    """
    pictures = draw_pictures(data)
    for picture in pictures:
        write_file(folder / f"{picture.name}.png", picture.png)
    page = folder / "report.html"
    write_file(page, render_page(data, pictures))
    return page


def render_page(data: ReportData, pictures: tuple[Picture, ...]) -> str:
    """The page's HTML, with the pictures inside."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=True, trim_blocks=True)
    template = environment.from_string(resources.files(__package__).joinpath("template.html").read_text("utf-8"))
    labels = method_labels(data.methods, data.served)
    return template.render(
        data=data,
        verdict=verdict(data),
        groups=[(names, group_colour(index)) for index, names in enumerate(data.partition.groups)],
        heads=[(name, look(m.method).colour) for m, name in zip(data.methods, labels, strict=True)],
        rows=[(name, score_row(data, index)) for index, name in enumerate(data.names)],
        mean_row=mean_row(data),
        pictures={picture.name: picture for picture in pictures},
        caveats=caveats(data),
        trade_offs=[
            (label(each.method, data.served), hypervolume(each.values), expected_utility(each.values))
            for each in data.trade_offs
        ],
        short=short_number,
    )


def score_row(data: ReportData, index: int) -> tuple[Cell, ...]:
    """One objective's scores under every method, the best marked."""
    return _row([(float(m.scores[index]), float(m.errors[index]), float(m.successes[index])) for m in data.methods])


def mean_row(data: ReportData) -> tuple[Cell, ...]:
    """Every method's mean score over the objectives, the best marked."""
    means = [(mean_score(method), float(np.mean(method.successes))) for method in data.methods]
    return _row([(estimate.mean, estimate.error, success) for estimate, success in means])


def _row(values: list[tuple[float, float, float]]) -> tuple[Cell, ...]:
    texts = [(decimal(score) if np.isfinite(score) else "?") for score, *_ in values]
    known = [score for score, *_ in values if np.isfinite(score)]
    best = decimal(max(known)) if known else None  # equal as shown is equal: the third digit is noise
    successes = [f"success {success:.0%}" if np.isfinite(success) else "" for *_, success in values]
    return tuple(
        Cell(text, error_text(error), success, text == best)
        for text, success, (_, error, _) in zip(texts, successes, values, strict=True)
    )
