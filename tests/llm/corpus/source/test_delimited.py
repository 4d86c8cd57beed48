"""A quotation mark that belongs to no cell costs its own line at most."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm.corpus.source.delimited import delimited_rows, records

Found = list[tuple[int, tuple[str, ...] | str]]


def read(path: Path, text: str) -> Found:
    path.write_text(text, encoding="utf-8")
    rows = records(delimited_rows(path, "\t" if path.suffix == ".tsv" else ",", 1000))
    return [(row.line, row.problem or tuple((cells or {}).values())) for row, cells in rows]


def numbered(sign: str, changed: dict[int, str]) -> str:
    lines = [changed.get(n, f"question {n}{sign}answer {n}") for n in range(2, 2002)]
    return "\n".join([f"prompt{sign}completion", *lines]) + "\n"


def test_marks_far_apart_in_a_tsv_are_text(tmp_path: Path) -> None:
    text = numbered("\t", {10: '"Quoted title\tx', 700: "odd", 1500: 'the end"\ty'})
    found = read(tmp_path / "a.tsv", text)
    assert len(found) == 2000
    assert found[8] == (10, ('"Quoted title', "x"))
    assert found[698] == (700, "malformed_csv")
    assert found[1498] == (1500, ('the end"', "y"))


@pytest.mark.parametrize("closing", ['the end",y', "question,answer"])
def test_a_mark_in_a_csv_costs_its_line(tmp_path: Path, closing: str) -> None:
    found = read(tmp_path / "a.csv", numbered(",", {10: '"Quoted title,x', 1500: closing}))
    assert [line for line, _ in found] == list(range(2, 2002))
    assert [row for row in found if isinstance(row[1], str)] == [(10, "malformed_csv")]


def test_what_became_of_the_mark_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('a,b\n"c,d\ne,f\n')
    details = [row.detail for row in delimited_rows(path, ",", 1000) if row.problem]
    assert len(details) == 1
    assert "line 2: a quotation mark opens a cell" in details[0]
    assert "read up to line 3" in details[0]
    assert "goes on with line 3" in details[0]


def test_cells_of_several_lines_stay_whole(tmp_path: Path) -> None:
    poem = "\n".join(f"line {n}" for n in range(30))
    lines = f'p,q\n"{poem}",b\nc,d\n'
    assert read(tmp_path / "a.csv", lines) == [(31, (poem, "b")), (32, ("c", "d"))]
    tabbed = f'p\tq\n"{poem}"\tb\na\t"{poem}"\n"x\ty"\t"say ""z"""\n'
    assert [cells for _, cells in read(tmp_path / "a.tsv", tabbed)] == [
        (poem, "b"),
        ("a", poem),
        ("x\ty", 'say "z"'),
    ]


def test_marks_within_a_tsv_cell_are_text(tmp_path: Path) -> None:
    assert read(tmp_path / "a.tsv", 'p\tq\n"a" b\t"c"\n"d\t"\n') == [
        (2, ('"a" b', "c")),
        (3, ('"d', '"')),
    ]


def test_a_name_twice_in_the_header(tmp_path: Path) -> None:
    assert read(tmp_path / "a.csv", "p, p,q\na,b,c\n") == [(1, "duplicate_field")]
    assert read(tmp_path / "b.csv", "p,q,,\na,b,,\n") == [(2, ("a", "b", ""))]
