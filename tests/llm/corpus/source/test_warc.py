import gzip
import io
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm.corpus.source.archives import read_archive
from llm.corpus.source.records import Page, Record, Rejected

SHARED = Path(__file__).resolve().parents[4].parent / "shared" / "data" / "warc"
LIMIT = 10_000_000

needs_data = pytest.mark.skipif(
    not SHARED.is_dir(), reason="the shared test archives are not beside the checkout"
)


def record(kind: str, url: str, block: bytes, number: int, media: str) -> bytes:
    head = (
        f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: {url}\r\n"
        f"WARC-Date: 2024-05-0{number % 9 + 1}T10:00:00Z\r\n"
        f"WARC-Record-ID: <urn:uuid:00000000-0000-0000-0000-{number:012}>\r\n"
        f"Content-Type: {media}\r\nContent-Length: {len(block)}\r\n\r\n"
    )
    return head.encode() + block + b"\r\n\r\n"


def response(number: int, body: bytes | None = None, head: str = "") -> bytes:
    body = body if body is not None else b"<html><p>page %d</p></html>" % number
    status = head or "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=ISO-8859-1\r\n"
    block = f"{status}Content-Length: {len(body)}\r\n\r\n".encode() + body
    return record(
        "response", f"http://x.org/{number}", block, number, "application/http; msgtype=response"
    )


def read(path: Path, limit: int = LIMIT) -> list[Record]:
    return list(read_archive(path, path.name, limit))


def shape(records: list[Record]) -> Counter[str]:
    return Counter("page" if isinstance(r, Page) else r.reason for r in records)


def bodies(records: list[Record]) -> list[bytes]:
    return [r.payload for r in records if isinstance(r, Page)]


def write(path: Path, records: list[bytes], packed: bool) -> list[int]:
    """Write an archive; returns the offset of each record."""
    stream, offsets = io.BytesIO(), []
    for one in records:
        offsets.append(stream.tell())
        stream.write(gzip.compress(one, mtime=0) if packed else one)
    path.write_bytes(stream.getvalue())
    return offsets


def test_a_page_keeps_what_the_record_says(tmp_path: Path) -> None:
    path = tmp_path / "a.warc"
    offsets = write(path, [response(1), response(2)], packed=False)
    page = read(path)[1]
    assert isinstance(page, Page)
    assert page.url == "http://x.org/2"
    assert page.payload == b"<html><p>page 2</p></html>"
    assert (page.content_type, page.charset) == ("text/html", "iso-8859-1")
    assert page.offset == offsets[1]
    assert page.fetched_at is not None
    assert page.fetched_at.isoformat() == "2024-05-03T10:00:00+00:00"


@pytest.mark.parametrize("packed", [False, True])
def test_a_file_cut_in_the_middle_keeps_what_is_before(tmp_path: Path, packed: bool) -> None:
    path = tmp_path / "a.warc"
    offsets = write(
        path, [response(i, b"<html>" + bytes([65 + i]) * 5000) for i in range(5)], packed
    )
    data = path.read_bytes()
    for cut in (offsets[3] + 1, offsets[3] + 40, offsets[3] + (60 if packed else 900)):
        path.write_bytes(data[:cut])
        records = read(path)
        assert len(bodies(records)) == 3
        broken = [r for r in records if isinstance(r, Rejected)]
        assert len(broken) == 1, broken
        assert str(offsets[3]) in broken[0].detail
    path.write_bytes(data[: offsets[3]])
    assert shape(read(path)) == {"page": 3}


@pytest.mark.parametrize("packed", [False, True])
def test_reading_goes_on_behind_a_broken_record(tmp_path: Path, packed: bool) -> None:
    path = tmp_path / "a.warc"
    offsets = write(path, [response(i) for i in range(6)], packed)
    data = bytearray(path.read_bytes())
    at = offsets[2] + (20 if packed else 0)
    data[at : at + 12] = b"\0garbage\0\0\0\0"
    path.write_bytes(data)
    records = read(path)
    assert bodies(records) == [b"<html><p>page %d</p></html>" % i for i in (0, 1, 3, 4, 5)]
    broken = [r for r in records if isinstance(r, Rejected)]
    assert [r.reason for r in broken] == ["bad_record"]
    assert str(offsets[2]) in broken[0].detail


def _longer(raw: bytes, by: int) -> bytes:
    length = int(raw.split(b"Content-Length: ")[1].split(b"\r\n")[0])
    return raw.replace(b"Content-Length: %d" % length, b"Content-Length: %d" % (length + by), 1)


MALFORMED = {
    "another format": lambda raw: raw.replace(b"WARC/1.0", b"WORK/1.0"),
    "no such version": lambda raw: raw.replace(b"WARC/1.0", b"WARC/x"),
    "declares too much": lambda raw: _longer(raw, 50),
    "not a record": lambda _: b"some text of somebody's\n" * 9,
}


@pytest.mark.parametrize("fault", MALFORMED)
def test_a_malformed_record_in_a_sound_member_costs_itself_alone(
    tmp_path: Path, fault: str
) -> None:
    path = tmp_path / "a.warc.gz"
    records = [response(i) for i in range(7)]
    records[2] = MALFORMED[fault](records[2])
    offsets = write(path, records, packed=True)
    found = read(path)
    assert bodies(found) == [b"<html><p>page %d</p></html>" % i for i in (0, 1, 3, 4, 5, 6)]
    broken = [r for r in found if isinstance(r, Rejected)]
    assert len(broken) == 1
    assert str(offsets[2]) in broken[0].detail


def _archive(path: Path, members: list[bytes]) -> list[Record]:
    path.write_bytes(b"".join(gzip.compress(member, mtime=0) for member in members))
    return read(path)


def test_a_page_that_shares_a_member_is_kept_before_a_broken_one(tmp_path: Path) -> None:
    together = response(0) + response(1)
    found = _archive(tmp_path / "a.warc.gz", [together, b"junk\n" * 9, response(2)])
    assert shape(found) == {"page": 3, "bad_record": 1}


def test_a_record_of_any_kind_with_a_wrong_length_has_one_fate(tmp_path: Path) -> None:
    asked = _longer(record("request", "http://x.org", b"GET / HTTP/1.1\r\n\r\n", 1, ""), -6)
    found = _archive(tmp_path / "a.warc.gz", [response(0), asked, response(2)])
    assert shape(found) == {"page": 2, "request": 1}


def test_an_empty_member_does_not_end_an_archive(tmp_path: Path) -> None:
    members = [response(0), b"", response(1), b"", b"", response(2)]
    assert shape(_archive(tmp_path / "a.warc.gz", members)) == {"page": 3}


OK = "HTTP/1.1 200 OK\r\n"
HTML = "Content-Type: text/html\r\n"


@pytest.mark.parametrize(
    ("records", "reason"),
    [
        (record("request", "http://x.org", b"GET / HTTP/1.1\r\n\r\n", 1, ""), "request"),
        (record("warcinfo", "", b"software: x", 1, "application/warc-fields"), "warcinfo"),
        (record("metadata", "http://x.org", b"a: b", 1, "application/warc-fields"), "metadata"),
        (record("response", "dns:x.org", b"20240501 1.2.3.4", 1, "text/dns"), "not_http"),
        (response(1, b"<html>gone</html>", "HTTP/1.1 404 No\r\n" + HTML), "http_status"),
        (response(1, b"%PDF", OK + "Content-Type: application/pdf\r\n"), "content_type"),
        (response(1, b"no markup", "HTTP/1.1 200 OK\r\n"), "content_type"),
        (response(1, b"  \n"), "empty_body"),
        (response(1, b"nope", "SPDY 9\r\n"), "bad_http"),
        (response(1, bytes(20_000)), "too_large"),
        (
            response(1, b"zz", OK + HTML + "Content-Encoding: sdch\r\n"),
            "unknown_content_encoding",
        ),
    ],
)  # fmt: skip
def test_reasons(tmp_path: Path, records: bytes, reason: str) -> None:
    path = tmp_path / "a.warc"
    path.write_bytes(records)
    assert shape(read(path, 10_000)) == {reason: 1}


def test_html_without_a_content_type_is_recognised(tmp_path: Path) -> None:
    path = tmp_path / "a.warc"
    path.write_bytes(response(1, b"<!DOCTYPE html><p>hello", "HTTP/1.1 200 OK\r\n"))
    assert shape(read(path)) == {"page": 1}


@pytest.mark.parametrize(
    "before",
    [
        "\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nContent-Type: text/css\r\n\r\n",
        "HTTP/1.0 200 Connection established\r\nProxy-agent: x\r\n\r\n",
        "HTTP/1.0 407 Proxy\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n\r\n",
    ],
)
def test_of_several_responses_the_last_is_the_page(tmp_path: Path, before: str) -> None:
    head = before + OK + HTML + "X-Robots-Tag: noai\r\n"
    path = tmp_path / "a.warc"
    path.write_bytes(response(1, b"<html><p>hello", head) + response(2))
    first, second = read(path)
    assert isinstance(first, Page)
    assert isinstance(second, Page)
    assert (first.payload, first.robots) == (b"<html><p>hello", "noai")
    assert second.robots is None


def test_a_page_about_http_is_one(tmp_path: Path) -> None:
    body = b"HTTP/1.1 404 Not Found\r\n\r\n<html><p>is what a server says"
    path = tmp_path / "a.warc"
    path.write_bytes(response(1, body) + response(2, b"", "HTTP/1.1 100 Continue\r\n"))
    assert bodies(read(path)) == [body]
    assert shape(read(path)) == {"page": 1, "http_status": 1}


@pytest.mark.parametrize("data", [b"hello world\n" * 99, gzip.compress(b"hello" * 99), b"\x1f\x8b"])
def test_a_file_that_is_no_archive_is_one_rejected_row(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.warc.gz"
    path.write_bytes(data)
    records = read(path)
    assert len(records) == 1
    assert isinstance(records[0], Rejected)


def test_an_empty_file_has_no_record(tmp_path: Path) -> None:
    path = tmp_path / "a.warc"
    path.write_bytes(b"")
    assert read(path) == []


@given(st.integers(0, 5000), st.binary(max_size=40), st.booleans())
@settings(
    max_examples=150, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_damage_raises_or_hangs(tmp_path: Path, at: int, junk: bytes, packed: bool) -> None:
    path = tmp_path / "a.warc"
    write(path, [response(i) for i in range(8)], packed)
    data = bytearray(path.read_bytes())
    at %= len(data)
    data[at : at + len(junk)] = junk
    path.write_bytes(data)
    records = read(path)
    assert len(records) <= 24
    sound = {b"<html><p>page %d</p></html>" % i for i in range(8)}
    assert len(sound - set(bodies(records))) <= 4


# What each archive holds, counted by hand and with warcio.
REAL = {
    "cc-multilang-16.warc.gz": {"page": 16, "warcinfo": 1, "request": 17, "metadata": 16},
    "whirlwind.warc.gz": {"page": 1, "warcinfo": 1, "request": 1, "metadata": 1},
    "whirlwind.warc.wet.gz": {"page": 1, "warcinfo": 1},
    "whirlwind.warc.wat.gz": {"warcinfo": 1, "metadata": 1},
    "truncated.arc": {"page": 2, "warcinfo": 1, "not_http": 1, "content_type": 5},
    "warcio/bad.arc": {"bad_http": 1, "bad_record": 3},
    "warcio/example-trunc.warc": {"warcinfo": 2, "bad_content_encoding": 1, "request": 1},
    "warcio/example-bad.warc.gz.bad": {
        "page": 1, "warcinfo": 1, "request": 2, "revisit": 1, "http_status": 1
    },
    "warcio/example-bad-non-chunked.warc.gz": {
        "page": 1, "warcinfo": 2, "request": 2, "revisit": 1
    },
    "warcio/example-wrong-chunks.warc.gz": {"page": 1, "request": 1},
    "warcio/example-iana.org-chunked.warc": {"page": 1, "warcinfo": 1, "request": 1},
    "warcio/example-resource.warc.gz": {"page": 1, "warcinfo": 2},
    "warcio/example-space-in-target-uri.warc.gz": {"warcinfo": 1, "content_type": 1},
    "warcio/example-space-in-url.arc": {"warcinfo": 1, "truncated_record": 1},
    "warcio/example.arc.gz": {"page": 1, "warcinfo": 1},
    "warcio/example.warc": {"page": 1, "warcinfo": 2, "request": 2, "revisit": 1},
    "warcio/post-test.warc.gz": {"content_type": 3, "request": 3},
}  # fmt: skip


@needs_data
@pytest.mark.parametrize("name", REAL)
def test_real_archives(name: str) -> None:
    assert shape(read(SHARED / name)) == REAL[name]


@needs_data
def test_plain_and_gzipped_archives_give_the_same_pages() -> None:
    packed, plain = read(SHARED / "cc-multilang-16.warc.gz"), read(SHARED / "cc-multilang-16.warc")
    assert bodies(packed) == bodies(plain)


@needs_data
def test_the_same_capture_in_arc_and_warc_has_the_same_payload() -> None:
    texts = [
        bodies(read(SHARED / "warcio" / name))[0]
        for name in (
            "example.arc",
            "example.arc.gz",
            "example.warc.gz",
            "example-wrong-chunks.warc.gz",
        )
    ]
    assert all(b"<h1>Example Domain</h1>" in text for text in texts)
    assert texts[0] == texts[1]


@needs_data
def test_every_cut_of_a_real_archive_is_survived(tmp_path: Path) -> None:
    data = (SHARED / "warcio" / "example.warc.gz").read_bytes()
    whole = len(read(SHARED / "warcio" / "example.warc.gz"))
    path = tmp_path / "a.warc.gz"
    last = 0
    for cut in range(1, len(data), 7):
        path.write_bytes(data[:cut])
        records = read(path)
        sound = [r for r in records if not isinstance(r, Rejected)]
        assert last <= len(sound) + 1 <= whole + 1
        last = max(last, len(sound))
        assert len(records) - len(sound) <= 1


@pytest.mark.parametrize("packed", [True, False])
def test_wherever_a_file_is_cut_every_record_has_one_fate(tmp_path: Path, packed: bool) -> None:
    records = [response(number) for number in range(3)]
    if packed:
        records = [gzip.compress(piece, mtime=0) for piece in records]
    path, data = tmp_path / "cut.warc.gz", b"".join(records)
    begin, behind_body = len(data) - len(records[2]), 12  # a gzip trailer, or the closing line ends
    for end in range(begin + 1, len(data)):
        path.write_bytes(data[:end])
        found = read(path)
        assert bodies(found)[:2] == [b"<html><p>page 0</p></html>", b"<html><p>page 1</p></html>"]
        last, *rest = found[2:]
        if isinstance(last, Page):  # all of it is there; what followed in its member is not known
            assert len(data) - end < behind_body
            assert last.payload == b"<html><p>page 2</p></html>"
            assert [type(row) for row in rest] in ([], [Rejected])
        else:
            assert isinstance(last, Rejected)
            assert f"cut.warc.gz, byte {begin}: " in last.detail
            assert not rest
