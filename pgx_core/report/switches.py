"""The switch matrix as a heat map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

CELL = 0.62  # inches


def switch_figure(
    names: Sequence[str], falls: Mapping[tuple[str, str], tuple[int, int]], settling: Mapping[tuple[str, str], str]
) -> Figure:
    """Share of falls of every switch, from the row's objective to the column's.

    Args:
        names: the objectives.
        falls: falls and tries by pair.
        settling: a second line in the cell, by pair.
    """
    n = len(names)
    rates = np.full((n, n), np.nan)
    for (source, target), (fell, tried) in falls.items():
        rates[names.index(source), names.index(target)] = fell / tried if tried else np.nan
    figure = Figure(figsize=(CELL * n + 2.2, CELL * n + 1.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    figure.suptitle("Falls when switching directly", fontsize=11, fontweight="bold", x=0.02, ha="left")
    axes.imshow(np.ma.masked_invalid(rates), vmin=0.0, vmax=1.0, cmap="Reds")
    for (source, target), (fell, tried) in falls.items():
        row, column = names.index(source), names.index(target)
        ink = "white" if tried and fell / tried > 0.6 else "black"
        text = f"{fell / tried:.0%}" if tried else "untried"
        axes.text(column, row, text, ha="center", va="bottom", fontsize=9, color=ink)
        axes.text(
            column, row + 0.05, settling.get((source, target), ""), ha="center", va="top", fontsize=6.5, color=ink
        )
    axes.set_xticks(range(n), names, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(n), names)
    tries = max(tried for _, tried in falls.values())
    axes.set_xlabel(f"to ({tries} tries each; below the share: time until it is steady, if it was)")
    axes.set_ylabel("from")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure
