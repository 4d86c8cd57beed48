"""Web archive collections, WACZ: a zip file with WARCs in it, which are read where they lie.

https://specs.webrecorder.net/wacz/1.1.1/. Its archives are stored, not compressed once more, so
each is a range of bytes of the file. Indices, page lists and logs beside them repeat what the
archives say.
"""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path
from typing import NamedTuple

from llm.corpus.source.streams import Span

_ARCHIVES = (".warc", ".warc.gz", ".warc.zst", ".warc.lz4", ".arc", ".arc.gz")
_LOCAL_HEADER = struct.Struct("<4s22xHH")  # APPNOTE.TXT, 4.3.7: signature, lengths of name, extra
_SIGNATURE = b"PK\x03\x04"


class WaczMember(NamedTuple):
    """An archive in a WACZ file.

    Attributes:
        span: its bytes; `None` where they cannot be read as they lie.
        fault: why not.
    """

    name: str
    span: Span | None
    fault: str


def is_zip(path: Path) -> bool:
    """Whether a file begins as a zip file does."""
    with path.open("rb") as stream:
        return stream.read(4) == _SIGNATURE


def wacz_members(path: Path) -> list[WaczMember]:
    """The archives of a WACZ file, by name.

    Raises:
        zipfile.BadZipFile: its list of contents, at the end, is missing or damaged.
    """
    found = []
    with zipfile.ZipFile(path) as whole, path.open("rb") as stream:
        for info in sorted(whole.infolist(), key=lambda info: info.filename):
            if info.is_dir() or not info.filename.lower().endswith(_ARCHIVES):
                continue
            if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
                fault = "it is compressed or encrypted inside the zip file; store it (zip -0)"
                found.append(WaczMember(info.filename, None, fault))
                continue
            stream.seek(info.header_offset)
            head = stream.read(_LOCAL_HEADER.size)
            if len(head) < _LOCAL_HEADER.size or head[:4] != _SIGNATURE:
                fault = "the zip file has no such member where its list says"
                found.append(WaczMember(info.filename, None, fault))
                continue
            _, name, extra = _LOCAL_HEADER.unpack(head)
            begin = info.header_offset + _LOCAL_HEADER.size + name + extra
            found.append(WaczMember(info.filename, Span(begin, info.compress_size), ""))
    return found
