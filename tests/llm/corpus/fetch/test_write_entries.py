"""Entries written into a file of a snapshot: whole, in order, or not at all."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from llm.corpus.fetch.entries import Entry, Fetched, NotFetchedError, Place, Refused
from llm.corpus.fetch.places.folder import Known, list_folder, read_file
from llm.corpus.fetch.places.open import UnknownPlaceError, list_place, reader
from llm.corpus.fetch.write import write_entries
from llm.corpus.source.archives import read_archive
from llm.corpus.source.records import Page

ARCHIVE = b"".join(
    gzip.compress(
        b"WARC/1.0\r\nWARC-Type: conversion\r\nWARC-Target-URI: http://x.org/%d\r\n"
        b"Content-Type: text/plain\r\nContent-Length: 6\r\n\r\npage %d\r\n\r\n" % (number, number),
        mtime=0,
    )
    for number in range(5)
)
STARTS = [place for place in range(len(ARCHIVE)) if ARCHIVE.startswith(b"\x1f\x8b\x08", place)]


def a_range(number: int) -> Entry:
    """One record of the archive, as an index of a crawl lists it."""
    end = [*STARTS, len(ARCHIVE)][number + 1]
    begin = STARTS[number]
    digest = f"sha1:{hashlib.sha1(ARCHIVE[begin:end]).hexdigest()}"
    return Entry("some.warc.gz", "s3://bucket/whole.warc.gz", begin, end - begin, digest)


def ranged(entry: Entry) -> Iterator[bytes]:
    """Some bytes at a time."""
    assert entry.offset is not None
    assert entry.length is not None
    for start in range(entry.offset, entry.offset + entry.length, 7):
        yield ARCHIVE[start : min(start + 7, entry.offset + entry.length)]


def test_ranges_of_an_archive_make_an_archive(tmp_path: Path) -> None:
    target = tmp_path / "some.warc.gz"
    outcomes = list(write_entries(ranged, [a_range(3), a_range(0)], target))
    assert all(isinstance(outcome, Fetched) for outcome in outcomes)
    pages = [r for r in read_archive(target, "some.warc.gz", 10_000) if isinstance(r, Page)]
    assert [page.url for page in pages] == ["http://x.org/3", "http://x.org/0"]
    assert len({a_range(n).identity("crawl") for n in range(5)}) == 5


def test_of_what_breaks_off_or_is_other_bytes_nothing_stays(tmp_path: Path) -> None:
    def broken(entry: Entry) -> Iterator[bytes]:
        if entry.location == "breaks off":
            yield b"half"
            raise NotFetchedError("timeout", "no answer")
        yield entry.location.encode()

    digest = hashlib.sha256(b"listed").hexdigest()
    entries = [
        Entry("f", "first"), Entry("f", "breaks off"), Entry("f", "longer", None, 3),
        Entry("f", "other", None, None, f"sha256:{digest}"), Entry("f", "last", None, 4),
    ]  # fmt: skip
    outcomes = list(write_entries(broken, entries, tmp_path / "f"))
    assert (tmp_path / "f").read_bytes() == b"firstlast"
    found = [
        (outcome.offset, outcome.bytes) if isinstance(outcome, Fetched) else outcome.reason
        for outcome in outcomes
    ]
    assert found == [(0, 5), "timeout", "wrong_length", "changed", (5, 4)]
    assert [outcome.entry for outcome in outcomes] == entries
    last = outcomes[-1]
    assert isinstance(last, Fetched)
    assert last.digest == f"sha256:{hashlib.sha256(b'last').hexdigest()}"


def test_a_file_that_is_gone_or_is_none_is_refused_with_a_reason(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (entry,) = list_folder([Known("a/b.txt", 3, "0" * 64)])
    assert (entry.file, entry.length, entry.digest) == ("a/b.txt", 3, f"sha256:{'0' * 64}")
    for name, reason in (("nowhere", "missing"), ("folder", "unreadable")):
        with pytest.raises(NotFetchedError) as caught:
            list(read_file(tmp_path / name))
        assert caught.value.reason == reason
        read = reader(Place("p", "folder"), {}, None, tmp_path / name)
        (outcome,) = write_entries(read, [entry], tmp_path / "out")
        assert isinstance(outcome, Refused)
        assert outcome.reason == reason


def test_a_full_disk_is_no_fault_of_the_place() -> None:
    with pytest.raises(OSError, match="No space"):
        list(
            write_entries(
                lambda _entry: iter([b"x" * 100_000]), [Entry("f", "f")], Path("/dev/full")
            )
        )


def test_a_kind_without_a_reader_is_told() -> None:
    place = Place("far", "moon")
    with pytest.raises(UnknownPlaceError, match=r"far: there is no reader .* 'moon'"):
        list(list_place(place, {}, None))
    with pytest.raises(UnknownPlaceError):
        reader(place, {}, None, Path())
