"""A window that moves forward over the decompressed bytes of an archive."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import replace
from pathlib import Path

from llm.corpus.source.compressed import Piece, StreamDamage
from llm.corpus.source.streams import Span, pieces

_NO_LINE_END = re.compile(rb"[^\r\n]")
_NOT_BLANK = re.compile(rb"[^\r\n\0 \t]")
_OVERLAP = 1 << 13  # longer than anything that is searched for


class Window:
    """Some bytes of a file, decompressed, and what is known of the places they come from.

    Nothing is read across damage before `pass_damage` is called, so that what is before and
    behind it is never taken for one record.

    Attributes:
        data: the bytes; `fill` adds to them, `drop` takes them away.
        position: of the first of them, in the decompressed file.
        damage: what follows the bytes; `None` where more can be read, or the file ends.
        packed: the file is compressed.
        size: bytes of the file.

    Args:
        span: of the file, where it is one inside another; places are counted in the outer one.
    """

    def __init__(self, path: Path, span: Span | None = None) -> None:
        self._path, self._span = path, span
        self._begin, self.size = span or (0, path.stat().st_size)
        self.packed = False
        self._open(0, 0)

    def _open(self, position: int, start: int) -> None:
        self._feed = pieces(self._path, start, self._span)
        self.data, self.position = bytearray(), position
        self.damage: StreamDamage | None = None
        self._ended = False
        self._starts: deque[tuple[int, int]] = deque()

    def fill(self, size: int) -> bool:
        """Whether there are `size` bytes before the next damage or the end."""
        while len(self.data) < size and self.damage is None and not self._ended:
            self._read()
        return len(self.data) >= size

    def more(self) -> bool:
        """Read a portion; whether there was one."""
        return self.fill(len(self.data) + 1)

    def _read(self) -> None:
        piece = next(self._feed, None)
        if piece is None:
            self._ended = True
        elif isinstance(piece, Piece):
            self.packed = piece.packed
            if piece.start is not None:
                self._starts.append((self.position + len(self.data), piece.start))
            self.data += piece.data
        else:
            self.damage = replace(piece, offset=piece.offset + self._begin)

    def pass_damage(self) -> None:
        """Let reading go on behind the damage."""
        self.damage = None

    def drop(self, size: int) -> None:
        """Move forward."""
        del self.data[:size]
        self.position += size
        while len(self._starts) > 1 and self._starts[1][0] <= self.position:
            self._starts.popleft()

    def skip_line_ends(self) -> None:
        """Move over line ends."""
        self._skip(_NO_LINE_END)

    def skip_blank(self) -> None:
        """Move over line ends, spaces and zeros."""
        self._skip(_NOT_BLANK)

    def _skip(self, until: re.Pattern[bytes]) -> None:
        while self.fill(1):
            found = until.search(self.data)
            self.drop(found.start() if found else len(self.data))
            if found:
                return

    def blank_from(self, at: int) -> int:
        """Index of the first byte from `at` on that is no line end and no zero."""
        while True:
            found = _NOT_BLANK.search(self.data, at)
            if found is not None:
                return found.start()
            at = len(self.data)
            if not self.more():
                return at

    def offset(self, at: int = 0) -> int | None:
        """Byte of the file from which the byte at index `at` can be read; `None` if it is inside
        a compressed member."""
        position = self.position + at
        if not self.packed:
            return self._begin + position
        found = next((start for begun, start in self._starts if begun == position), None)
        return None if found is None else self._begin + found

    def member(self, at: int = 0) -> int:
        """Byte of the file at which the member starts that the byte at index `at` is in."""
        begun = [start for place, start in self._starts if place <= self.position + at]
        return self._begin + (begun[-1] if begun else 0)

    def members(self, at: int) -> list[int]:
        """Indices from `at` on at which members start."""
        return [p - self.position for p, _ in self._starts if p - self.position >= at]

    def search(self, pattern: re.Pattern[bytes], stop: int | None, members: bool) -> bool:
        """Move forward to a match, to the position `stop`, to damage or the end.

        Args:
            members: stop at the next start of a member too.

        Returns:
            Whether it is a match, or the start of a member.
        """
        while self.fill(1):
            left = len(self.data) if stop is None else min(len(self.data), stop - self.position)
            if left <= 0:
                return False
            found = pattern.search(self.data)
            at = found.start() if found else left
            if members:
                begun = (p - self.position for p, _ in self._starts if p > self.position)
                at = min(at, next(begun, at))
            if at < left:
                self.drop(at)
                return True
            if left < len(self.data) or not self.more():
                self.drop(left)
                return False
            # What is looked for may begin in these bytes and end in the next.
            self.drop(max(0, left - _OVERLAP))
        return False

    def place(self) -> tuple[int, int]:
        """A name of where the window is now, for `go_to`."""
        if not self.packed:
            return self.position, self.position
        return self._starts[0] if self._starts else (0, 0)

    def go_to(self, position: int, place: tuple[int, int]) -> None:
        """Move to a position of the decompressed file, back too.

        Args:
            place: of a window that was there, or before.
        """
        self._open(*place)
        while self.position < position and self.fill(1):
            self.drop(min(len(self.data), position - self.position))
