"""Which texts share a run of bytes with texts that were taken out: exact, every place looked at.

Every run of `window` bytes of the removed texts is hashed, and every run of the searched ones: a
polynomial modulo 2^64, so that the hash of a run comes of two prefix sums. A hit is compared byte
by byte, so nothing is found that is not there; equal bytes have equal hashes, so nothing is missed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_BLOCK = 1 << 21  # places hashed at once
_COMPARED = 1 << 14  # runs compared at once
_BASE = 0x9E3779B97F4A7C15  # odd: it has an inverse modulo 2^64
_BITS = 24  # of a table that says which hashes cannot be among the removed


@dataclass(frozen=True)
class Shared:
    """What a text shares with those that were taken out.

    Attributes:
        longest: bytes of the longest run of such bytes.
        shared_bytes: in all runs of `window` bytes or more.
        size: bytes of the text.
        excerpt: the longest run, as text.
    """

    doc_id: str
    longest: int
    shared_bytes: int
    size: int
    excerpt: str

    @property
    def share(self) -> float:
        """Of the text's bytes."""
        return self.shared_bytes / self.size


class RemovedTexts:
    """Texts that were taken out, ready to be looked for.

    Args:
        window: bytes of the shortest run that counts.
    """

    def __init__(self, texts: Iterable[bytes], window: int) -> None:
        self.window = window
        self._powers, self._inverses = _powers(_BLOCK + window)
        kept = [np.frombuffer(text, np.uint8) for text in texts if len(text) >= window]
        self.bytes = sum(len(text) for text in kept)
        self._text = np.concatenate([*kept, np.empty(0, np.uint8)])
        # Each is hashed by itself: no run goes from one into the next.
        hashes, places, begin = [np.empty(0, np.uint64)], [np.empty(0, np.int64)], 0
        for text in kept:
            hashes.append(self._hashes(text))
            places.append(np.arange(begin, begin + len(hashes[-1])))
            begin += len(text)
        every = np.concatenate(hashes)
        self._known, first = np.unique(every, return_index=True)
        self._places = np.concatenate(places)[first]
        self._maybe = np.zeros(1 << _BITS, np.bool_)
        self._maybe[self._known >> np.uint64(64 - _BITS)] = True

    def shared_with(self, doc_ids: pa.ChunkedArray, texts: pa.ChunkedArray) -> Iterator[Shared]:
        """Of a column of texts those that share a run, in order."""
        if not len(self._known):
            return
        for column, ids in zip(texts.chunks, _cut_alike(doc_ids, texts), strict=True):
            content, offsets = _bytes_and_offsets(column)
            hits = self._hits(content, offsets)
            rows = np.searchsorted(offsets, hits, side="right") - 1
            for row in np.unique(rows).tolist():
                yield self._shared(ids[row].as_py(), content, offsets, row, hits[rows == row])

    def _shared(
        self,
        doc_id: str,
        content: NDArray[np.uint8],
        offsets: NDArray[np.int64],
        row: int,
        hits: NDArray[np.int64],
    ) -> Shared:
        """Args:
        hits: where runs begin in this row, ascending.
        """
        cuts = np.flatnonzero(np.diff(hits) > 1) + 1
        # Runs that begin in a row one behind the other are one; others may still overlap.
        runs = [(int(run[0]), int(run[-1]) + self.window) for run in np.split(hits, cuts)]
        covered, end = 0, -1
        for begin, stop in runs:
            covered += stop - max(begin, end)
            end = stop
        longest = max(runs, key=lambda run: run[1] - run[0])
        excerpt = content[longest[0] : longest[1]].tobytes().decode("utf-8", "replace")
        size = int(offsets[row + 1] - offsets[row])
        return Shared(doc_id, longest[1] - longest[0], covered, size, excerpt)

    def _hits(self, content: NDArray[np.uint8], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
        """Places at which a run begins that stands in a removed text, within one row."""
        found = [np.empty(0, np.int64)]
        for begin in range(0, max(0, len(content) - self.window + 1), _BLOCK):
            block = content[begin : begin + _BLOCK + self.window - 1]
            hashes = self._hashes(block)
            maybe = np.flatnonzero(self._maybe[hashes >> np.uint64(64 - _BITS)])
            known = np.searchsorted(self._known, hashes[maybe])
            known = np.minimum(known, len(self._known) - 1)
            equal = self._known[known] == hashes[maybe]
            places, known = maybe[equal] + begin, known[equal]
            rows = np.searchsorted(offsets, places, side="right") - 1
            within = places + self.window <= offsets[rows + 1]
            places, known = places[within], known[within]
            found.append(places[self._stand_there(content, places, known)])
        return np.concatenate(found)

    def _stand_there(
        self, content: NDArray[np.uint8], places: NDArray[np.int64], known: NDArray[np.intp]
    ) -> NDArray[np.bool_]:
        """bool (places,): whether the bytes at a place are those whose hash it has."""
        within = np.arange(self.window)
        found = np.zeros(len(places), np.bool_)
        for begin in range(0, len(places), _COMPARED):
            some = slice(begin, begin + _COMPARED)
            runs = content[places[some, None] + within]
            theirs = self._text[self._places[known[some], None] + within]
            found[some] = (runs == theirs).all(axis=1)
        for row in np.flatnonzero(~found).tolist():
            # Two runs of the removed texts may have one hash, of which the first alone is known.
            run = content[places[row] : places[row] + self.window].tobytes()
            found[row] = run in self._text.tobytes()
        return found

    def _hashes(self, content: NDArray[np.uint8]) -> NDArray[np.uint64]:
        """uint64 (len(content) - window + 1,): of the run that begins at each place."""
        found = [np.empty(0, np.uint64)]
        window = self.window
        for begin in range(0, len(content) - window + 1, _BLOCK):
            block = content[begin : begin + _BLOCK + window - 1].astype(np.uint64)
            sums = np.zeros(len(block) + 1, np.uint64)
            np.cumsum(block * self._powers[: len(block)], out=sums[1:])
            runs = len(block) - window + 1
            found.append((sums[window:] - sums[:runs]) * self._inverses[:runs])
        return np.concatenate(found)


def _powers(count: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Of the base and of its inverse modulo 2^64, from the power 0 on."""
    made = []
    for base in (_BASE, pow(_BASE, -1, 1 << 64)):
        factors = np.full(count, base, np.uint64)
        factors[0] = 1
        made.append(np.cumprod(factors))
    return made[0], made[1]


def _cut_alike(doc_ids: pa.ChunkedArray, texts: pa.ChunkedArray) -> Iterator[pa.Array]:
    begin = 0
    whole = doc_ids.combine_chunks()
    for chunk in texts.chunks:
        yield whole.slice(begin, len(chunk))
        begin += len(chunk)


def _bytes_and_offsets(column: pa.Array) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The bytes of all texts behind one another, and where each begins, and the last ends."""
    wide = column.cast(pa.large_string())
    _, offsets, content = wide.buffers()
    places = np.frombuffer(offsets, np.int64)[wide.offset : wide.offset + len(wide) + 1]
    data = np.frombuffer(content, np.uint8) if content is not None else np.empty(0, np.uint8)
    return data[places[0] : places[-1]], places - places[0]
