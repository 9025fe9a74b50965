from __future__ import annotations

import base64
import dataclasses
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from pgx_core.errors import RunError
from pgx_core.report.labels import decimal
from pgx_core.report.page import mean_row, render_page, score_row, write_report
from pgx_core.report.pictures import draw_pictures
from pgx_core.report.verdict import caveats, verdict

VOID = {"meta", "img", "br"}
PNG = b"\x89PNG\r\n\x1a\n"


class Page(HTMLParser):
    """Reads a page and holds it to the rules of HTML that a browser would forgive."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(html)
        assert self.open == [], f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th") and self.rows:
            self.rows[-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)
        if self.open[-1:] and set(self.open) & {"td", "th"}:
            self.rows[-1][-1] += data.strip()


@pytest.fixture(scope="module")
def report(tmp_path_factory, data):
    return write_report(tmp_path_factory.mktemp("run") / "new" / "report", data)


@pytest.fixture(scope="module")
def html(report):
    return report.read_text("utf-8")


def test_the_folder_holds_the_page_and_its_pictures_and_nothing_else(report):
    names = {path.name for path in report.parent.iterdir()}
    pictures = {"affinity.png", "mean_scores.png", "scores.png", "curves.png", "taylor.png", "costs.png"}
    assert names == {"report.html"} | pictures
    assert all((report.parent / name).read_bytes().startswith(PNG) for name in pictures)


def test_the_page_is_well_formed_and_needs_nothing_else(html):
    page = Page(html)
    assert "http://" not in html and "https://" not in html and "url(" not in html
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object"}
    for tag, attributes in page.tags:
        for name in ("src", "href"):
            assert attributes.get(name, "data:image/png").startswith("data:image/png"), (tag, attributes)


def test_every_picture_is_embedded_whole_and_described(report, html):
    images = [attributes for tag, attributes in Page(html).tags if tag == "img"]
    embedded = {base64.b64decode(image["src"].split(",")[1]) for image in images}
    assert embedded == {path.read_bytes() for path in report.parent.glob("*.png")}
    assert all(len(image["alt"]) > 20 for image in images)


def test_descriptions_state_the_numbers(data):
    alt = {picture.name: picture.alt for picture in draw_pictures(data)}
    same = data.partition.labels[:, None] == data.partition.labels
    inside = data.affinity.matrix[same & ~np.eye(6, dtype=bool)].mean()
    across = np.nanmean(data.affinity.matrix[~same])
    assert f"inside groups on average {inside:.2f}, across groups on average {decimal(across)}" in alt["affinity"]
    assert "one policy + objective id 0.80;" in alt["mean_scores"]
    assert "group training 61.7 s and 950k steps" in alt["costs"]
    assert f"{np.median(data.taylor_residuals[:, -1]):.2%} at a relative step length of 5.00%" in alt["taylor"]


def test_the_verdict_stands_first_and_the_caveats_last(data, html):
    text = re.sub(r"\s+", " ", "".join(Page(html).text))
    places = [text.index(part) for part in (verdict(data), "The groups", "The scores", data.command, caveats(data)[0])]
    assert places == sorted(places)


def test_the_chips_show_the_partition(data, html):
    groups = re.findall(r'<div class="group">(.*?)</div>', html, re.DOTALL)
    assert [tuple(re.findall(r'class="chip"[^>]*>(.*?)<', group)) for group in groups] == list(data.partition.groups)
    assert len(set(re.findall(r"background: (#\w+)", "".join(groups)))) == data.partition.k


def test_the_table_holds_every_score(data, html):
    rows = {row[0]: row[1:] for row in Page(html).rows}
    for index, name in enumerate(data.names):
        texts = [f"{m.scores[index]:.2f}±{m.errors[index]:.2f}".replace("-0.00", "0.00") for m in data.methods]
        assert rows[name] == texts
    assert rows["mean"] == [f"{m.scores.mean():.2f}±0.004" for m in data.methods]
    assert rows["policies"] == ["1", "1", "2", "2", "2", "2", "6"]
    assert rows["steps"] == ["1.2M"] * 7
    assert rows["total"] == ["92.1", "1,295,152"]


def test_success_stands_beside_the_score_where_the_suite_reports_it(data, html):
    assert "success" not in html.partition("<main>")[2]
    methods = tuple(dataclasses.replace(m, successes=np.array([0.5, 1, 0, 0, 0, 0])) for m in data.methods)
    successful = dataclasses.replace(data, methods=methods)
    assert {cell.success for cell in score_row(successful, 0)} == {"success 50%"}
    assert {cell.success for cell in mean_row(successful)} == {"success 25%"}
    assert render_page(successful, ()).count("success 100%") == len(methods)


def test_the_best_of_a_row_is_bold(data):
    assert [cell.best for cell in score_row(data, 0)] == [m.method == "groups_id" for m in data.methods]
    assert [cell.best for cell in mean_row(data)] == [m.method == "groups_id" for m in data.methods]


def test_equal_scores_are_equally_bold_and_missing_ones_are_not(data):
    scores = [np.full(6, value) for value in (0.5, 0.501, 0.3, np.nan, 0.1, 0.1, 0.1)]
    methods = tuple(dataclasses.replace(m, scores=s) for m, s in zip(data.methods, scores, strict=True))
    row = score_row(dataclasses.replace(data, methods=methods), 0)
    assert [cell.best for cell in row] == [True, True, False, False, False, False, False]
    assert row[3].score == "?"


def test_names_are_escaped(build):
    page = render_page(build(suite="<script>x</script>", command="a && b <c>"), ())
    assert "<script>" not in page and "a &amp;&amp; b &lt;c&gt;" in page


def test_what_was_not_measured_is_left_out(build):
    empty = build(
        methods=(),
        curves=(),
        costs=(),
        taylor_residuals=np.zeros((0, 7)),
        step_lengths=np.zeros(0),
        step_residuals=np.zeros(0),
    )
    pictures = draw_pictures(empty)
    assert [picture.name for picture in pictures] == ["affinity"]
    page = render_page(empty, pictures)
    Page(page)
    assert "The scores" not in page and "The costs" not in page and "cannot say" in page


def test_a_folder_that_cannot_be_made_is_one_plain_error(tmp_path, data):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunError, match="choose another output folder"):
        write_report(tmp_path / "file" / "report", data)


@pytest.mark.parametrize(("width", "mobile", "dark"), [(390, True, False), (390, True, True), (1280, False, False)])
def test_a_browser_shows_it_without_complaint(browser, report, width, mobile, dark):
    browser.open(report, width, mobile, dark)
    assert browser.evaluate("innerWidth") == width
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    images = browser.evaluate(
        "[...document.images].map(i => ({natural: i.naturalWidth, left: i.getBoundingClientRect().left,"
        " right: i.getBoundingClientRect().right}))"
    )
    assert len(images) == 6
    assert all(image["natural"] > 0 and image["left"] >= 0 and image["right"] <= width for image in images)
    complaints = {"Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Network.loadingFailed"}
    assert [event for event in browser.events if event["method"] in complaints] == []
    requests = [e["params"]["request"]["url"] for e in browser.events if e["method"] == "Network.requestWillBeSent"]
    assert requests[0] == report.resolve().as_uri()
    assert all(url.startswith("data:") for url in requests[1:])


def test_the_browser_test_would_notice(browser, tmp_path):
    page = tmp_path / "bad.html"
    page.write_text('<!DOCTYPE html><div style="width:900px">wide</div><img src="none.png"><script>nothing()</script>')
    browser.open(page, 390, False)
    assert browser.evaluate("document.documentElement.scrollWidth") > 390
    assert browser.evaluate("document.images[0].naturalWidth") == 0
    assert {"Runtime.exceptionThrown", "Network.loadingFailed"} <= {event["method"] for event in browser.events}
