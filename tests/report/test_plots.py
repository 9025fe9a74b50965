from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from pgx_core.report import plots
from pgx_core.report.labels import (
    METHOD_LOOKS,
    decimal,
    error_text,
    group_colour,
    label,
    look,
    method_labels,
    short_number,
)
from pgx_core.types import Affinity, Partition

FIGURES = (
    plots.affinity_figure,
    plots.curves_figure,
    plots.scores_figure,
    plots.mean_scores_figure,
    plots.taylor_figure,
    plots.costs_figure,
)


def of_size(data, n):
    """The run's affinity and partition at n objectives in three interleaved groups."""
    names = tuple(f"objective_{i}" for i in range(n))
    matrix = np.random.default_rng(0).uniform(-1, 1, (n, n))
    affinity = Affinity(matrix, np.full((n, n), 0.1), matrix[None], names)
    partition = Partition(np.arange(n, dtype=np.int64) % 3, names, 0.0, 1.0, "any")
    return dataclasses.replace(data, names=names, affinity=affinity, partition=partition)


@pytest.mark.parametrize("draw", FIGURES)
def test_drawing_is_pure_and_leaves_pyplot_alone(data, draw):
    first, second = (np.asarray(drawn(draw(data))) for _ in range(2))
    assert (first == second).all()
    assert pyplot.get_fignums() == []


def drawn(figure):
    figure.canvas.draw()
    return figure.canvas.buffer_rgba()


@pytest.mark.parametrize("draw", FIGURES)
def test_no_text_leaves_the_picture(data, draw):
    figure = draw(data)
    drawn(figure)
    edge = figure.bbox
    for axes in figure.axes:
        box = axes.get_tightbbox()
        assert box.x0 >= edge.x0 - 1 and box.x1 <= edge.x1 + 1 and box.y0 >= edge.y0 - 1 and box.y1 <= edge.y1 + 1


def test_the_heat_map_is_ordered_by_group(data):
    axes = plots.affinity_figure(data).axes[0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["forward_1", "forward_2", "forward_3", "backward_1", "backward_2", "backward_3"]
    assert names == [label.get_text() for label in axes.get_xticklabels()]
    shown = axes.get_images()[0].get_array()
    for row, first in enumerate(names):
        for column, second in enumerate(names):
            value = data.affinity.matrix[data.names.index(first), data.names.index(second)]
            assert shown.mask[row, column] if np.isnan(value) else shown[row, column] == value


def test_the_heat_map_marks_boundaries_and_group_colours(data):
    axes = plots.affinity_figure(data).axes[0]
    assert sorted(line.get_ydata()[0] for line in axes.get_lines()) == [0, 2.5]  # one across, one down
    colours = [to_hex(label.get_bbox_patch().get_facecolor()) for label in axes.get_yticklabels()]
    assert colours == [group_colour(0).lower()] * 3 + [group_colour(1).lower()] * 3


def test_a_pair_never_sampled_is_hatched_and_holds_no_number(data):
    axes = plots.affinity_figure(data).axes[0]
    hatched = {p.get_xy() for p in axes.patches if isinstance(p, Rectangle) and p.get_hatch()}
    assert hatched == {(4.5, -0.5), (-0.5, 4.5)}  # forward_1 with backward_3
    values = [text for text in axes.texts if not text.get_text().startswith("±")]
    assert len(values) == 36 - 6 - 2  # without the diagonal
    assert (5, 0) not in {text.get_position() for text in values}


def test_the_heat_map_writes_values_and_errors(data):
    axes = plots.affinity_figure(data).axes[0]
    written = {text.get_position(): text.get_text() for text in axes.texts}
    assert written[(1, 0)] == f"{data.affinity.matrix[0, 2]:.2f}"
    assert written[(1, 0.05)] == "±0.04"


@pytest.mark.parametrize(("n", "has_numbers"), [(2, True), (12, True), (13, False), (30, False)])
def test_numbers_in_cells_up_to_twelve_objectives(data, n, has_numbers):
    figure = plots.affinity_figure(of_size(data, n))
    drawn(figure)
    assert bool(figure.axes[0].texts) == has_numbers
    assert len(figure.axes) == (1 if has_numbers else 2)  # a colour bar where there are no numbers


def test_a_heat_map_without_any_pair_is_all_hatched(data):
    run = of_size(data, 3)
    unknown = np.full((3, 3), np.nan)
    axes = plots.affinity_figure(
        dataclasses.replace(run, affinity=Affinity(unknown, unknown, unknown[None], run.names))
    ).axes[0]
    assert sum(bool(p.get_hatch()) for p in axes.patches) == 9


def test_the_heat_map_separates_help_from_harm(data):
    axes = plots.affinity_figure(data).axes[0]
    norm = axes.get_images()[0].norm
    assert norm(0.0) == pytest.approx(0.5)  # zero is the neutral colour


def test_harm_alone_is_not_drawn_as_help(data):
    run = of_size(data, 2)
    harm = np.array([[0.0, -0.4], [-0.4, 0.0]])
    affinity = Affinity(harm, np.abs(harm), harm[None], run.names)
    image = plots.affinity_figure(dataclasses.replace(run, affinity=affinity)).axes[0].get_images()[0]
    red, _, blue, _ = image.get_cmap()(image.norm(-0.4))
    assert red > 2 * blue and image.norm(0.0) == pytest.approx(0.5)


def test_curves_show_each_method_once_in_its_colour(data):
    figure = plots.curves_figure(data)
    lines = figure.axes[0].get_lines()
    assert [line.get_label() for line in lines] == [label(c.method, data.served) for c in data.curves]
    assert [line.get_color() for line in lines] == [look(c.method).colour for c in data.curves]
    assert (lines[3].get_ydata() == data.curves[3].scores).all()


def test_scores_show_every_objective_under_every_method(data):
    axes = plots.scores_figure(data).axes[0]
    assert len(axes.containers) == len(data.methods) + 1  # and the grey bands
    for container, method in zip(axes.containers[1:], data.methods, strict=True):
        points, _, (bars,) = container.lines
        assert (points.get_xdata() == method.scores).all()
        assert np.abs(points.get_ydata() - np.arange(6)).max() < 0.5  # inside the objective's band
        left, right = bars.get_segments()[0][:, 0]
        assert right - left == pytest.approx(2 * 1.96 * method.errors[0])


def test_mean_bars_are_the_means(data):
    axes = plots.mean_scores_figure(data).axes[0]
    bars = axes.containers[0]
    assert [bar.get_width() for bar in bars] == pytest.approx([m.scores.mean() for m in data.methods])
    assert [to_hex(bar.get_facecolor()) for bar in bars] == [look(m.method).colour.lower() for m in data.methods]


def test_negative_and_missing_scores_are_drawn(data):
    strange = tuple(
        dataclasses.replace(m, scores=m.scores - 2 if i else np.full(6, np.nan)) for i, m in enumerate(data.methods)
    )
    for draw in (plots.mean_scores_figure, plots.scores_figure):
        drawn(draw(dataclasses.replace(data, methods=strange)))


def test_the_taylor_figure_shows_median_quartiles_rug_and_one_percent(data):
    axes = plots.taylor_figure(data).axes[0]
    lines = {line.get_label(): line for line in axes.get_lines()}
    assert (lines["median subset"].get_ydata() == np.median(data.taylor_residuals, 0)).all()
    assert list(lines["1%"].get_ydata()) == [0.01, 0.01]
    assert (lines["fitted steps"].get_xdata() == data.step_lengths).all()
    assert axes.get_xscale() == axes.get_yscale() == "log"
    band = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert band.max() == pytest.approx(np.percentile(data.taylor_residuals[:, -1], 75))


def test_costs_are_the_costs(data):
    seconds, steps = plots.costs_figure(data).axes
    assert [bar.get_width() for bar in seconds.patches] == [c.seconds for c in data.costs]
    assert [bar.get_width() for bar in steps.patches] == [c.steps for c in data.costs]
    assert [text.get_text() for text in seconds.texts] == [f"{c.seconds:.1f}" for c in data.costs]


def test_methods_differ_in_colour_and_marker():
    looks = METHOD_LOOKS.values()
    for name in ("label", "colour", "marker"):
        assert len({getattr(each, name) for each in looks}) == len(looks)


def test_the_method_that_is_exported_is_the_one_called_served():
    for served, other in (("groups_id", "groups"), ("groups", "groups_id")):
        assert label(served, served) == f"{look(served).label} (served)" and label(other, served) == look(other).label


def test_draws_of_random_groups_are_numbered(data):
    random = data.methods[4]
    found = method_labels((random, data.methods[0], random), data.served)
    assert found == ("random groups 1", "one policy", "random groups 2")
    assert look("new_method").label == "new_method"


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (812, "812"), (9_940, "9.94k"), (1_200_000, "1.2M"), (5e8, "500M"), (2.5e9, "2.5G")]
)
def test_short_numbers(value, text):
    assert short_number(value) == text


def test_numbers_are_never_minus_zero_nor_errors_zero():
    assert decimal(-0.001) == "0.00" and decimal(-0.0004, 3, "+") == "+0.000" and decimal(0.5, 2, "+") == "+0.50"
    assert error_text(0.004) == "±0.004" and error_text(0.04) == "±0.04" and error_text(np.nan) == ""
