"""Panels as pictures: files a browser shows by themselves."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from tasks.panels.panels import Curve, Graph, Histogram, Panel, Table
from tasks.panels.pictures import picture, standalone

PANELS = [
    Curve("Loss <of> a & b", "step", "loss", {"train": [(0, 8.0), (1, 4.0), (2, 2.0)]}),
    Histogram("Lengths", "characters", [0, 10, 20], {"kept": [3, 4]}),
    Graph("Lineage", {"a": "source", "b": "clean\n1,000 rows"}, [("a", "b", "pages")]),
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
