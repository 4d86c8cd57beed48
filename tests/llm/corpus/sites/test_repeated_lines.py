"""Lines that stand on many pages of a site: how they are counted, and which of them go."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm.corpus.sites.cutting import cut_lines
from llm.corpus.sites.repeated import (
    count_lines,
    line_key,
    line_of,
    ranges,
    repeated_lines,
    sites_of,
)
from llm.corpus.sites.tables import COUNTS

BAR = "Home | Articles | Archive | About us | Sign in or register"
NOTICE = "This page was made by volunteers and is in the public domain."


def _cut(text: str, *chrome: str, long: int = 40) -> str:
    return cut_lines(text, set(map(line_of, chrome)).__contains__, long)[0]


def test_long_lines_go_wherever_they_stand() -> None:
    text = f"Rivers\n\n{BAR}\n\nA river flows.\n\n{NOTICE}\n\nIt ends in the sea."
    assert _cut(text, BAR, NOTICE) == "Rivers\n\nA river flows.\n\nIt ends in the sea."
    assert cut_lines(text, {BAR, NOTICE}.__contains__, 40)[1] == [BAR, NOTICE]
    assert _cut(text, "Something else") == text


def test_short_lines_go_at_the_edges_in_company() -> None:
    text = "Log in\nSign up\n\nRivers\n\nA river flows.\n\nShare\n\nNext page"
    chrome = ("Log in", "Sign up", "Share", "Next page")
    assert _cut(text, *chrome) == "Rivers\n\nA river flows."
    # One alone may be anything, as may what stands by itself above the text.
    assert _cut("A river flows.\n\nNone.", "None.") == "A river flows.\n\nNone."
    text = "The book\n\nIntroduction\n\nA river flows."
    assert _cut(text, "The book", "Introduction") == text


def test_headings_stay() -> None:
    text = "delete()\n\nParameters\n\nNone.\n\nReturn value\n\nThe row.\n\nSee also\n\n- insert()"
    assert _cut(text, "Parameters", "None.", "Return value", "See also") == text
    long = "## What one has to know before one begins to read this"
    assert _cut(f"Rivers\n\n{long}\n\nThey flow.", long) == f"Rivers\n\n{long}\n\nThey flow."
    # Nothing is left below this one.
    assert (
        _cut(f"Rivers flow.\n\n## Copyright\n\n{NOTICE}", "## Copyright", NOTICE) == "Rivers flow."
    )


def test_lists_of_links_go_and_lists_of_the_page_stay() -> None:
    links = [f"- Chapter {n}" for n in range(6)]
    text = "\n".join(["Rivers flow.", "", *links, "", "They end."])
    assert _cut(text, *links) == "Rivers flow.\n\nThey end."
    assert _cut(text, *links[:5]) == "Rivers flow.\n\n- Chapter 5\n\nThey end."
    assert _cut(text, *links[:4]) == text


def test_tables_stay_or_go_as_a_whole() -> None:
    head = "Attribute of the element\tType of its value\tWhat it describes"
    table = f"{head}\nwidth\tnumber\tHow wide it is.\nid\ttext\tIts name."
    assert (
        _cut(f"About\n\n{table}\n\nEnd.", head, "id\ttext\tIts name.")
        == f"About\n\n{table}\n\nEnd."
    )
    rows = [line_of(row) for row in table.split("\n")]
    assert _cut(f"About\n\n{table}\n\nEnd.", *rows, long=15) == "About\n\nEnd."
    bar = "\tDonate | Forums | Contributions | Terms | Contact | Jobs"
    assert _cut(f"About\n\n{bar}\n\nEnd.", bar) == "About\n\nEnd."
    marked = "| Attribute of the element | Type of its value |\n| --- | --- |\n| id | text |"
    text = f"About\n\n{marked}\n\nEnd."
    assert _cut(text, *marked.split("\n")[:2]) == text


LISTING = [
    "fn a_function_with_a_rather_long_name(argument: u8) -> u8 {",
    "    // What follows is the same in every listing of the book",
    '    println!("{}", a_line_of_code_that_is_long_enough);',
    "note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace",
    "}",
]


@pytest.mark.parametrize("fence", ["```rust\n{}\n```", "~~~~\n{}\n~~~~", "{}"])
def test_listings_stay(fence: str) -> None:
    text = f"Look at this.\n\n{fence.format(chr(10).join(LISTING))}\n\nThat was it."
    assert _cut(text, *LISTING, "```rust", "```", "~~~~") == text


def test_blank_lines_of_listings_stay_blank() -> None:
    text = f"{BAR}\n\n```\na = 1\n\n\n\nb = 2\n```\n\nEnd."
    assert "a = 1\n\n\n\nb = 2" in _cut(text, BAR)


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["", "Home", BAR, "- a", "\tx", "    y", "a\tb", "| a |", "```", "# H", "Own."]
        ),
        max_size=12,
    ),
    st.sets(st.sampled_from(["Home", BAR, "- a", "x", "y", "a b", "| a |", "# H"])),
)
def test_what_is_not_repeated_stays_in_order(lines: list[str], chrome: set[str]) -> None:
    text = "\n".join(lines)
    left, gone = cut_lines(text, chrome.__contains__, 40)
    assert all(line_of(line) in chrome for line in gone)
    written = [line for line in lines if line.strip()]
    rest = [line for line in left.split("\n") if line.strip()]
    assert Counter(map(line_of, rest)) + Counter(map(line_of, gone)) == Counter(
        map(line_of, written)
    )
    places = iter(written)
    assert all(line_of(line) in (line_of(other) for other in places) for line in rest)


def test_sites_and_their_thresholds() -> None:
    rows = sites_of({"big.org": 1_000, "small.org": 12, "tiny.org": 9}, 10, 0.02).to_pylist()
    assert [(row["site"], row["pages"], row["least"]) for row in rows] == [
        ("big.org", 1_000, 20),
        ("small.org", 12, 10),
    ]


_PAGES = st.lists(
    st.tuples(
        st.sampled_from("ab"), st.lists(st.sampled_from(["x", " x  y", "z", ""])).map("\n".join)
    ),
    max_size=12,
)


@settings(deadline=None)
@given(st.lists(_PAGES, max_size=4), st.integers(1, 4), st.integers(1, 3))
def test_counts_are_those_of_a_plain_loop(
    parts: list[list[tuple[str, str]]], least: int, at_once: int
) -> None:
    """Whatever the parts, and however many counts are in memory at once."""
    needed = {"a": least, "b": least + 1}
    expected: Counter[tuple[str, str]] = Counter()
    for site, text in (page for part in parts for page in part):
        expected.update({(site, line_of(line)) for line in text.split("\n") if line.strip()})
    wanted = {
        line_key(*line): count for line, count in expected.items() if count >= needed[line[0]]
    }
    counts = pa.concat_tables([COUNTS.empty_table(), *(count_lines(p, needed) for p in parts)])
    rows = counts.to_pylist()
    found: dict[int, int] = {}
    for first, last in ranges(len(rows), at_once):
        some = [row for row in rows if first <= row["key"] <= last]
        table = pa.Table.from_pylist(some, schema=COUNTS)
        for made in repeated_lines(len(some), lambda *_: [table]):  # noqa: B023
            found.update(zip(*(column.to_pylist() for column in made.columns), strict=True))
    assert found == wanted


def test_ranges_hold_every_key_once() -> None:
    edges = list(ranges(10, 3))
    assert edges[0][0] == 0
    assert edges[-1][1] == (1 << 64) - 1
    assert all(before[1] + 1 == after[0] for before, after in pairwise(edges))
