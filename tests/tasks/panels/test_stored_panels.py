"""What is shown of an artifact, as JSON: read back exactly, or refused."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.panels.html import html
from tasks.panels.markdown import markdown
from tasks.panels.panels import (
    Curve,
    Flow,
    Graph,
    Histogram,
    Panel,
    Sample,
    Samples,
    StageView,
    Stream,
    Table,
)
from tasks.panels.stored import VERSION, PanelsFormatError, dumps, loads

TEXT = st.text(max_size=8)
NUMBER = st.floats() | st.integers()
CELL = TEXT | NUMBER | st.booleans() | st.none()


def tuples(item: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(item, max_size=3).map(tuple)


def by_name(item: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(TEXT, item, max_size=2)


TABLES = st.builds(Table, TEXT, tuples(TEXT), tuples(tuples(CELL)), TEXT)
PANELS: st.SearchStrategy[Panel] = st.one_of(
    TABLES,
    st.builds(
        Curve,
        TEXT,
        TEXT,
        TEXT,
        by_name(tuples(st.tuples(NUMBER, NUMBER))),
        st.booleans(),
        st.booleans(),
        TEXT,
    ),
    st.builds(Histogram, TEXT, TEXT, tuples(NUMBER), by_name(tuples(NUMBER)), TEXT),
    st.builds(Samples, TEXT, tuples(st.builds(Sample, TEXT, TEXT, by_name(CELL))), TEXT),
    st.builds(Graph, TEXT, by_name(TEXT), tuples(st.tuples(TEXT, TEXT, TEXT)), TEXT),
    st.builds(Flow, TEXT, TEXT, tuples(st.builds(Stream, TEXT, TEXT, NUMBER, TEXT, TEXT)), TEXT),
)
VIEWS = st.builds(StageView, TEXT, TABLES, tuples(PANELS))


@given(VIEWS)
def test_a_view_is_read_back_exactly(view: StageView) -> None:
    written = dumps(view)
    # `repr` tells 1 from 1.0 and 0.0 from -0.0, keeps the order of names, and knows nan.
    assert repr(loads(written)) == repr(view)
    assert dumps(loads(written)) == written


@given(VIEWS)
def test_what_is_written_is_strict_json(view: StageView) -> None:
    def refuse(name: str) -> None:
        pytest.fail(f"{name} is not JSON")

    json.loads(dumps(view), parse_constant=refuse)


LISTS = StageView(
    "What it does.",
    Table("Config", ["field"], [["threshold"]]),
    [
        Table("Rows", ["", "n"], [["in", 3], ["share", 0.5], ["whole", 1.0], ["sure", True]]),
        Curve("Loss", "step", "nats", {"train": [(0, math.nan), (10, 2.5)]}, log_x=True),
        Histogram("Lengths", "tokens", [0, 1.5, 3], {"train": [1, 2.0]}),
        Samples("Texts", [Sample("one", "text \ud800", {"n": None, "v": np.float64(0.1)})]),
        Graph("Lineage", {"a": "A"}, [("a", "b", "documents")], "note"),
        Flow("Worth", "documents", [Stream("a", "b", 3, "kept"), Stream("a", "c", 1, "gone", "w")]),
    ],
)


def test_panels_look_the_same_from_what_was_kept() -> None:
    read = loads(dumps(LISTS))
    for kept, panel in zip(read.panels, LISTS.panels, strict=True):
        assert html(kept) == html(panel)
        assert markdown(kept) == markdown(panel)


@pytest.mark.parametrize(
    ("panel", "where"),
    [
        (Table("t", ["a"], [[["no cell"]]]), r"panels\[0\]\.rows\[0\]\[0\]: list"),  # type: ignore[list-item]
        (Table("t", ["a"], [[np.int64(3)]]), r"rows\[0\]\[0\]: int64 is no plain"),  # type: ignore[list-item]
        (Curve("t", "x", "y", {3: []}), "a name in .*series: int"),  # type: ignore[dict-item]
        (Histogram("t", "x", [True], {}), r"edges\[0\]: bool, not a number"),
        (Graph("t", {}, [("a", "b")]), r"edges\[0\] must be a list of 3"),  # type: ignore[list-item]
    ],
)
def test_what_a_panel_may_not_hold_is_refused_when_written(panel: Panel, where: str) -> None:
    with pytest.raises(PanelsFormatError, match=where):
        dumps(StageView("", LISTS.config, [panel]))


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda record: record.update(version=VERSION + 1), f"version {VERSION + 1}; this is"),
        (lambda record: record.update(more=1), "must have exactly config, description"),
        (lambda record: record.pop("config"), "must have exactly config, description"),
        (
            lambda record: record["panels"][0].update(kind="chart"),
            "'chart' is none of table, curve",
        ),
        (lambda record: record["panels"][0].pop("note"), r"panels\[0\] must have exactly"),
        (lambda record: record["panels"][1].update(log_x=1), r"log_x: int, not true or false"),
        (lambda record: record["panels"][2]["edges"].append("3"), r"edges\[3\]: str, not a number"),
        (
            lambda record: record["panels"][2]["edges"].append({"float": "1"}),
            "NoneType, not a number",
        ),
        (lambda record: record["panels"].append([]), r"panels\[6\].kind: NoneType"),
    ],
)
def test_what_is_malformed_is_refused_when_read(
    spoil: Callable[[dict[str, Any]], object], told: str
) -> None:
    record = json.loads(dumps(LISTS))
    spoil(record)
    with pytest.raises(PanelsFormatError, match=told):
        loads(json.dumps(record).encode())


@pytest.mark.parametrize("written", [b"", b"{", b"[]", b'"x"', b'{"version": NaN}', b"\xff"])
def test_what_is_no_record_is_refused(written: bytes) -> None:
    with pytest.raises(PanelsFormatError):
        loads(written)
