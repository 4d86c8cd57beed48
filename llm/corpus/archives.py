"""Web archives, WARC and ARC: every record becomes a page, or a reason why not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from llm.corpus.arc import Arc, arc_record
from llm.corpus.frames import Frames
from llm.corpus.framing import Lost
from llm.corpus.records import Record, Rejected
from llm.corpus.warc import Warc, warc_record
from llm.corpus.window import Window

_OVERLAP = 1 << 13  # longer than what a record begins with


def read_archive(path: Path, name: str, limit: int) -> Iterator[Record]:
    """Every record of a WARC, WET or ARC file, plain, gzipped or with zstd, in order.

    What is damaged is a `Rejected` that names its byte offset, and reading goes on at the next
    record that can be found. No bytes raise, and every step moves forward in the file.

    Args:
        name: of the file, as messages and identities name it.
        limit: most bytes of a page; a larger record is rejected unread.
    """
    if is_arc(path):
        for arc in Frames(path, name, Arc(), limit):
            yield _lost(arc, name) if isinstance(arc, Lost) else arc_record(arc, limit)
    else:
        for warc in Frames(path, name, Warc(), limit):
            yield _lost(warc, name) if isinstance(warc, Lost) else warc_record(warc, limit)


def is_arc(path: Path) -> bool:
    """Whether the first beginning of a record in a file is one of ARC."""
    window = Window(path)
    while window.fill(1) or window.damage is not None:
        found = [form.start.search(window.data) for form in (Arc, Warc)]
        arc, warc = (match.start() if match else None for match in found)
        if arc is not None or warc is not None:
            return warc is None or (arc is not None and arc < warc)
        window.drop(max(0, len(window.data) - _OVERLAP))
        if not window.more():
            window.drop(len(window.data))
            window.pass_damage()
    return False


def _lost(lost: Lost, name: str) -> Rejected:
    reason = "truncated_file" if lost.cut else "bad_record" if lost.archive else "not_an_archive"
    return Rejected(reason, name, f"{reason}@{lost.place}".encode(), lost.detail)
