"""Web archives, WARC and ARC: every record becomes a page, or a reason why not."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path

from llm.corpus.source.arc import Arc, arc_record
from llm.corpus.source.frames import Frames
from llm.corpus.source.records import Record, Rejected
from llm.corpus.source.streams import Span
from llm.corpus.source.wacz import is_zip, wacz_members
from llm.corpus.source.warc import Warc, warc_record
from llm.corpus.source.window import Window

_OVERLAP = 1 << 13  # longer than what a record begins with


def read_archive(path: Path, name: str, limit: int) -> Iterator[Record]:
    """Every record of a WARC, WET or ARC file, plain, gzipped, with zstd or LZ4, in order; of a
    WACZ file those of all archives in it, in the order of their names.

    What is damaged is a `Rejected` that names its byte offset, and reading goes on at the next
    record that can be found. No bytes raise, and every step moves forward in the file.

    Args:
        name: of the file, as messages and identities name it.
        limit: most bytes of a page; a larger record is rejected unread.
    """
    if not is_zip(path):
        yield from _read_archive(path, name, limit, None)
        return
    try:
        members = wacz_members(path)
    except (zipfile.BadZipFile, struct.error, ValueError, OSError) as error:
        yield Rejected("bad_zip", name, b"", f"{name}: {error}")
        return
    for member in members:
        if member.span is None:
            detail = f"{name}, {member.name}: {member.fault}"
            yield Rejected("packed_archive", name, member.name.encode(), detail)
        else:
            yield from _read_archive(path, name, limit, member.span)


def _read_archive(path: Path, name: str, limit: int, span: Span | None) -> Iterator[Record]:
    if is_arc(path, span):
        for arc in Frames(path, name, Arc(), limit, span):
            yield arc if isinstance(arc, Rejected) else arc_record(arc, limit)
    else:
        for warc in Frames(path, name, Warc(), limit, span):
            yield warc if isinstance(warc, Rejected) else warc_record(warc, limit)


def is_arc(path: Path, span: Span | None) -> bool:
    """Whether the first beginning of a record in a file is one of ARC."""
    window = Window(path, span)
    while window.fill(1) or window.damage is not None:
        warc = Warc.start.search(window.data)
        # Up to there alone: looking for ARC in a whole page takes longer than all the rest.
        arc = Arc.start.search(window.data, 0, warc.start() if warc else len(window.data))
        if arc is not None or warc is not None:
            return arc is not None
        window.drop(max(0, len(window.data) - _OVERLAP))
        if not window.more():
            window.drop(len(window.data))
            window.pass_damage()
    return False
