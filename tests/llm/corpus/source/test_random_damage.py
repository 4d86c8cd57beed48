"""Any damage anywhere: no reader raises, nothing is silent, and what is far from it is read."""

from __future__ import annotations

import gzip
import json
import re
from itertools import accumulate
from pathlib import Path

import pytest
from fastwarc.warc import ArchiveIterator, WarcRecordType
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm.corpus.source.records import Page, Record, Rejected
from tests.llm.corpus.source.archive_bytes import (
    GROUP,
    PACKED,
    RECORDS,
    body,
    line,
    pages,
    parquet,
    read,
    warc,
)

N = 12
SHARED = Path(__file__).resolve().parents[4].parent / "shared" / "data"
OPERATIONS = ("overwrite", "insert", "delete", "zero", "cut")
quick = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def damaged(data: bytes, operation: str, at: int, junk: bytes) -> tuple[bytes, int]:
    """The bytes with damage at a place, and where in the old bytes it ends."""
    end = min(len(data), at + len(junk))
    if operation == "cut":
        return data[:at], len(data)
    if operation == "insert":
        return data[:at] + junk + data[at:], at
    new = {"overwrite": junk[: end - at], "delete": b"", "zero": bytes(end - at)}[operation]
    return data[:at] + new + data[end:], end


def told(records: list[Record]) -> bool:
    """Whether a row says that something was wrong, or its page that it was put right."""
    return any(not isinstance(record, Page) or record.mended for record in records)


def sound_lines(data: bytes) -> bool:
    """Whether all lines are JSON objects: what is missing between two of them shows nowhere."""
    try:
        return all(isinstance(json.loads(line), dict) for line in data.splitlines() if line.strip())
    except ValueError:
        return False


damage = st.tuples(
    st.sampled_from(OPERATIONS),
    st.floats(0, 1, exclude_max=True),
    st.binary(min_size=1, max_size=90),
)


@given(
    st.sampled_from(sorted(RECORDS)),
    st.sampled_from(["plain", "gz, each", "lz4, each", "zst, each"]),
    damage,
)
@quick
def test_records_apart_from_the_damage_are_read(
    tmp_path: Path, kind: str, packing: str, hit: tuple[str, float, bytes]
) -> None:
    packed = [PACKED[packing]([RECORDS[kind](number)]) for number in range(N)]
    data = b"".join(packed)
    operation, where, junk = hit
    at = int(where * len(data))
    changed, end = damaged(data, operation, at, junk)
    found = read(tmp_path, kind, changed)
    ends = list(accumulate(map(len, packed)))
    hurt = {
        i for i, stop in enumerate(ends) if stop > at and stop - len(packed[i]) < max(end, at + 1)
    }
    near = {i + step for i in hurt for step in (-1, 0, 1)}
    assert {body(i) for i in range(N) if i not in near} <= set(pages(found))
    # A file that ends behind a record, or in the line ends behind it, looks as if it were whole.
    looks_whole = operation == "cut" and any(stop - 4 <= at <= stop for stop in (0, *ends))
    looks_whole |= kind == "jsonl" and sound_lines(changed)
    if len(pages(found)) < N and not looks_whole:
        assert told(found)
    assert 1 <= len(found) <= N + 4


@pytest.mark.parametrize("kind", sorted(RECORDS))
@pytest.mark.parametrize("packing", ["gz, each", "lz4, each", "zst, each"])
def test_a_file_cut_anywhere_in_its_second_member_says_so(
    tmp_path: Path, kind: str, packing: str
) -> None:
    first, second = (PACKED[packing]([RECORDS[kind](number)]) for number in range(2))
    for kept in range(1, len(second)):  # also in the trailer, when all of the page is there
        found = read(tmp_path, kind, first + second[:kept])
        assert pages(found)[0] == body(0)
        assert told(found), kept


@given(st.sampled_from(sorted(RECORDS)), st.sampled_from(sorted(PACKED)), damage)
@quick
def test_records_before_the_damage_are_read_whatever_the_packing(
    tmp_path: Path, kind: str, packing: str, hit: tuple[str, float, bytes]
) -> None:
    before = [RECORDS[kind](number) for number in range(3)]
    behind = PACKED[packing]([RECORDS[kind](number) for number in range(3, N)])
    operation, where, junk = hit
    changed, _ = damaged(behind, operation, int(where * len(behind)), junk)
    found = read(tmp_path, kind, PACKED[packing](before) + changed)
    assert {body(0), body(1)} <= set(pages(found))
    if len(pages(found)) < N and operation != "cut" and not sound_lines(changed):
        assert told(found)


@given(damage)
@quick
def test_other_row_groups_are_read_and_lost_rows_are_counted(
    tmp_path: Path, hit: tuple[str, float, bytes]
) -> None:
    data, groups = parquet(list(range(4 * GROUP)))
    operation, where, junk = hit
    if operation in ("overwrite", "zero"):
        first, end = groups[1]
        at = first + int(where * (end - first))
        changed, _ = damaged(data, operation, at, junk[: end - at])
    else:
        changed, _ = damaged(data, operation, int(where * len(data)), junk)
    found = read(tmp_path, "parquet", changed)
    assert found
    if operation in ("overwrite", "zero"):
        others = [body(i) for i in range(4 * GROUP) if i // GROUP != 1]
        assert [p for p in pages(found) if p in others] == others
    lost = 0
    for record in found:
        if isinstance(record, Rejected) and record.reason == "bad_record":
            rows = re.search(r"rows (\d+) to (\d+)", record.detail)
            assert rows is not None
            lost += int(rows[2]) - int(rows[1]) + 1
    whole_file = any(isinstance(r, Rejected) and r.reason != "bad_record" for r in found)
    assert whole_file or len(pages(found)) + lost == 4 * GROUP


@given(
    st.binary(max_size=400), st.sampled_from(["warc", "arc", "jsonl", "parquet", "html", "text"])
)
@quick
def test_any_bytes_are_at_least_a_row(tmp_path: Path, data: bytes, kind: str) -> None:
    for content in (data, gzip.compress(data), b"PAR1" + data + b"PAR1", b"WARC/1.0\r\n" + data):
        assert read(tmp_path, kind, content)


def test_lines_behind_a_damaged_member_are_read(tmp_path: Path) -> None:
    members = [gzip.compress(line(number), mtime=0) for number in range(5)]
    members[2] = members[2][:20] + b"\xff\xff" + members[2][22:]
    found = read(tmp_path, "jsonl", b"".join(members))
    assert pages(found) == [body(number) for number in (0, 1, 3, 4)]
    (lost,) = (record for record in found if isinstance(record, Rejected))
    assert str(len(members[0]) + len(members[1])) in lost.detail


@pytest.mark.skipif(
    not SHARED.is_dir(), reason="the shared test archives are not beside the checkout"
)
@pytest.mark.parametrize(
    "name",
    [
        *(
            "warc/cc-multilang-16.warc.gz",
            "warc/cc-multilang-16.warc",
            "warc/ia-2008-example.warc.gz",
        ),
        *("warc/dolma-sample-0000.warc.gz", "html_warc/mdn-i18n-00.warc.gz"),
    ],
)
def test_sound_archives_are_read_as_fastwarc_reads_them(tmp_path: Path, name: str) -> None:
    kinds = {"request", "metadata", "warcinfo", "revisit", "continuation", "unknown_record_type"}
    found = read(tmp_path, "warc", (SHARED / name).read_bytes(), 10_000_000)
    with (SHARED / name).open("rb") as stream:
        expected = [
            (record.headers.get("WARC-Target-URI", ""), record.stream_pos, record.record_date)
            for record in ArchiveIterator(stream, parse_http=False)
            if record.record_type
            & (WarcRecordType.response | WarcRecordType.resource | WarcRecordType.conversion)
        ]
    ours = [r for r in found if isinstance(r, Page) or r.reason not in kinds]
    plain = [(url.strip("<>"), place, date) for url, place, date in expected]
    assert [record.url for record in ours] == [url for url, _, _ in plain]
    places = {(url, place): date for url, place, date in plain}
    for page in ours:
        if isinstance(page, Page):
            assert page.offset is not None
            assert page.fetched_at == places[page.url, page.offset]


def test_an_archive_is_read_with_the_dictionary_it_brings(tmp_path: Path) -> None:
    import zstandard

    records = [warc(number) for number in range(40)]
    trained = zstandard.train_dictionary(2000, records)
    packer = zstandard.ZstdCompressor(dict_data=trained)
    frames = b"".join(map(packer.compress, records))
    for dictionary in (trained.as_bytes(), zstandard.compress(trained.as_bytes())):
        head = b"\x5d\x2a\x4d\x18" + len(dictionary).to_bytes(4, "little")
        assert pages(read(tmp_path, "warc", head + dictionary + frames)) == [
            body(number) for number in range(40)
        ]
    assert not pages(read(tmp_path, "warc", frames))
