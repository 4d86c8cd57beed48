"""Label files: formats, conditions, bad rows, errors that say where."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from llm.corpus.quality.label_files import LabelFieldError, LabelFormatError, meets, read_label_file
from llm.corpus.quality.label_sources import Condition, offer_file
from llm.corpus.quality.labels import Sampler
from tests.llm.corpus.source.archive_bytes import GROUP, parquet

DATA = Path(__file__).resolve().parents[4].parent / "shared" / "data"
RECORDS = [
    {"text": "first", "label": 1},
    {"text": "second\u2028line", "label": 0},
    {"text": "third", "label": 1},
]
LINES = "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in RECORDS).encode()


def write(path: Path, content: bytes) -> Path:
    if path.suffix == ".gz":
        content = gzip.compress(content)
    elif path.suffix == ".zst":
        content = zstandard.ZstdCompressor().compress(content)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "name", ["l.jsonl", "l.jsonl.gz", "l.jsonl.zst", "l.parquet", "l.csv", "l.tsv.gz"]
)
def test_formats_agree(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith("parquet"):
        pq.write_table(pa.Table.from_pylist(RECORDS), path)
    elif "sv" in name:
        sign = "\t" if "tsv" in name else ","
        cells = [["text", "label"], *([r["text"], str(r["label"])] for r in RECORDS)]
        write(path, "".join(sign.join(row) + "\r\n" for row in cells).encode())
    else:
        write(path, LINES)
    rows = list(read_label_file(path, name, "text", "label", "1"))
    assert [(r.number, r.text, r.selected) for r in rows] == [
        (0, "first", True),
        (1, "second\u2028line", False),
        (2, "third", True),
    ]


def test_text_is_one_example_a_line(tmp_path: Path) -> None:
    path = write(tmp_path / "t.txt.gz", "one\n\n  \ntwo é\r\n".encode() + b"\xff\n")
    rows = list(read_label_file(path, "t.txt.gz", "text", "", ""))
    assert [(r.text, r.problem) for r in rows] == [
        ("one", None),
        ("two é", None),
        (None, "not_utf8"),
    ]


@pytest.mark.parametrize(("name", "line"), [("a.txt", b"one"), ("a.jsonl", b'{"text": "one"}')])
def test_a_byte_order_mark_costs_no_row(tmp_path: Path, name: str, line: bytes) -> None:
    path = write(tmp_path / name, b"\xef\xbb\xbf" + line + b"\n")
    assert [r.text for r in read_label_file(path, name, "text", "", "")] == ["one"]


def test_names_that_are_there_twice(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", b'{"text": "a"}\n{"text": "a", "text": "b"}\n')
    found = list(read_label_file(path, "a.jsonl", "text", "", ""))
    assert [r.problem for r in found] == [None, "duplicate_field"]
    table = write(tmp_path / "a.csv", b"text,label,text\na,1,b\n")
    with pytest.raises(LabelFormatError, match=r"a\.csv:1: the header names 'text' twice"):
        list(read_label_file(table, "a.csv", "text", "", ""))


def test_a_stray_mark_costs_its_row(tmp_path: Path) -> None:
    lines = [f"text number {n},1" for n in range(2000)]
    lines[9] = '"open,1'
    path = write(tmp_path / "a.csv", "\n".join(["text,label", *lines]).encode())
    rows = list(read_label_file(path, "a.csv", "text", "", ""))
    assert [r.problem for r in rows] == [None] * 9 + ["not_csv"] + [None] * 1990


def test_bad_rows_are_told_apart(tmp_path: Path) -> None:
    content = (
        b'{"text": "ok"}\n{broken\n[1]\n{"text": 5}\n{"text": " "}\n\xff\n{"text": "\\ud800"}\n'
    )
    rows = list(read_label_file(write(tmp_path / "b.jsonl", content), "b.jsonl", "text", "", ""))
    assert [r.problem for r in rows] == [
        None, "not_json", "not_json", "no_text", "no_text", "not_utf8", "not_utf8",
    ]  # fmt: skip


def test_cells_of_a_table(tmp_path: Path) -> None:
    content = (
        b'n,text,label\n1,"two\nlines, one ""text""",1.0\n2,"bad"x,1\n3,few\n4,,1\n5,\xff,True\n'
    )
    file = write(tmp_path / "a.csv", content)
    rows = list(read_label_file(file, "a.csv", "text", "label", "1"))
    assert [(r.number, r.text, r.selected, r.problem) for r in rows] == [
        (0, 'two\nlines, one "text"', True, None),
        (1, None, True, "not_csv"),
        (2, None, True, "not_csv"),
        (3, None, True, "no_text"),
        (4, None, False, "not_utf8"),
    ]
    assert [r.selected for r in read_label_file(file, "a.csv", "text", "label", "true")][-1]
    with pytest.raises(LabelFieldError, match=r"'body'.*'label', 'n', 'text'"):
        list(read_label_file(file, "a.csv", "body", "", ""))
    cut = write(tmp_path / "b.csv.gz", content)
    cut.write_bytes(cut.read_bytes()[:-9])
    *before, last = read_label_file(cut, "b.csv.gz", "text", "", "")
    assert before
    assert (last.problem, last.text) == ("damaged", None)
    assert last.detail.startswith("byte 0: ")


def test_a_published_table() -> None:
    path = DATA / "pii_toxic" / "hatecheck_cases.csv.gz"
    if not path.is_file():
        pytest.skip(f"{path} is not there: shared data is not part of the project")
    rows = list(read_label_file(path, path.name, "test_case", "label_gold", "hateful"))
    assert [row.problem for row in rows if row.problem] == []
    assert (len(rows), sum(row.selected for row in rows)) == (3728, 2563)


@pytest.mark.parametrize("name", ["l.jsonl", "l.parquet"])
def test_a_missing_field_names_file_and_fields(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith("parquet"):
        pq.write_table(pa.Table.from_pylist(RECORDS), path)
    else:
        write(path, LINES)
    with pytest.raises(LabelFieldError, match=r"src/l.*'body'.*'label', 'text'"):
        list(read_label_file(path, f"src/{name}", "body", "", ""))
    with pytest.raises(LabelFieldError, match="'kind'"):
        list(read_label_file(path, f"src/{name}", "text", "kind", "a"))


def test_unknown_files(tmp_path: Path) -> None:
    with pytest.raises(LabelFormatError, match="unknown kind"):
        read_label_file(tmp_path / "x.xlsx", "x.xlsx", "text", "", "")
    (tmp_path / "x.parquet").write_text("no")
    with pytest.raises(LabelFormatError, match=r"x\.parquet"):
        list(read_label_file(tmp_path / "x.parquet", "x.parquet", "text", "", ""))


@pytest.mark.parametrize(
    ("value", "wanted", "answer"),
    [(1, "1", True), (1.0, "1", True), (1, "1.0", True), (True, "true", True), (True, "1", False),
     ("Good", "good", True), (None, "None", False), (2, "two", False)],
)  # fmt: skip
def test_values_compare_by_meaning(value: object, wanted: str, answer: bool) -> None:
    assert meets(value, wanted) is answer


@pytest.mark.parametrize("ending", ["jsonl", "txt"])
@pytest.mark.parametrize("pack", [partial(gzip.compress, mtime=0), zstandard.compress])
def test_behind_damage_reading_goes_on(
    tmp_path: Path, pack: Callable[[bytes], bytes], ending: str
) -> None:
    lines = LINES * 50 if ending == "jsonl" else b"first\nsecond\nthird\n" * 50
    members = [pack(lines) for _ in range(3)]
    half = len(members[1]) // 2
    members[1] = members[1][:half] + b"\xff" * (len(members[1]) - half)
    path = tmp_path / f"l.{ending}.gz"
    path.write_bytes(b"".join(members))
    rows = list(read_label_file(path, path.name, "text", "", ""))
    (place,) = (i for i, row in enumerate(rows) if row.problem == "damaged")
    assert [row.number for row in rows] == list(range(len(rows)))
    assert f"byte {len(members[0])}: " in rows[place].detail
    sound = [row.text for row in rows if row.problem is None]
    assert sound[:3] == sound[-3:]
    assert sound[0] == "first"
    assert len(sound) >= 6
    (told,) = offered(path)
    assert told[1] == "damaged"
    assert told[2].startswith(f"{path.name}, byte ")


def offered(path: Path) -> list[tuple[str, str, str]]:
    sampler = Sampler("s", 1, 0, 0, 0, False)
    return list(
        offer_file(sampler, path, path.name, "0" * 64, Condition("text", "", "", "", False))
    )


def test_a_damaged_row_group_costs_its_rows(tmp_path: Path) -> None:
    data, places = parquet(list(range(3 * GROUP)))
    start, end = places[1]
    path = tmp_path / "l.parquet"
    path.write_bytes(data[:start] + b"\xff" * (end - start) + data[end:])
    rows = list(read_label_file(path, path.name, "text", "", ""))
    assert [row.number for row in rows if row.problem is None] == [*range(5), *range(10, 15)]
    (lost,) = (row for row in rows if row.problem)
    assert (lost.number, lost.problem) == (5, "damaged")
    assert lost.detail.startswith("rows 5 to 9: ")
