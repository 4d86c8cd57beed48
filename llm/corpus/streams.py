"""Reading files that may be compressed, and may be cut off in the middle."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import zstandard

_CHUNK = 1 << 18
GZIP_MAGIC = b"\x1f\x8b\x08"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18", re.DOTALL)  # pzstd begins with one
_ZSTD_WINDOW = 1 << 31  # what `zstd --long=31` writes
_GZIP_WINDOW = 31  # zlib's name for "a gzip wrapper"


class DamagedStreamError(ValueError):
    """A compressed file breaks off or is corrupt.

    Attributes:
        offset: in the compressed file, of the member (gzip) that could not be finished.
        cut: the file ends too early, as opposed to holding wrong bytes.
    """

    def __init__(self, path: Path, offset: int, cause: str, cut: bool) -> None:
        super().__init__(f"{path.name}: {cause} at byte {offset}")
        self.offset, self.cut, self.cause = offset, cut, cause


def chunks(path: Path) -> Iterator[bytes]:
    """The decompressed bytes of a plain, gzip (also of many members) or zstd file, in portions.

    The file's first bytes decide, not its name.

    Raises:
        DamagedStreamError: after every byte before the damage was handed out.
    """
    with path.open("rb") as stream:
        head = stream.read(4)
        stream.seek(0)
        if head.startswith(GZIP_MAGIC):
            yield from _gzip(path, stream)
        elif head == _ZSTD_MAGIC or _ZSTD_SKIPPABLE.fullmatch(head):
            yield from _zstd(path, stream)
        else:
            while chunk := stream.read(_CHUNK):
                yield chunk


def _gzip(path: Path, stream: BinaryIO) -> Iterator[bytes]:
    member, position = 0, 0
    engine, started = zlib.decompressobj(_GZIP_WINDOW), False
    while chunk := stream.read(_CHUNK):
        rest = chunk
        while rest:
            if not started:
                # Some writers pad members with zeros; gzip(1) skips them as well.
                rest = rest.lstrip(b"\0")
                if not rest:
                    break
                member = position + len(chunk) - len(rest)
                started = True
            try:
                data = engine.decompress(rest)
            except zlib.error as error:
                raise DamagedStreamError(path, member, f"bad gzip data ({error})", False) from error
            if data:
                yield data
            rest = b""
            if engine.eof:
                rest = engine.unused_data
                engine, started = zlib.decompressobj(_GZIP_WINDOW), False
        position += len(chunk)
    if started:
        raise DamagedStreamError(path, member, "the gzip stream is cut off", True)


def _zstd_engine() -> zstandard.ZstdDecompressionObj:
    return zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompressobj()


def _zstd(path: Path, stream: BinaryIO) -> Iterator[bytes]:
    frame, position = 0, 0
    engine, started = _zstd_engine(), False
    while chunk := stream.read(_CHUNK):
        rest = chunk
        while rest:
            if not started:
                frame, started = position + len(chunk) - len(rest), True
            try:
                data = engine.decompress(rest)
            except zstandard.ZstdError as error:
                raise DamagedStreamError(path, frame, f"bad zstd data ({error})", False) from error
            if data:
                yield data
            rest = b""
            if engine.eof:
                rest = engine.unused_data
                engine, started = _zstd_engine(), False
        position += len(chunk)
    if started:
        raise DamagedStreamError(path, frame, "the zstd stream is cut off", True)


def lines(path: Path, limit: int) -> Iterator[tuple[int, bytes, int]]:
    """(line number from 1, its bytes without the line end, its full length) of a file.

    Of a line longer than `limit` only the first `limit` bytes are kept; the length tells.

    Raises:
        DamagedStreamError: after every whole line before the damage; a line the damage cuts in
            two is not handed out.
    """
    number, pending, length = 1, bytearray(), 0
    for chunk in chunks(path):
        start = 0
        while (end := chunk.find(b"\n", start)) >= 0:
            length += end - start
            pending += chunk[start : min(end, start + max(0, limit - len(pending)))]
            yield number, bytes(pending), length
            number, pending, length, start = number + 1, bytearray(), 0, end + 1
        length += len(chunk) - start
        pending += chunk[start : start + max(0, limit - len(pending))]
    if length:
        yield number, bytes(pending), length


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
