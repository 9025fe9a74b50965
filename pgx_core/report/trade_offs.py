"""How much of a trade-off a set of policies covers: the measures of multi-objective reinforcement learning."""

from __future__ import annotations

import moocore
import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pgx_core.report.data import ReportData, TradeOff
from pgx_core.report.labels import label, look
from pgx_core.report.plots import legend_below, titled_figure

WEIGHTS = 10_000  # draws from the simplex


def hypervolume(values: Float[np.ndarray, "n m"]) -> float:
    """Volume of what some policy is at least as good as in every value, above 0 (Zitzler and Thiele 1999)."""
    return float(moocore.hypervolume(values, ref=np.zeros(values.shape[1]), maximise=True))


def expected_utility(values: Float[np.ndarray, "n m"]) -> float:
    """Mean over weights, uniform on the simplex, of the best policy's weighted value (Zintgraf et al. 2015)."""
    weights = np.random.default_rng(0).dirichlet(np.ones(values.shape[1]), WEIGHTS)
    return float((weights @ values.T).max(1).mean())


def front(values: Float[np.ndarray, "n m"]) -> Float[np.ndarray, "k m"]:
    """The policies that no other one is as good as in all values and better in one, by their first value."""
    best = values[moocore.is_nondominated(values, maximise=True)]
    ordered: np.ndarray = best[best[:, 0].argsort()]
    return ordered


def trade_off_figure(data: ReportData) -> Figure:
    """What every policy reaches of the first two values, and each method's front."""
    figure, axes = titled_figure(3.6, title="What the policies trade")
    for each in data.trade_offs:
        style = look(each.method)
        axes.plot(*each.values[:, :2].T, style.marker, color=style.colour, label=label(each.method, data.served))
        axes.plot(*front(each.values[:, :2]).T, color=style.colour, linewidth=1.0, alpha=0.6)
    first, second, *_ = data.trade_offs[0].terms
    axes.set_xlabel(first)
    axes.set_ylabel(second)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.grid(color="#e4e4e4")
    legend_below(figure, axes)
    return figure


def describe_trade_offs(data: ReportData) -> str:
    """For those who cannot see the picture."""
    return (
        "Trade-offs: "
        + "; ".join(f"{label(each.method, data.served)} {in_words(each)}" for each in data.trade_offs)
        + "."
    )


def in_words(trade_off: TradeOff) -> str:
    """Both measures of one method."""
    covered, useful = hypervolume(trade_off.values), expected_utility(trade_off.values)
    return f"hypervolume {covered:.3f}, expected utility {useful:.3f}"
