"""Panels as pictures: files a browser shows by themselves."""

from __future__ import annotations

from itertools import pairwise
from xml.etree import ElementTree

import pytest

from tasks.panels.panels import Curve, Flow, Graph, Histogram, Panel, Stream, Table
from tasks.panels.pictures import picture, standalone

PANELS = [
    Curve("Loss <of> a & b", "step", "loss", {"train": [(0, 8.0), (1, 4.0), (2, 2.0)]}),
    Histogram("Lengths", "characters", [0, 10, 20], {"kept": [3, 4]}),
    Graph("Lineage", {"a": "source", "b": "clean\n1,000 rows"}, [("a", "b", "pages")]),
    Flow("Worth", "documents", [Stream("a", "b", 9, "kept"), Stream("a", "gone", 1, "gone", "x")]),
]


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.title)
def test_a_picture_is_a_whole_file_with_a_size_of_its_own(panel: Panel) -> None:
    root = ElementTree.fromstring(picture(panel))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert float(root.attrib["width"]) > 50
    assert float(root.attrib["height"]) > 50
    drawn = root[2]
    assert drawn.tag == root.tag, "the drawing lies on its paper"
    wide, high = float(drawn.attrib["width"]), float(drawn.attrib["height"])
    assert float(root.attrib["width"]) > float(drawn.attrib["x"]) + wide
    assert float(root.attrib["height"]) > float(drawn.attrib["y"]) + high


def test_words_and_nothing_have_no_picture() -> None:
    assert picture(Table("Rows", ["n"], [[1]])) == ""
    assert picture(Curve("Nothing", "x", "y", {})) == ""
    with pytest.raises(ValueError, match="viewBox"):
        standalone("<p>no drawing</p>")


def test_what_flows_keeps_its_thickness_and_nothing_overlaps() -> None:
    streams = [
        Stream("in", "clean", 60, "kept"),
        Stream("in", "clean: empty", 30, "removed", "1,200 tokens\n-0.01 [-0.02, -0.005]"),
        Stream("in", "clean: short", 10, "removed"),
        Stream("clean", "filter", 60, "kept"),
        Stream("clean", "none", 0, "removed"),
    ]
    root = ElementTree.fromstring(picture(Flow("Worth", "documents", streams)))
    svg = "{http://www.w3.org/2000/svg}"
    links = [float(each.attrib["stroke-width"]) for each in root.iter(f"{svg}path")]
    assert links == pytest.approx([144, 72, 24, 144])  # all of 100 is 240 high
    boxes = [
        tuple(float(each.attrib[name]) for name in ("x", "y", "height"))
        for each in root[2].iter(f"{svg}rect")
        if "rx" not in each.attrib
    ]
    assert sorted(height for *_, height in boxes) == pytest.approx([24, 72, 144, 144, 240])
    columns: dict[float, list[tuple[float, float]]] = {}
    for x, y, height in boxes:
        columns.setdefault(x, []).append((y, y + height))
    assert len(columns) == 3
    for column in columns.values():
        ordered = sorted(column)
        assert all(end < start for (_, end), (start, _) in pairwise(ordered))
    words = [each.text for each in root.iter(f"{svg}text")]
    assert "-0.01 [-0.02, -0.005]" in words
    assert "none" not in words


def test_nothing_of_what_flows_is_cut_off_by_the_drawings_edge() -> None:
    kinds = [f"removed, for a reason of kind {number}" for number in range(6)]
    streams = [
        Stream("in", f"filter: {kind} {'long ' * 60}\uffff", 1, kind, "12,345,678,901 tokens" * 3)
        for kind in kinds
    ] + [Stream("in", f"{'a name that ends so' * 3}: ", 1, kinds[0])]
    root = ElementTree.fromstring(picture(Flow("Worth", "documents", streams)))
    wide = float(root.attrib["width"])
    sizes = {"12": 6.0, "11": 5.5}
    for each in root[2].iter("{http://www.w3.org/2000/svg}text"):
        assert each.text
        letters = len(each.text) * sizes[each.attrib.get("font-size", "12")]
        assert float(each.attrib["x"]) + letters < wide
