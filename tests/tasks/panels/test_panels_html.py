"""Panels as HTML and SVG: well-formed, escaped, with marks where the values are."""

from __future__ import annotations

import math
import re
from itertools import pairwise

import pytest

from tasks.panels.html import html
from tasks.panels.numbers import duration, number, size
from tasks.panels.panels import Curve, Flow, Graph, Histogram, Panel, Sample, Samples, Stream, Table
from tasks.panels.svg import Bar, stacked_bars, thin_out
from tasks.panels.svg_axes import fit_scale, log_ticks, ticks
from tasks.panels.svg_graph import layers
from tests.tasks.report_chain import Page

EVIL = '<script>alert("x")</script>\x00 & \ud800 </pre></svg>'
SHOWN = '<script>alert("x")</script>\ufffd & \ufffd </pre></svg>'
PANELS: list[Panel] = [
    Table(EVIL, [EVIL], [[EVIL]], EVIL),
    Curve(EVIL, EVIL, EVIL, {EVIL: [(1, 2), (2, 3)], "b": [(1, 1)]}, note=EVIL),
    Histogram(EVIL, EVIL, [0, 1, 2], {EVIL: [1, 2], "b": [0, 1]}, EVIL),
    Samples(EVIL, [Sample(EVIL, EVIL, {EVIL: EVIL})], EVIL),
    Graph(EVIL, {EVIL: EVIL, "b": "B"}, [(EVIL, "b", EVIL), ("b", "c", "")], EVIL),
    Flow(EVIL, EVIL, [Stream(EVIL, "b", 3, EVIL, EVIL), Stream("b", "c", 2, "k", EVIL)], EVIL),
]


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: type(panel).__name__)
def test_everything_is_escaped_and_closed(panel: Panel) -> None:
    text = html(panel)
    page = Page(text)
    assert "script" not in page.tags
    assert page.text.count(SHOWN) >= 3
    text.encode("utf-8")


@pytest.mark.parametrize(
    "panel",
    [
        Table("t", ["a"], []),
        Curve("t", "x", "y", {"a": [(math.nan, 1.0), (1.0, math.inf)], "b": []}),
        Curve("t", "x", "y", {"a": [(0.0, 1.0)]}, log_x=True),
        Histogram("t", "x", [], {}),
        Samples("t", []),
        Graph("t", {}, []),
        Flow("t", "documents", []),
    ],
)
def test_nothing_to_show_is_said(panel: Panel) -> None:
    page = Page(html(panel))
    assert page.tags.isdisjoint({"svg", "table"})
    assert re.search(r"No rows|No points|No bins|None|Empty", page.text)


def test_numbers_go_right_and_long_tables_are_cut() -> None:
    rows = [[f"row {n}", n * 1000, None] for n in range(503)]
    page_html = html(Table("t", ["name", "count", "nothing"], rows))
    page = Page(page_html)
    assert page.cells[2] == ["row 1", "1,000", "–"]
    assert page_html.count('<td class="number">') == 500
    assert "3 more rows" in page.text


def test_lines_pass_through_their_points() -> None:
    drawn = html(Curve("t", "x", "y", {"a": [(0, 0), (5, 10), (10, 5)]}))
    points = re.search(r'polyline points="([^"]*)"', drawn)
    assert points is not None
    (x0, y0), (x1, y1), (x2, y2) = [
        tuple(map(float, pair.split(","))) for pair in points[1].split()
    ]
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)
    assert y0 - y1 == pytest.approx(2 * (y0 - y2), abs=0.3), "SVG counts down"


def test_bars_are_as_high_as_their_counts() -> None:
    drawn = html(Histogram("t", "x", [0, 1, 10, 100], {"a": [2, 4, 0]}))
    heights = [float(h) for h in re.findall(r'height="([\d.]+)" fill="#', drawn)]
    widths = [float(w) for w in re.findall(r'width="([\d.]+)" height="[\d.]+" fill="#', drawn)]
    assert heights[1] == pytest.approx(2 * heights[0], abs=0.2)
    assert len(heights) == 2
    assert widths[0] == pytest.approx(widths[1], abs=0.2), "bins of uneven width are drawn even"


def test_stacked_bars_share_one_scale() -> None:
    drawn = stacked_bars("t", ["kept", "gone"], [Bar("a", [50, 50], "x"), Bar("b", [25, 0], "y")])
    widths = [float(w) for w in re.findall(r'width="([\d.]+)" height="18" fill', drawn)]
    assert widths[0] == widths[1] == pytest.approx(2 * widths[2], abs=0.25)
    Page(drawn)


def test_ticks_are_round() -> None:
    assert ticks(0, 1, 5) == [0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert ticks(0.13, 0.47, 4) == [0.2, 0.3, 0.4]
    assert ticks(-250, 1000, 3) == [0, 500, 1000]
    assert log_ticks(1, 1e6) == [10.0**power for power in range(7)]
    assert log_ticks(2, 30) == [2, 5, 10, 20]
    flat = fit_scale([3.0, 3.0], 0, 100, False, 5)
    assert flat.place(3.0) == pytest.approx(50, abs=10)
    assert fit_scale([0.01, 100], 0, 100, True, 5).place(1.0) == pytest.approx(50)


def test_thinned_curves_keep_their_peaks_and_ends() -> None:
    points = [(float(n), 0.0) for n in range(10_000)]
    points[4321] = (4321.0, 9.0)
    points[77] = (77.0, -9.0)
    kept = thin_out(points, 500)
    assert len(kept) <= 502
    assert {points[0], points[77], points[4321], points[-1]} <= set(kept)
    assert kept == sorted(kept)


def test_layers_follow_the_longest_path_and_survive_circles() -> None:
    edges = [("a", "b"), ("b", "c"), ("a", "c"), ("c", "d")]
    assert layers("dcba", edges) == {"a": 0, "b": 1, "c": 2, "d": 3}
    circle = layers("abc", [*edges[:2], ("c", "a"), ("b", "b")])
    assert circle == {"a": 0, "b": 1, "c": 2}
    Page(html(Graph("t", {}, [("a", "b", ""), ("b", "a", "back"), ("a", "a", "self")])))


def test_boxes_of_a_layer_do_not_overlap() -> None:
    edges = [("root", f"leaf{n}", "") for n in range(6)] + [
        ("leaf0", "end", ""),
        ("root", "end", ""),
    ]
    drawn = html(Graph("t", {}, edges))
    boxes = [
        tuple(map(float, found))
        for found in re.findall(r'class="box" x="([-\d.]+)" y="(\d+)" width="([\d.]+)"', drawn)
    ]
    assert len(boxes) == 8
    for y in {box[1] for box in boxes}:
        row = sorted(box for box in boxes if box[1] == y)
        assert all(a[0] + a[2] < b[0] for a, b in pairwise(row))
    assert min(box[0] for box in boxes) >= 0


def test_figures_for_people() -> None:
    assert [number(v) for v in (1234567, 0.123456, 1e-9, 12345.6, 3.0, math.nan)] == [
        "1,234,567", "0.1235", "1e-09", "12,346", "3", "not a number",
    ]  # fmt: skip
    assert [size(v) for v in (999, 1000, 999_960, 2_500_000)] == [
        "999 B",
        "1.0 kB",
        "1.0 MB",
        "2.5 MB",
    ]
    assert [duration(v) for v in (0.4, 59.96, 61, 3599.7, 11_220)] == [
        "0.40 s", "1 min 00 s", "1 min 01 s", "1 h 00 min", "3 h 07 min",
    ]  # fmt: skip
