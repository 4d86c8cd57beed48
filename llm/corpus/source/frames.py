"""Where the records of a web archive begin and end, also where the archive is wrong about it.

A record says how long it is. It is believed when the next one, or the end of the file, follows;
otherwise the next beginning of a record decides. Behind damage reading goes on at the next
beginning. The same for WARC and ARC, which differ in what a beginning looks like.

Ours, because fastwarc stops with an error at a damaged gzip member or record, and loses the rest
of the file without a word where a record declares too great a length. Of sound archives both make
the same records, which a test compares.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic

from llm.corpus.source.framing import Format, Frame, H
from llm.corpus.source.records import Rejected
from llm.corpus.source.streams import Span
from llm.corpus.source.window import Window

_HTTP_LENGTH = re.compile(rb"\ncontent-length:[ \t]*(\d{1,15})[ \t]*\r?\n", re.IGNORECASE)
_HTTP_END = re.compile(rb"\r?\n\r?\n")
_OF_ANOTHER = re.compile(rb"HTTP/\d(?:\.\d)?[ \t]+\d{3}\b|\nWARC-[a-z-]+:", re.IGNORECASE)
# Bytes behind the declared end that are its record's without further proof.
_STRAY = 64
_SHOWN = 80
_LOOKED_AT = 1 << 13  # longer than what a record begins with
# Large records whose length may be tested in a compressed file: each costs reading it twice.
_TESTS = 16


@dataclass(frozen=True, slots=True)
class _Place:
    offset: int | None
    where: str


def _no_record(archive: bool) -> str:
    """The word for bytes that are no record, in a file that is an archive otherwise or not."""
    return "bad_record" if archive else "not_an_archive"


class Frames(Generic[H]):
    """The records of one archive.

    Args:
        name: of the file, for messages.
        limit: most bytes of a block that is kept.
        span: of the file, where the archive is one inside it.
    """

    def __init__(
        self, path: Path, name: str, form: Format[H], limit: int, span: Span | None = None
    ) -> None:
        self._window = Window(path, span)
        self._name, self._form, self._limit = name, form, limit
        self._tests = 0
        self._reported: int | None = None  # member whose damage a row tells of

    def __iter__(self) -> Iterator[Frame[H] | Rejected]:
        """In order; every byte is in a record, in what is told as lost, or a line end."""
        window, lost, found = self._window, False, False
        aligned = False  # each record is a member
        while True:
            window.skip_line_ends()
            offset, where, position = window.offset(), self._where(), window.position
            window.skip_blank()
            if not window.fill(1):
                damage = window.damage
                if damage is None:
                    return
                window.pass_damage()
                if damage.offset != self._reported:
                    detail = f"{self._name}, byte {damage.offset}: {damage.cause}"
                    archive = found or window.fill(1)
                    reason = "truncated_file" if damage.cut else _no_record(archive)
                    yield self._reject(damage.offset, reason, detail)
                self._reported, lost = None, not aligned
                continue
            head = self._form.head(window)
            if head is not None:
                found = True
                frame = self._record(head)
                if not frame.fault:
                    window.skip_line_ends()
                    ends = self._at_a_member() or not window.fill(1)
                    aligned = window.packed and frame.offset is not None and ends
                lost = bool(frame.fault) and not (aligned and self._at_a_member())
                yield frame
                continue
            place = position if offset is None else offset
            cut, detail = self._form.is_cut(window), f"{where}: no record begins with"
            if cut:
                detail = f"{where}: a record that breaks off within its header,"
            detail = f"{detail} {self._first_bytes()}"
            if window.packed:
                self._reported = window.member()
            window.drop(1)
            again = window.search(self._form.start, None, aligned)
            if cut:
                found = True
                yield self._reject(place, "truncated_record", detail)
            elif not lost:  # one row for all that lies between two records
                yield self._reject(place, _no_record(found or again), detail)
            lost = not (again and aligned)

    def _reject(self, place: int, reason: str, detail: str) -> Rejected:
        """Bytes that are no record that could be read."""
        return Rejected(reason, self._name, f"{reason}@{place}".encode(), detail)

    def _where(self) -> str:
        offset = self._window.offset()
        if offset is not None:
            return f"{self._name}, byte {offset}"
        return f"{self._name}, byte {self._window.position} when unpacked"

    def _first_bytes(self) -> str:
        return repr(bytes(self._window.data[:_SHOWN]))[1:]

    def _at_a_member(self) -> bool:
        return self._window.packed and self._window.offset() is not None

    def _record(self, head: H) -> Frame[H]:
        """The record the window begins with; the window is moved behind it."""
        window, at = self._window, _Place(self._window.offset(), self._where())
        if head.length is None:
            window.drop(head.size)
            cause = "its header says no length one can believe"
            return Frame(head, at.offset, at.where, None, 0, "bad_record", cause)
        if head.length > self._limit:
            return self._large(head, head.length, at)
        begin, end = head.size, head.size + head.length
        fits = self._fits(end) if window.fill(end) else ""
        if not fits or (fits == "likely" and self._form.start.search(window.data, begin, end)):
            return self._misfit(head, begin, end, at)
        damage = window.damage
        if damage is not None and window.blank_from(end) == len(window.data):
            own = damage.offset == window.member(end - 1)
            if own and not damage.cut:  # what came out is not what went in
                return self._fault(head, at, len(window.data), "bad_record", damage.cause)
        return self._whole(head, at, end, end)

    def _fits(self, end: int) -> str:
        """What speaks for a block's declared end: "sure" where the next record, a member or the
        end of the file follows, "likely" where only line ends do, else nothing."""
        window = self._window
        window.fill(end + 4)
        following = window.blank_from(end)
        window.fill(following + _LOOKED_AT)
        if following == len(window.data):
            return "sure"  # the end, or damage
        begins = self._form.begins.match(window.data, following) is not None
        if begins or (window.packed and window.offset(following) is not None):
            return "sure"
        return "likely" if self._form.separator.match(window.data, end) else ""

    def _misfit(self, head: H, begin: int, end: int, at: _Place) -> Frame[H]:
        """The record whose length is wrong, or which is cut: the next beginning decides."""
        window = self._window
        alone = window.packed and at.offset is not None
        boundary, how = self._boundary(begin, end, alone)
        if how == "none":
            cause = f"{end - begin} bytes, and then no end of a record"
            return self._fault(head, at, begin, "bad_record", cause)
        if boundary < end:
            then = "then the next record" if how == "start" else "the file ends within the record"
            cause = window.damage.cause if how == "damage" and window.damage else then
            detail = f"{boundary - begin} bytes of {end - begin}, {cause}"
            return self._fault(head, at, boundary, "truncated_record", detail)
        tail = self._form.ending.search(window.data, max(end, boundary - _LOOKED_AT), boundary)
        content = tail.start() if tail else boundary
        stray = content - end
        mixed = _OF_ANOTHER.search(window.data, begin + len("HTTP/"), content) is not None
        proven = alone and how in ("member", "end")
        agrees = stray <= _STRAY or self._http_agrees(begin, content)
        if how == "damage" or mixed or not (proven or agrees):
            cause = f"{end - begin} bytes, and then {stray} of no record"
            return self._fault(head, at, boundary, "bad_record", cause)
        mended = f"declares {end - begin} bytes, has {content - begin}"
        return self._whole(head, at, content, boundary, mended)

    def _boundary(self, begin: int, end: int, alone: bool) -> tuple[int, str]:
        """Index of the first end of a record behind `begin`, and what makes it one: "start" of the
        next, "member", "end" of the file, "damage"; "none" when there is none within reach.

        Args:
            alone: the record begins with a member, so it may end with it.
        """
        window, looked = self._window, begin
        while True:
            found = self._form.start.search(window.data, looked)
            at = found.start() if found else None
            ends = (self._ends_with_member(i) for i in window.members(begin + 1)) if alone else ()
            member = next((i for i in ends if i is not None), None)
            if member is not None and (at is None or member <= at):
                return member, "member"
            if at is not None:
                return at, "start"
            looked = max(begin, len(window.data) - _LOOKED_AT)
            if len(window.data) - end > self._limit:
                return begin, "none"
            if not window.more():
                return len(window.data), "end" if window.damage is None else "damage"

    def _ends_with_member(self, index: int) -> int | None:
        data = self._window.data
        before = self._form.ending.search(data, max(0, index - _LOOKED_AT), index)
        return index if before or self._form.begins.match(data, index) else None

    def _http_agrees(self, begin: int, end: int) -> bool:
        """Whether an HTTP header in the block says that its body ends there."""
        data = self._window.data
        http_end = _HTTP_END.search(data, begin, end)
        if http_end is None:
            return False
        declared = _HTTP_LENGTH.search(data, begin, http_end.end())
        return declared is not None and http_end.end() + int(declared[1]) == end

    def _whole(
        self, head: H, at: _Place, end: int, behind: int, mended: str | None = None
    ) -> Frame[H]:
        size = end - head.size
        block = bytes(self._window.data[head.size : end]) if size <= self._limit else None
        self._window.drop(behind)
        return Frame(head, at.offset, at.where, block, size, mended=mended)

    def _fault(self, head: H, at: _Place, behind: int, reason: str, cause: str) -> Frame[H]:
        size, damage = max(0, behind - head.size), self._window.damage
        if damage is not None and behind == len(self._window.data):
            self._reported = damage.offset
        self._window.drop(behind)
        return Frame(head, at.offset, at.where, None, size, reason, cause)

    def _large(self, head: H, length: int, at: _Place) -> Frame[H]:
        """A record above the limit: passed over, and its end looked at before it is believed."""
        window, start = self._window, self._form.start
        window.drop(head.size)
        begin, end = window.position, window.position + length
        back = (begin, window.place())
        if window.packed:
            if window.search(start, end, False):
                back = (window.position, window.place())
                if self._tests >= _TESTS:
                    return self._short(head, at, back[0] - begin, length)
            while window.position < end and window.fill(1):
                window.drop(min(len(window.data), end - window.position))
        elif end <= window.size:
            window.go_to(end, (end, end))
        fits = self._fits(0) if window.position == end else ""
        if fits == "likely" and not window.packed:
            window.go_to(*back)
            if window.search(start, end, False):
                return self._short(head, at, window.position - begin, length)
        if fits == "sure" or (fits and back[0] == begin):
            return Frame(head, at.offset, at.where, None, length)
        if not window.packed or back[0] > begin:
            self._tests += 1
            window.go_to(*back)
            window.search(start, None, False)
        return self._short(head, at, window.position - begin, length)

    def _short(self, head: H, at: _Place, size: int, length: int) -> Frame[H]:
        window = self._window
        cause = "then the next record" if window.fill(1) else "the file ends within the record"
        if window.damage is not None and not window.data:
            cause = window.damage.cause
        detail = f"{size} bytes of {length}, {cause}"
        return self._fault(head, at, 0, "truncated_record", detail)
