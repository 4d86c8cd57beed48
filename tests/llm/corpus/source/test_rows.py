import gzip
import json
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llm.corpus.source.arrow_rows import python_rows
from llm.corpus.source.records import Page, Record, Rejected, Removed
from llm.corpus.source.rows import Fields, read_jsonl, read_parquet

FIELDS = Fields("text", "url", "id", "date", "license", "text/plain")
ROWS = [
    {"text": "Über den Fluss", "url": " http://x.org/a ", "date": "2024-02-03T04:05:06Z"},
    {"text": "second", "id": 7, "license": "CC-BY-4.0"},
    {"text": "third", "date": "soon"},
]


def reasons(records: list[Record]) -> list[str]:
    return ["page" if isinstance(r, Page) else r.reason for r in records]


def test_rows_of_jsonl_and_parquet_make_the_same_pages(tmp_path: Path) -> None:
    jsonl, parquet = tmp_path / "a.jsonl.gz", tmp_path / "a.parquet"
    jsonl.write_bytes(gzip.compress("\n".join(map(json.dumps, ROWS)).encode()))
    types = {"text": "string", "url": "string", "id": "int64", "date": "string"}
    schema = pa.schema([*types.items(), ("license", "string")])
    pq.write_table(pa.Table.from_pylist(ROWS, schema=schema), parquet)
    pages = list(read_jsonl(jsonl, "a", FIELDS, 1000))
    assert list(read_parquet(parquet, "a", FIELDS, 1000)) == pages
    first, second, third = pages
    assert isinstance(first, Page)
    assert isinstance(second, Page)
    assert isinstance(third, Page)
    assert first.url == "http://x.org/a"
    assert first.payload.decode() == "Über den Fluss"
    assert first.fetched_at == datetime(2024, 2, 3, 4, 5, 6, tzinfo=UTC)
    assert (second.url, second.license) == ("id:7", "CC-BY-4.0")
    assert third.url.startswith("urn:xxh3:")
    assert third.fetched_at is None


def test_a_row_without_a_name_keeps_its_name_when_rows_move(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "one"}\n{"text": "two"}\n')
    before = {r.url for r in read_jsonl(path, "a.jsonl", FIELDS, 1000)}
    path.write_text('{"text": "two"}\n\n{"text": "one"}')
    assert {r.url for r in read_jsonl(path, "b.jsonl", FIELDS, 1000)} == before


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"text": "cut', "malformed_json"),
        (b'["text"]', "malformed_json"),
        (b"[" * 100_000, "malformed_json"),
        (b'{"content": "x"}', "missing_field"),
        (b'{"text": null}', "missing_field"),
        (b'{"text": 5}', "wrong_type"),
        (b'{"text": "\xff"}', "undecodable"),
        (b'{"text": "\\ud800"}', "undecodable"),
        (b'{"text": " "}', "empty_body"),
        (b'{"text": "' + b"x" * 200_000 + b'"}', "too_large"),
    ],
)
def test_bad_lines_name_their_number(tmp_path: Path, line: bytes, reason: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "good"}\n' + line + b'\n{"text": "also"}\n')
    records = list(read_jsonl(path, "a.jsonl", FIELDS, 150_000))
    assert reasons(records) == ["page", reason, "page"]
    bad = records[1]
    assert isinstance(bad, (Rejected, Removed))
    assert "a.jsonl, line 2" in str(bad.detail)


def test_a_cut_gzip_keeps_the_lines_before(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    rows = b"".join(b'{"text": "%d"}\n' % (i * i) for i in range(20_000))
    path.write_bytes(gzip.compress(rows)[:-20_000])
    records = list(read_jsonl(path, "a", FIELDS, 1000))
    assert reasons(records)[-1] == "truncated_file"
    assert set(reasons(records)[:-1]) == {"page"}
    assert len(records) > 1000


def test_parquet_that_is_none_or_lacks_the_column_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1 no")
    assert reasons(list(read_parquet(path, "a", FIELDS, 99))) == ["not_parquet"]
    pq.write_table(pa.table({"body": ["x"]}), path)
    (row,) = read_parquet(path, "a", FIELDS, 99)
    assert isinstance(row, Rejected)
    assert row.reason == "missing_field"
    assert "body" in row.detail


def test_odd_dates_and_licences_cost_no_document(tmp_path: Path) -> None:
    path = tmp_path / "odd.jsonl"
    rows = [
        {"text": "at the edge of time", "date": "0001-01-01T00:00:00+05:00"},
        {"text": "half a character", "license": "\ud83d"},
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    first, second = read_jsonl(path, path.name, FIELDS, 1000)
    assert isinstance(first, Page)
    assert first.fetched_at is None
    assert isinstance(second, Page)
    assert second.license == "?"


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_timestamps_of_another_unit_are_no_dates(tmp_path: Path, unit: str) -> None:
    good = datetime(2024, 2, 3, tzinfo=UTC)
    a_second = {"ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    ticks = [int(good.timestamp()) * a_second, 2**62, -(2**62)]
    dates = pa.array(ticks, pa.int64()).cast(pa.timestamp(unit, "UTC"))
    path = tmp_path / "dates.parquet"
    pq.write_table(pa.table({"text": ["a", "b", "c"], "date": dates}), path)
    pages = list(read_parquet(path, path.name, FIELDS, 1000))
    assert reasons(pages) == ["page"] * 3
    fetched = [page.fetched_at for page in pages if isinstance(page, Page)]
    assert fetched[0] == good
    if unit != "ns":  # nanoseconds hold no year beyond 2262
        assert fetched[1:] == [None, None]


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/Los_Angeles", None])
def test_the_first_and_last_day_there_is(tmp_path: Path, zone: str | None) -> None:
    seconds = [253_402_300_799, -62_135_596_800]
    stamps = pa.array([s * 1000 for s in seconds], pa.int64()).cast(pa.timestamp("ms", zone))
    path = tmp_path / "ends.parquet"
    pq.write_table(pa.table({"text": ["a", "b"], "date": stamps}), path)
    first, second = read_parquet(path, path.name, FIELDS, 1000)
    assert isinstance(first, Page)
    assert isinstance(second, Page)
    assert first.fetched_at == datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert second.fetched_at == datetime(1, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("kind", [pa.date32(), pa.date64()])
def test_days_of_another_unit_are_no_dates(tmp_path: Path, kind: pa.DataType) -> None:
    days = pa.array([2**31 - 1, -(2**31), 19_000], pa.int32()).cast(pa.date32())
    column = days if kind == pa.date32() else days.cast(kind)
    path = tmp_path / "days.parquet"
    pq.write_table(pa.table({"text": ["a", "b", "c"], "date": column}), path)
    assert reasons(list(read_parquet(path, path.name, FIELDS, 1000))) == ["page"] * 3


@pytest.mark.parametrize("kind", [pa.date32(), pa.date64()])
def test_a_day_is_a_date(tmp_path: Path, kind: pa.DataType) -> None:
    column = pa.array([19_723, None], pa.int32()).cast(pa.date32()).cast(kind)
    path = tmp_path / "days.parquet"
    pq.write_table(pa.table({"text": ["a", "b"], "date": column}), path)
    pages = [row for row in read_parquet(path, path.name, FIELDS, 1000) if isinstance(row, Page)]
    assert [page.fetched_at for page in pages] == [datetime(2024, 1, 1, tzinfo=UTC), None]


def test_a_string_that_is_not_utf8_costs_its_row_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    bad = pa.array([b"one", b"caf\xe9", b"three"]).view(pa.string())
    names = pa.array([b"http://x.org/\xe9", b"b", b"c"]).view(pa.string())
    for texts in (bad, bad.cast(pa.binary()).view(pa.string()).dictionary_encode()):
        pq.write_table(pa.table({"text": texts, "url": names}), path)
        rows = list(read_parquet(path, path.name, FIELDS, 1000))
        assert reasons(rows) == ["page", "undecodable", "page"]
        assert rows[0].url == "http://x.org/%E9"
        assert isinstance(rows[1], Rejected)
        assert "a.parquet, row 2: 'text' is not UTF-8 at byte 3" in rows[1].detail


NS = 1_704_164_645_123_456_789
AT = datetime(2024, 1, 2, 3, 4, 5, 123456)


def _struct(kind: pa.DataType, ticks: int) -> pa.Array:
    return pa.array(
        [{"role": "user", "at": ticks}], pa.struct([("role", pa.string()), ("at", kind)])
    )


@pytest.mark.parametrize(
    ("column", "value"),
    [
        (pa.array([NS], pa.timestamp("ns")), AT),
        (_struct(pa.timestamp("ns"), NS), {"role": "user", "at": AT}),
        (_struct(pa.timestamp("ns", "UTC"), NS), {"role": "user", "at": AT.replace(tzinfo=UTC)}),
        (
            _struct(pa.timestamp("us", "Mars/Olympus"), NS // 1000),
            {"role": "user", "at": AT.replace(tzinfo=UTC)},
        ),
        (_struct(pa.timestamp("us"), 2**62), {"role": "user", "at": None}),
        (pa.array([[NS, None]], pa.list_(pa.timestamp("ns"))), [AT, None]),
        (
            pa.array([[{"at": NS}], None, []], pa.list_(pa.struct([("at", pa.timestamp("ns"))])))[
                :1
            ],
            [{"at": AT}],
        ),
        (pa.array([[NS]], pa.large_list(pa.timestamp("ns"))), [AT]),
        (pa.array([[NS]], pa.list_(pa.timestamp("ns"), 1)), [AT]),
        (pa.array([[("a", NS)]], pa.map_(pa.string(), pa.timestamp("ns"))), [("a", AT)]),
        (pa.array([123_456_789], pa.time64("ns")), time(microsecond=123_456)),
        (pa.array([123_456_789], pa.duration("ns")), timedelta(microseconds=123_456)),
        (pa.array([2**62], pa.duration("s")), None),
        (pa.array([[2**62]], pa.list_(pa.duration("s"))), [None]),
        (pa.array([[2**31 - 1]], pa.list_(pa.int32())).cast(pa.list_(pa.date32())), [None]),
        (pa.array([NS], pa.timestamp("ns")).dictionary_encode(), AT),
    ],
)
def test_times_python_has_no_value_for_cost_no_row(column: pa.Array, value: Any) -> None:
    batch = pa.record_batch([column, pa.array(["text"])], ["a", "text"])
    assert list(python_rows(batch)) == [{"a": value, "text": "text"}]
