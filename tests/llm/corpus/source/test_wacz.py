"""WACZ: archives are read where they lie in it, and what is wrong costs no more than it must."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from llm.corpus.source.records import Page, Record, Rejected
from llm.corpus.source.wacz import wacz_members
from tests.llm.corpus.source.archive_bytes import PACKED, body, pages, read, warc


def wacz(members: dict[str, bytes], pack: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as whole:
        whole.writestr("datapackage.json", "{}", zipfile.ZIP_DEFLATED)
        whole.writestr("indexes/index.cdx.gz", b"x" * 5_000)
        for name, data in members.items():
            whole.writestr(name, data, pack)
        whole.writestr("pages/pages.jsonl", "{}", zipfile.ZIP_DEFLATED)
    return stream.getvalue()


def records(folder: Path, data: bytes) -> list[Record]:
    return read(folder, "warc", data)


@pytest.mark.parametrize("packing", sorted(PACKED))
def test_all_archives_in_the_order_of_their_names(tmp_path: Path, packing: str) -> None:
    ending = {"plain": "", "gz": ".gz", "zst": ".zst", "lz4": ".lz4"}[packing.partition(",")[0]]
    data = wacz(
        {
            f"archive/b.warc{ending}": PACKED[packing]([warc(n) for n in range(3, 6)]),
            f"archive/a.warc{ending}": PACKED[packing]([warc(n) for n in range(3)]),
        }
    )
    found = records(tmp_path, data)
    assert pages(found) == [body(n) for n in range(6)]
    assert len(found) == 6


@pytest.mark.parametrize("packing", ["plain", "gz, each", "lz4, each", "zst, each"])
def test_offsets_are_those_of_the_file(tmp_path: Path, packing: str) -> None:
    """Whatever lies before the archive: a record can be cut out of the file by its offset."""
    packed = [PACKED[packing]([warc(n)]) for n in range(3)]
    for before in (0, 4_095, 100_000):
        data = wacz({"0-before.bin": b"\0" * before, "archive/a.warc.gz": b"".join(packed)})
        offsets = [record.offset for record in records(tmp_path, data) if isinstance(record, Page)]
        assert len(offsets) == 3
        for offset, record in zip(offsets, packed, strict=True):
            assert offset is not None
            assert data[offset : offset + len(record)] == record


def test_damage_costs_its_record_and_tells_its_place(tmp_path: Path) -> None:
    packed = [PACKED["gz, each"]([warc(n)]) for n in range(4)]
    data = bytearray(wacz({"archive/a.warc.gz": b"".join(packed)}))
    at = data.find(packed[1])
    data[at + 20 : at + 60] = b"\xff" * 40
    found = records(tmp_path, bytes(data))
    assert pages(found) == [body(0), body(2), body(3)]
    (rejected,) = (record for record in found if isinstance(record, Rejected))
    assert f"byte {at}" in rejected.detail


def test_what_cannot_be_read_as_it_lies_is_rejected_by_name(tmp_path: Path) -> None:
    data = wacz({"archive/a.warc": warc(0)}, zipfile.ZIP_DEFLATED)
    (found,) = records(tmp_path, data)
    assert isinstance(found, Rejected)
    assert found.reason == "packed_archive"
    assert "archive/a.warc: it is compressed or encrypted inside the zip file" in found.detail
    sound = wacz({"archive/a.warc": warc(0)})
    (cut,) = records(tmp_path, sound[:-30])
    assert isinstance(cut, Rejected)
    assert cut.reason == "bad_zip"
    (empty,) = records(tmp_path, wacz({}))
    assert isinstance(empty, Rejected)
    assert empty.reason == "no_record"


def test_members_that_are_no_archives_are_none(tmp_path: Path) -> None:
    path = tmp_path / "a.wacz"
    path.write_bytes(wacz({"archive/": b"", "archive/a.warc": warc(0), "logs/x.log": b"x"}))
    assert [member.name for member in wacz_members(path)] == ["archive/a.warc"]
