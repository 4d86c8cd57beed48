"""Where the words of a document stand in it, and the document without some of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from llm.corpus.decontaminate.word_keys import words
from llm.corpus.dedup.shingles import normalise

Span = tuple[int, int]
_CHUNK = re.compile(r"\S+")


def word_spans(text: str) -> list[Span]:
    """Of each of `words(text)` its characters in the text, from and to.

    Where words are not what stands there (an apostrophe is left out, normalisation changes the
    length), all that stands between two blanks is the span of each word in it.
    """
    return [span for chunk in _CHUNK.finditer(text) for span in _of_chunk(chunk)]


def _of_chunk(chunk: re.Match[str]) -> Iterator[Span]:
    start, end = chunk.span()
    normalised = normalise(chunk[0])
    found = words(chunk[0])
    places, at = [], 0
    for word in found:
        at = normalised.find(word, at)
        places.append((start + at, start + at + len(word)))
        if at < 0 or len(normalised) != end - start:
            yield from [(start, end)] * len(found)
            return
        at += len(word)
    yield from places


def characters(spans: Sequence[Span], first: int, last: int) -> Span:
    """The characters from word `first` up to word `last`, which is not among them."""
    return spans[first][0], max(end for _, end in spans[first:last])


def masked(text: str, spans: Iterable[Span], mask: str) -> str:
    """The text with each span, and spans that overlap together, replaced by `mask`."""
    pieces, at = [], 0
    for start, end in _joined(spans):
        pieces += [text[at:start], mask]
        at = end
    return "".join([*pieces, text[at:]])


def _joined(spans: Iterable[Span]) -> Iterator[Span]:
    current: Span | None = None
    for start, end in sorted(spans):
        if current is None:
            current = (start, end)
        elif start <= current[1]:
            current = (current[0], max(current[1], end))
        else:
            yield current
            current = (start, end)
    if current is not None:
        yield current
