"""Reading files that may be compressed, and may be damaged or cut off in the middle."""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from llm.corpus.source.compressed import Members, Piece, StreamDamage, compression
from llm.errors import ExpectedError

_CHUNK = 1 << 18
_HEAD = 512
_BLANK = b" \t\r\n\v\f\0"
_ENDINGS = (".gz", ".zst", ".lz4")
_NOT_TEXT = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")


class DamagedStreamError(ExpectedError, ValueError):
    """A compressed file breaks off or is corrupt.

    Attributes:
        offset: in the compressed file, of the member (gzip) that could not be finished.
        cut: the file ends too early, as opposed to holding wrong bytes.
    """

    def __init__(self, path: Path, damage: StreamDamage) -> None:
        super().__init__(f"{path.name}: {damage.cause} at byte {damage.offset}")
        self.offset, self.cut, self.cause = damage.offset, damage.cut, damage.cause


def bare_name(name: str) -> str:
    """A file's name in lower case, without the ending of what compressed it: what it says of the
    content. Whether it is compressed its first bytes say."""
    bare = name.lower()
    for ending in _ENDINGS:
        bare = bare.removesuffix(ending)
    return bare


class Span(NamedTuple):
    """Some bytes of a file that are a file by themselves."""

    begin: int
    size: int


def pieces(path: Path, start: int = 0, span: Span | None = None) -> Iterator[Piece | StreamDamage]:
    """The decompressed bytes of a file, plain, gzip (also of many members), zstd or LZ4, in
    portions.

    The file's first bytes decide, not its name; where they are damaged, the first member that
    can be read does. Behind damage reading goes on with the next member that is sound.

    Args:
        start: a `Piece.start` to begin at.
        span: of the file, instead of all of it; bytes are counted from its first.
    """
    begin, size = span or (0, path.stat().st_size)
    if not size:
        return
    lead = begin % mmap.ALLOCATIONGRANULARITY  # where a map may begin
    with (
        path.open("rb") as stream,
        mmap.mmap(
            stream.fileno(), lead + size, access=mmap.ACCESS_READ, offset=begin - lead
        ) as raw,
    ):
        kind = compression(raw[lead : lead + 4]) or _damaged_at_the_start(raw, lead)
        if kind is not None:
            for piece in Members(raw, kind, lead).pieces(start + lead):
                yield _counted_from(piece, lead) if lead else piece
            return
        while data := raw[start + lead : start + lead + _CHUNK]:
            yield Piece(data, start, packed=False)
            start += len(data)


def _counted_from(piece: Piece | StreamDamage, lead: int) -> Piece | StreamDamage:
    if isinstance(piece, StreamDamage):
        return replace(piece, offset=piece.offset - lead)
    return piece if piece.start is None else replace(piece, start=piece.start - lead)


def _damaged_at_the_start(raw: mmap.mmap, begin: int) -> str | None:
    """What a file is compressed with whose first bytes are of no kind, and no text."""
    if not _NOT_TEXT.search(raw[begin : begin + _HEAD]):
        return None
    kinds = ("gzip", "lz4", "zstd")
    found = {kind: Members(raw, kind, begin).sound_from(begin) for kind in kinds}
    sound = [(offset, kind) for kind, offset in found.items() if offset is not None]
    return min(sound)[1] if sound else None


def chunks(path: Path) -> Iterator[bytes]:
    """The decompressed bytes of a file, in portions.

    Raises:
        DamagedStreamError: after every byte before the damage was handed out.
    """
    for piece in pieces(path):
        if isinstance(piece, StreamDamage):
            raise DamagedStreamError(path, piece)
        yield piece.data


def lines_and_breaks(path: Path, limit: int) -> Iterator[tuple[int, bytes, int] | StreamDamage]:
    """(line number from 1, its bytes without the line end, its full length) of a file, and each
    place where it is damaged; a line that damage cuts in two is not handed out.

    Of a line longer than `limit` only the first `limit` bytes are kept; the length tells.
    """
    number, pending, length = 1, bytearray(), 0
    for piece in pieces(path):
        if isinstance(piece, StreamDamage):
            if piece.whole and length:
                yield number, bytes(pending), length
            number, pending, length = number + bool(length), bytearray(), 0
            yield piece
            continue
        chunk, start = piece.data, 0
        while (end := chunk.find(b"\n", start)) >= 0:
            length += end - start
            pending += chunk[start : min(end, start + max(0, limit - len(pending)))]
            yield number, bytes(pending), length
            number, pending, length, start = number + 1, bytearray(), 0, end + 1
        length += len(chunk) - start
        pending += chunk[start : start + max(0, limit - len(pending))]
    if length:
        yield number, bytes(pending), length


def lines(path: Path, limit: int) -> Iterator[tuple[int, bytes, int]]:
    """The lines of `lines_and_breaks` up to the first break.

    Raises:
        DamagedStreamError: after every whole line before the damage.
    """
    for line in lines_and_breaks(path, limit):
        if isinstance(line, StreamDamage):
            raise DamagedStreamError(path, line)
        yield line


def whole(path: Path, limit: int) -> bytes | None:
    """All decompressed bytes of a file, or `None` when they are more than `limit`.

    Raises:
        DamagedStreamError: the file is cut off or corrupt.
    """
    data = bytearray()
    for chunk in chunks(path):
        data += chunk
        if len(data) > limit:
            return None
    return bytes(data)


def is_blank(path: Path) -> bool:
    """Whether there is nothing in a file but white space and zeros; damage is something."""
    return all(isinstance(p, Piece) and not p.data.strip(_BLANK) for p in pieces(path))
