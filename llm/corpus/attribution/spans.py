"""What a text has, word for word, in common with indexed texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from llm.corpus.attribution.block import Block, Passage
from llm.corpus.attribution.block_file import SUFFIXES

Ints = NDArray[np.int64]
_SPACE = 0x20
_CONTINUES, _HIGHEST_BITS = 0x80, 0xC0
_LONGEST_CHARACTER = 4  # bytes


@dataclass(frozen=True)
class Span:
    """A part of a text that stands in the index, and no longer one around it does.

    Attributes:
        start, end: bytes of the text's UTF-8.
        count: places of the index at which it stands.
    """

    start: int
    end: int
    count: int


@dataclass(frozen=True)
class Place:
    """Where in the index something stands.

    Attributes:
        part: of the table whose rows are its documents.
    """

    part: str
    passage: Passage


class Index:
    """All blocks of a folder, searched one after the other.

    Args:
        folder: with the files of `write_blocks`, in folders of its own or not.

    Raises:
        BadBlockError: a block is damaged.
    """

    def __init__(self, folder: Path) -> None:
        stems = sorted(path.with_suffix("") for path in folder.rglob(f"*{SUFFIXES}"))
        self._parts = [stem.relative_to(folder).with_suffix("").as_posix() for stem in stems]
        self._blocks = [Block(stem) for stem in stems]

    @property
    def size(self) -> int:
        """Bytes of all texts."""
        return sum(block.size for block in self._blocks)

    def longest(self, text: bytes, starts: Ints) -> Ints:
        """int64 (starts,): bytes of the longest beginning of text[start:] that stands here."""
        found = np.zeros(len(starts), np.int64)
        for block in self._blocks:
            np.maximum(found, block.longest(text, starts), out=found)
        return found

    def count(self, pattern: bytes) -> int:
        """At how many places it stands."""
        return sum(len(block.ranks(pattern)) for block in self._blocks)

    def places(self, pattern: bytes, most: int, around: int) -> list[Place]:
        """Where it stands: the first `most` places, in order of blocks and of what follows there.

        Args:
            around: bytes of text before and behind it, at most.
        """
        found: list[Place] = []
        for part, block in zip(self._parts, self._blocks, strict=True):
            found += [
                Place(part, block.passage(rank, len(pattern), around))
                for rank in block.ranks(pattern)[: most - len(found)]
            ]
        return found

    def documents(self, pattern: bytes) -> Iterator[tuple[str, int]]:
        """In which documents it stands: the part, and the number in it."""
        for part, block in zip(self._parts, self._blocks, strict=True):
            for number in block.documents(block.ranks(pattern)).tolist():
                yield part, number

    def texts(self, part: str) -> Iterator[bytes]:
        """The documents of a part, in order."""
        named = zip(self._parts, self._blocks, strict=True)
        of_it = [block for name, block in named if name == part]
        for block in sorted(of_it, key=lambda block: block.first):
            yield from block.texts()


def spans_shared(text: str | bytes, index: Index, at_least_bytes: int) -> list[Span]:
    """Every longest span of whole characters that the text shares with the index, in order.

    Exact: a span of so many bytes is listed if and only if it stands in a document of the index.
    Spans may overlap; none lies in another.

    Args:
        text: or its UTF-8.
    """
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    starts = character_starts(data)
    ends = starts + index.longest(data, starts)
    # A span that ends within a character ends before it.
    bounds = np.append(starts, len(data))
    ends = bounds[np.searchsorted(bounds, ends, side="right") - 1]
    found = maximal(starts, ends)
    return [
        Span(start, end, index.count(data[start:end]))
        for start, end in found
        if end - start >= at_least_bytes
    ]


def documents_sharing(data: bytes, index: Index, window: int) -> set[tuple[str, int]]:
    """Documents that may have a run of so many bytes of a text: all that do are among them.

    Not every run is looked up. Of marks that lie two fifths of a run apart one lies in each, and
    from the character there or behind it so much follows within the run.

    Args:
        data: UTF-8.
        window: bytes of the run; ten at least.
    """
    apart = window * 2 // 5
    starts = character_starts(data)
    behind = np.searchsorted(starts, np.arange(0, len(data), apart))
    marks = starts[behind[behind < len(starts)]]
    follows = window - (apart - 1) - (_LONGEST_CHARACTER - 1)
    there = index.longest(data, marks) >= follows
    return {
        document
        for mark in marks[there].tolist()
        for document in index.documents(data[mark : mark + follows])
    }


def token_spans(indexes: Sequence[Index], data: bytes, edges: Ints) -> list[tuple[int, int, int]]:
    """Spans of whole tokens that stand in an index and lie in no other such: start, end, tokens.

    A space that a token begins with is no part of it here: the first word of a text has none.

    Args:
        edges: int64 (tokens + 1,): where in `data` each token begins, and where the last ends.
    """
    starts = edges[:-1].copy()
    if len(starts):
        firsts = np.frombuffer(data, np.uint8)[starts]
        starts += (firsts == _SPACE) & (np.diff(edges) > 1)
    lengths = np.zeros(len(starts), np.int64)
    for index in indexes:
        np.maximum(lengths, index.longest(data, starts), out=lengths)
    ends = np.searchsorted(edges, starts + lengths, side="right") - 1
    return [
        (int(starts[at]), int(edges[end]), end - at)
        for at, end in maximal(np.arange(len(starts)), ends)
    ]


def covered_bytes(indexes: Sequence[Index], data: bytes, edges: Ints, min_tokens: int) -> int:
    """Bytes of a text in spans of so many tokens that stand in an index; see `token_spans`."""
    found = token_spans(indexes, data, edges)
    return covered([(start, end) for start, end, tokens in found if tokens >= min_tokens])


def maximal(starts: Ints, ends: Ints) -> list[tuple[int, int]]:
    """Of spans with rising starts those that lie in no other and are not empty."""
    before = np.concatenate([[-1], np.maximum.accumulate(ends)[:-1]]) if len(ends) else ends
    chosen = (ends > starts) & (ends > before)
    return list(zip(starts[chosen].tolist(), ends[chosen].tolist(), strict=True))


def character_starts(data: bytes) -> Ints:
    """int64 (characters,): where in UTF-8 each starts."""
    return np.flatnonzero((np.frombuffer(data, np.uint8) & _HIGHEST_BITS) != _CONTINUES)


def covered(spans: Sequence[tuple[int, int]]) -> int:
    """Bytes that spans in order of their starts hold together."""
    total, last = 0, 0
    for start, end in spans:
        total += max(0, end - max(start, last))
        last = max(last, end)
    return total
