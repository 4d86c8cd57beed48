"""The members of a gzip file and the frames of zstd and LZ4 files, also behind damaged ones.

gzip: RFC 1952. zstd: RFC 8878, with dictionaries as web archives carry them
(https://iipc.github.io/warc-specifications/specifications/warc-zstd/). LZ4:
https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md.

zlib, zstandard and lz4 decompress; finding the next member is ours, because they and gzip stop at
the first that is damaged.
"""

from __future__ import annotations

import mmap
import re
import zlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

import lz4.frame
import zstandard

GZIP_MAGIC = b"\x1f\x8b\x08"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_LZ4_MAGIC = b"\x04\x22\x4d\x18"
_SKIPPABLE = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18", re.DOTALL)
_DICTIONARY_FRAME = b"\x5d\x2a\x4d\x18"
_BEGINNING = {
    "gzip": re.compile(rb"\x1f\x8b\x08[\x00-\x1f]", re.DOTALL),
    "zstd": re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18", re.DOTALL),
    "lz4": re.compile(rb"\x04\x22\x4d\x18|[\x50-\x5f]\x2a\x4d\x18", re.DOTALL),
}
_GZIP_WINDOW = 31  # zlib's name for "a gzip wrapper"
_ZSTD_WINDOW = 1 << 31  # what `zstd --long=31` writes
_FIRST_STEP, _LONGEST_STEP = 1 << 13, 1 << 18
_FRAME_STEP = 1 << 12  # may grow some thirty-thousandfold
_FRAME_ERRORS = (zstandard.ZstdError, RuntimeError)  # the latter is lz4's
_PIECE = 1 << 20  # most bytes of a piece out of gzip
_SALVAGED = 256  # bytes at a time, up to the damage
_TRIAL = 1 << 12  # of what looks like a member behind a break
_TRIALS = 64  # bytes tried for each byte of the file: an end to files made to keep us searching


@dataclass(frozen=True, slots=True)
class Piece:
    """Some decompressed bytes.

    Attributes:
        start: byte of the file from which these can be read without what is before them;
            `None` inside a member.
        packed: the file is compressed.
    """

    data: bytes
    start: int | None
    packed: bool = True


@dataclass(frozen=True, slots=True)
class StreamDamage:
    """A place behind which decompression cannot go on; the next piece is of a later member.

    Attributes:
        offset: in the file, of the member or frame that could not be finished.
        cut: the file ends too early, as opposed to holding wrong bytes.
        whole: all bytes of the member came out, only what it ends in is missing.
    """

    offset: int
    cause: str
    cut: bool
    whole: bool


_Reading = Generator[Piece, None, int | StreamDamage]  # returns where the next member starts


def compression(head: bytes) -> str | None:
    """ "gzip", "lz4" or "zstd", by the first four bytes; `None` for anything else."""
    if head.startswith(GZIP_MAGIC):
        return "gzip"
    if head == _LZ4_MAGIC:
        return "lz4"
    return "zstd" if head == _ZSTD_MAGIC or _SKIPPABLE.fullmatch(head) else None


class Members:
    """A compressed file, decompressed member by member.

    Args:
        raw: its bytes, from `begin` on.
    """

    def __init__(self, raw: mmap.mmap, kind: str, begin: int = 0) -> None:
        self._raw, self._kind, self._size = raw, kind, len(raw)
        self._tried = 0
        self._dictionary: zstandard.ZstdCompressionDict | None = None
        if kind == "zstd" and raw[begin : begin + 4] == _DICTIONARY_FRAME:
            self._dictionary = _dictionary(raw[begin + 8 : _skip_skippable_frames(raw, begin)])

    def pieces(self, start: int = 0) -> Iterator[Piece | StreamDamage]:
        """Everything from the member at `start` on. Zeros between members are padding, which
        gzip(1) skips as well; other bytes, and members that are damaged, are a `StreamDamage`."""
        position: int | None = start
        while position is not None and (position := self._skip_zeros(position)) < self._size:
            if not _BEGINNING[self._kind].match(self._raw, position):
                yield StreamDamage(position, f"no {self._kind} data", False, False)
                position = self.sound_from(position + 1)
            elif self._kind != "gzip" and _SKIPPABLE.match(self._raw, position):
                behind = _skip_skippable_frames(self._raw, position)
                if behind > self._size:
                    yield StreamDamage(position, "a skippable frame is cut off", True, False)
                    position = self.sound_from(position + 1, whole=True)
                else:
                    position = behind
            else:
                end = yield from self._read(position)
                if isinstance(end, int):
                    position = end
                    continue
                # Wrong bytes can keep a decoder busy to the end of the file.
                onward = self.sound_from(position + 1, whole=end.cut)
                cut = end.cut and onward is None
                yield StreamDamage(position, end.cause, cut, end.whole and cut)
                position = onward

    def sound_from(self, position: int, whole: bool = False) -> int | None:
        """Where the next member starts that can be decompressed; `None` without one.

        Args:
            whole: only one that can be decompressed to its end will do.
        """
        for found in _BEGINNING[self._kind].finditer(self._raw, position):
            if self._tried > _TRIALS * self._size + _LONGEST_STEP:
                return None
            if self._is_sound(found.start(), whole):
                return found.start()
        return None

    def _is_sound(self, position: int, whole: bool) -> bool:
        if _SKIPPABLE.match(self._raw, position):
            return False
        engine = self._engine()
        data = self._raw[position : position + (_LONGEST_STEP if whole else _TRIAL)]
        self._tried += len(data)
        try:
            made = engine.decompress(data)
        except (zlib.error, *_FRAME_ERRORS):
            return False
        return engine.eof or (not whole and bool(made))

    def _skip_zeros(self, position: int) -> int:
        while position < self._size:
            piece = self._raw[position : position + _FIRST_STEP]
            if kept := len(piece.lstrip(b"\0")):
                return position + len(piece) - kept
            position += len(piece)
        return position

    def _engine(self) -> Any:
        """What decompresses one member or frame: zlib's interface, which the others share."""
        if self._kind == "gzip":
            return _gzip_engine()
        if self._kind == "lz4":
            return lz4.frame.LZ4FrameDecompressor()
        return zstandard.ZstdDecompressor(
            dict_data=self._dictionary, max_window_size=_ZSTD_WINDOW
        ).decompressobj()

    def _read(self, position: int) -> _Reading:
        if self._kind == "gzip":
            return (yield from _read_gzip(self._raw, position))
        return (yield from self._read_frame(position))

    def _read_frame(self, position: int) -> _Reading:
        engine, start, read = self._engine(), position, position
        while not engine.eof:
            step = self._raw[read : read + _FRAME_STEP]
            if not step:
                return StreamDamage(position, f"the {self._kind} stream is cut off", True, False)
            try:
                data = engine.decompress(step)
            except _FRAME_ERRORS as error:
                return StreamDamage(position, f"bad {self._kind} data ({error})", False, False)
            read += len(step)
            if data:
                yield Piece(data, start if start == position else None)
                start = -1
        return read - len(engine.unused_data or b"")


def _read_gzip(raw: mmap.mmap, position: int) -> _Reading:
    engine, step, read, start = _gzip_engine(), _FIRST_STEP, position, position
    while not engine.eof:
        data = raw[read : read + step]
        if not data:
            return StreamDamage(
                position, "the gzip stream is cut off", True, _lacks_its_trailer(engine)
            )
        read += len(data)
        while data and not engine.eof:
            before = engine.copy()
            try:
                made = engine.decompress(data, _PIECE)
            except zlib.error as error:
                for made in _salvage(before, data):
                    yield Piece(made, start if start == position else None)
                    start = -1
                return StreamDamage(position, f"bad gzip data ({error})", False, False)
            data = engine.unconsumed_tail
            if made:
                yield Piece(made, start if start == position else None)
                start = -1
        step = min(2 * step, _LONGEST_STEP)
    return min(read, len(raw)) - len(engine.unused_data)


def _salvage(engine: zlib._Decompress, data: bytes) -> Iterator[bytes]:
    """What comes out before the damage: an error in a large step hides all of it."""
    try:
        while data and not engine.eof:
            made = engine.decompress(data, _SALVAGED)
            data = engine.unconsumed_tail
            yield made
    except zlib.error:
        return


def _lacks_its_trailer(engine: zlib._Decompress) -> bool:
    """Whether the data itself is whole: then eight wrong bytes are seen to be a wrong check."""
    try:
        engine.copy().decompress(b"\x55" * 8)
    except zlib.error as error:
        return "incorrect data check" in str(error) or "incorrect length check" in str(error)
    return False


def _gzip_engine() -> zlib._Decompress:
    return zlib.decompressobj(_GZIP_WINDOW)


def _skip_skippable_frames(raw: mmap.mmap, position: int) -> int:
    """Where the skippable frame at `position` ends, as its header says."""
    return position + 8 + int.from_bytes(raw[position + 4 : position + 8], "little")


def _dictionary(frame: bytes) -> zstandard.ZstdCompressionDict | None:
    """The dictionary all frames of an archive share; it may itself be compressed."""
    if frame.startswith(_ZSTD_MAGIC):
        try:
            engine = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompressobj()
            frame = engine.decompress(frame)
        except zstandard.ZstdError:
            return None  # then the frames cannot be read either, and say so
    try:
        return zstandard.ZstdCompressionDict(frame)
    except zstandard.ZstdError:
        return None
