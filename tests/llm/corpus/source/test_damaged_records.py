"""A record with a fault costs itself alone, or nothing: wherever it is, in any kind of archive."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest

from llm.corpus.source.records import Page, Rejected
from tests.llm.corpus.source.archive_bytes import LIMIT, PACKED, RECORDS, body, pages, read, warc

N = 7
Fault = Callable[[bytes], bytes]


def length(change: Callable[[bytes], bytes]) -> Fault:
    """The length a record declares, changed."""
    pattern = re.compile(rb"(?i)(?<=content-length: )\d+|(?<=text/html )\d+")
    return lambda raw: pattern.sub(lambda found: change(found[0]), raw, count=1)


def add(count: int) -> Fault:
    return length(lambda digits: b"%d" % (int(digits) + count))


def swap(old: bytes, new: bytes) -> Fault:
    return lambda raw: raw.replace(old, new, 1)


# What is wrong with a record, and whether its page can be kept all the same.
EVERYWHERE: dict[str, tuple[Fault, bool]] = {
    "declares one byte too few": (add(-1), True),
    "declares ten bytes too few": (add(-10), True),
    "declares a few bytes too many": (add(7), False),
    "declares more than the next record": (add(700), False),
    "declares more than the limit": (add(LIMIT), False),
    "declares 9e9 bytes": (length(lambda _: b"9000000000"), False),
    "declares 2**64 bytes": (length(lambda _: b"18446744073709551616"), False),
    "declares a number of 5,000 digits": (length(lambda _: b"7" * 5000), False),
    "declares a superscript": (length(lambda digits: digits + b"\xc2\xb2"), False),
    "declares letters": (length(lambda _: b"abc"), False),
    "declares -1": (length(lambda _: b"-1"), False),
    "declares nothing": (length(lambda _: b""), False),
    "a zero behind it": (lambda raw: raw + b"\0", True),
    "zeros behind it": (lambda raw: raw + bytes(100), True),
    "more line ends": (lambda raw: raw + b"\r\n\n\r\n", True),
    "cut short": (lambda raw: raw[:-25], False),
    "cut behind its header": (lambda raw: raw[: raw.index(b"HTTP/1.1")], False),
    "another format": (lambda raw: re.sub(rb"^\S+", b"junk", raw), False),
    "nothing but junk": (lambda _: b"some text of somebody's\n" * 9, False),
    "nothing but zeros and junk": (lambda _: bytes(50) + b"\xff" * 50, False),
    "no HTTP in it": (swap(b"HTTP/1.1 200", b"SPDY"), False),
}
HTTP_LENGTH = b"\r\nContent-Length: %d\r\n\r\n<html>" % len(body(0))
IN_WARC: dict[str, tuple[Fault, bool]] = {
    "declares 0 bytes, HTTP says how many": (
        lambda raw: length(lambda _: b"0")(swap(b"\r\n\r\n<html>", HTTP_LENGTH)(raw)),
        True,
    ),
    "names of fields in lower case": (
        lambda raw: re.sub(rb"(?m)^[A-Z][A-Za-z-]+:", lambda name: name[0].lower(), raw),
        True,
    ),
    "names of fields in upper case": (
        lambda raw: re.sub(rb"(?m)^[A-Z][A-Za-z-]+:", lambda name: name[0].upper(), raw),
        True,
    ),
    "its version in lower case": (swap(b"WARC/1.0", b"warc/1.0"), True),
    "a version of tomorrow": (swap(b"WARC/1.0", b"WARC/2.13"), True),
    "a version that is none": (swap(b"WARC/1.0", b"WARC/x"), False),
    "line feeds alone in its header": (
        lambda raw: raw.partition(b"HTTP")[0].replace(b"\r\n", b"\n") + raw[raw.index(b"HTTP") :],
        True,
    ),
    "no content type": (swap(b"Content-Type: application/http; msgtype=response\r\n", b""), True),
    "no date": (swap(b"WARC-Date: 2024-05-01T10:00:00Z\r\n", b""), True),
    "a date that is none": (swap(b"2024-05-01T", b"2024-99-01T"), True),
    "an address that is not UTF-8": (swap(b"http://x.org/", b"http://x.org/\xe9"), True),
}  # fmt: skip
CASES = [(kind, fault) for kind in ("warc", "arc") for fault in EVERYWHERE]
CASES += [("warc", fault) for fault in IN_WARC]


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_every_other_record_is_a_page(tmp_path: Path, kind: str, name: str) -> None:
    fault, kept = (EVERYWHERE | IN_WARC)[name]
    for packing, place in product(PACKED, (0, 3, N - 1)):
        records = [RECORDS[kind](number) for number in range(N)]
        records[place] = fault(records[place])
        found = read(tmp_path, kind, PACKED[packing](records))
        if kept:
            assert pages(found) == [body(number) for number in range(N)], (packing, place)
            continue
        assert pages(found) == [body(i) for i in range(N) if i != place], (packing, place)
        lost = [record for record in found if not isinstance(record, Page)]
        assert [type(record) for record in lost] == [Rejected], (packing, place, lost)


@pytest.mark.parametrize("packing", PACKED)
@pytest.mark.parametrize("kind", ["warc", "arc"])
def test_sound_records_are_read_and_none_is_mended(tmp_path: Path, kind: str, packing: str) -> None:
    found = read(tmp_path, kind, PACKED[packing]([RECORDS[kind](i) for i in range(N)]))
    assert pages(found) == [body(i) for i in range(N)]
    assert not any(isinstance(record, Page) and record.mended for record in found)
    assert len(found) == N


@pytest.mark.parametrize("packing", PACKED)
@pytest.mark.parametrize("kind", ["warc", "arc"])
def test_a_sound_record_above_the_limit_costs_itself_alone(
    tmp_path: Path, kind: str, packing: str
) -> None:
    """Whatever it holds: archives are in archives too."""
    inner = RECORDS[kind](99) * 300
    records = [RECORDS[kind](number) for number in range(N)]
    head, _, _ = records[3].partition(b"<html>")
    records[3] = add(len(inner) - len(body(3)))(
        head + inner + records[3][-4 if kind == "warc" else -1 :]
    )
    found = read(tmp_path, kind, PACKED[packing](records))
    assert pages(found) == [body(number) for number in range(N) if number != 3]
    (large,) = (record for record in found if not isinstance(record, Page))
    assert isinstance(large, Rejected)
    assert large.reason == "too_large"


@pytest.mark.parametrize("packing", PACKED)
def test_many_wrong_lengths_are_many_rows(tmp_path: Path, packing: str) -> None:
    wrong = length(lambda _: b"9000000000")
    records = [warc(i) if i % 2 else wrong(warc(i)) for i in range(80)]
    found = read(tmp_path, "warc", PACKED[packing](records))
    assert pages(found) == [body(i) for i in range(80) if i % 2]
    assert sum(isinstance(record, Rejected) for record in found) == 40


# Of a WARC record within the name of its version, a field, and its last line end; of an ARC record
# behind its URL and in its date.
CUTS = {"warc": [10, 12, 40, 150, -60], "arc": [15, 20, 30]}
HEADERS = {kind: RECORDS[kind](3).partition(b"HTTP")[0] for kind in CUTS}


@pytest.mark.parametrize("packing", PACKED)
@pytest.mark.parametrize(("kind", "cut"), [(kind, cut) for kind in CUTS for cut in CUTS[kind]])
def test_a_record_cut_within_its_header_is_truncated(
    tmp_path: Path, kind: str, cut: int, packing: str
) -> None:
    for place in (0, 3, N - 1):
        records = [RECORDS[kind](number) for number in range(N)]
        records[place] = HEADERS[kind][:cut]
        found = read(tmp_path, kind, PACKED[packing](records))
        assert pages(found) == [body(i) for i in range(N) if i != place], place
        urls = [record.url for record in found if isinstance(record, Page)]
        assert urls == [f"http://x.org/{i}" for i in range(N) if i != place], place
        (lost,) = (record for record in found if not isinstance(record, Page))
        assert isinstance(lost, Rejected)
        assert lost.reason == "truncated_record", (place, lost)
        assert "within its header" in lost.detail


def test_a_plain_archive_cut_anywhere_in_its_last_header(tmp_path: Path) -> None:
    for kind, least in (("warc", 4), ("arc", 6)):
        for cut in range(least, len(HEADERS[kind]) - 2):
            records = [RECORDS[kind](number) for number in range(3)]
            data = b"".join(records[:2]) + records[2][:cut]
            found = read(tmp_path, kind, data)
            assert [getattr(record, "reason", "page") for record in found] == [
                "page", "page", "truncated_record",
            ], (kind, cut)  # fmt: skip


def test_a_url_in_a_url_is_no_cut(tmp_path: Path) -> None:
    url = b"http://a.org/?u=http://b.org/c"
    record = RECORDS["arc"](0).replace(b"http://x.org/0", url)
    (found,) = read(tmp_path, "arc", record)
    assert isinstance(found, Page)
    assert found.url == url.decode()
