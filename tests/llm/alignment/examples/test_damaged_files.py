"""Files with rows that cannot be read: those are named, and all others are read."""

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

from llm.alignment.examples.files import ExampleFileError
from llm.alignment.examples.tables import Dropped, Example
from tests.llm.alignment.examples.example_rows import read


def test_a_field_that_is_there_twice(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text(
        '{"prompt": "a", "completion": "b"}\n'
        '{"prompt": "a", "completion": "b", "prompt": "c"}\n'
        '{"messages": [{"role": "user", "content": "a", "content": "b"}]}\n'
    )
    bad = [o for o in read(file, "instruction") if isinstance(o, Dropped)]
    assert [(o.reason, o.detail) for o in bad] == [
        ("duplicate_field", "a.jsonl:2: the field 'prompt' is there twice"),
        ("duplicate_field", "a.jsonl:3: the field 'content' is there twice"),
    ]
    table = tmp_path / "a.csv"
    table.write_text("prompt,prompt,completion\na,b,c\n")
    with pytest.raises(ExampleFileError, match=r"duplicate_field 1.*names 'prompt' twice"):
        read(table, "instruction")


def test_a_table_that_is_not_utf8(tmp_path: Path) -> None:
    table = tmp_path / "a.csv"
    table.write_bytes("prompt,completion\na,b\ncafé,déjà\n".encode("latin-1"))
    (bad,) = (o for o in read(table, "instruction") if isinstance(o, Dropped))
    assert (bad.reason, bad.detail) == ("undecodable", "a.csv:3: 'prompt' is not UTF-8")


def test_bad_rows_are_rejected_by_line_and_the_others_read(tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_bytes(
        b'{"prompt": "a", "completion": "b"}\n'
        b"\n"
        b"{not json\n"
        b'"text"\n'
        b"\xff\xfe\n"
        b'{"prompt": "a", "completion": ""}\n'
        + json.dumps({"prompt": "x" * 200_000, "completion": "b"}).encode()
        + b"\n"
        b'{"prompt": "c", "completion": "d"}'
    )
    found = read(file, "instruction")
    assert [o.where for o in found if isinstance(o, Example)] == ["mine.jsonl:1", "mine.jsonl:8"]
    bad = [o for o in found if isinstance(o, Dropped)]
    assert all(o.rejected for o in bad)
    assert [(o.reason, o.detail.split(": ")[0]) for o in bad] == [
        ("malformed_json", "mine.jsonl:3"),
        ("malformed_json", "mine.jsonl:4"),
        ("undecodable", "mine.jsonl:5"),
        ("empty_text", "mine.jsonl:6"),
        ("too_large", "mine.jsonl:7"),
    ]
    assert len({o.doc_id for o in found}) == len(found)


def test_a_damaged_file_gives_what_is_before_the_damage(tmp_path: Path) -> None:
    rows = [{"prompt": f"{n} {'ab' * (n % 7)}?", "completion": f"{n * 7919}"} for n in range(4000)]
    data = gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode())
    file = tmp_path / "cut.jsonl.gz"
    file.write_bytes(data[: len(data) // 2])
    *read_rows, last = read(file, "instruction")
    assert isinstance(last, Dropped)
    assert last.reason == "truncated_file"
    assert len(read_rows) > 100
    assert all(isinstance(o, Example) for o in read_rows)


@pytest.mark.parametrize("pack", [partial(gzip.compress, mtime=0), zstandard.compress])
def test_behind_damage_reading_goes_on(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    rows = [json.dumps({"prompt": f"p{n}?", "completion": f"{n * 7919}"}) for n in range(90)]
    members = [pack("".join(f"{row}\n" for row in rows[i : i + 30]).encode()) for i in (0, 30, 60)]
    middle = len(members[0]) + len(members[1]) // 2
    file = tmp_path / "e.jsonl.gz"
    file.write_bytes(b"".join(members)[:middle] + b"\xff" * (len(members[1]) // 2 - 1) + members[2])
    outcomes = read(file, "instruction")
    kept = [o.turns[0][0].content for o in outcomes if isinstance(o, Example)]
    assert kept[:30] == [f"p{n}?" for n in range(30)]
    assert kept[-30:] == [f"p{n}?" for n in range(60, 90)]
    # What comes out of the damaged member may end in lines that are no rows.
    dropped = [o for o in outcomes if isinstance(o, Dropped)]
    (lost,) = (o for o in dropped if f"byte {len(members[0])}: " in o.detail)
    assert lost.reason in ("bad_record", "truncated_file")


def test_a_damaged_row_group_and_a_text_that_is_no_utf8(tmp_path: Path) -> None:
    rows = [{"prompt": f"p{n}?", "completion": f"a{n}"} for n in range(30)]
    file = tmp_path / "e.parquet"
    table = pa.Table.from_pylist(rows)
    pq.write_table(table, file, row_group_size=10, write_page_checksum=True, compression="none")
    data = file.read_bytes()
    column = pq.ParquetFile(file).metadata.row_group(1).column(0)
    at = column.dictionary_page_offset or column.data_page_offset
    end = at + column.total_compressed_size
    file.write_bytes(data[:at] + b"\xff" * (end - at) + data[end:])
    outcomes = read(file, "instruction")
    assert len([o for o in outcomes if isinstance(o, Example)]) == 20
    (lost,) = (o for o in outcomes if isinstance(o, Dropped))
    assert lost.reason == "bad_record"
    assert "e.parquet:11 to 20 (row group 1): " in lost.detail

    texts = pa.array([b"a", b"\xff", b"c"]).cast(pa.binary()).view(pa.string())
    turns = pa.array(
        [[{"role": "user", "content": text.as_py()}] for text in texts.view(pa.binary())],
        pa.list_(pa.struct([("role", pa.string()), ("content", pa.binary())])),
    )
    nested = pa.ListArray.from_arrays(
        turns.offsets,
        pa.StructArray.from_arrays(
            [turns.values.field("role"), turns.values.field("content").view(pa.string())],
            ["role", "content"],
        ),
    )
    pq.write_table(pa.table({"prompt": nested, "completion": ["x", "y", "z"]}), file)
    first, bad, last = read(file, "instruction")
    assert isinstance(first, Example)
    assert isinstance(last, Example)
    assert isinstance(bad, Dropped)
    assert bad.reason == "undecodable"
    assert "'prompt' is not UTF-8 at byte 0" in bad.detail


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("wrong.jsonl", '{"text": "a"}\n', r"none of its 1 rows .*wrong.jsonl:1: .*text"),
        ("empty.jsonl", "", "empty.jsonl: empty"),
        ("one.json", '{"prompt": "a", "completion": "b"}', "malformed_json 1"),
        ("bad.parquet", "nonsense", "not_parquet 1"),
        ("notes.txt", "a", "end in .jsonl"),
    ],
)
def test_a_file_without_an_example_is_an_error(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ExampleFileError, match=message):
        read(tmp_path / name, "instruction")
