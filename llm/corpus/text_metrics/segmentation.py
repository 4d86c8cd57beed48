"""A text cut into words, lines and paragraphs, once for all metrics that count them.

The definitions are pinned here because thresholds from the literature mean
nothing without them:

* a *word* is a maximal run without Unicode whitespace (`str.split()`), case and
  punctuation kept; in scripts written without spaces such a run is cut into the
  pieces that `llm.corpus.words` defines for all comparisons;
* a *line* is what lies between newlines, stripped, empty ones left out;
* a *paragraph* is what lies between blank lines, stripped, empty ones left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llm.corpus.words import pieces

_BLANK_LINES = re.compile(r"\n\s*\n")


@dataclass(frozen=True)
class Segments:
    """The parts of one text.

    Attributes:
        text: the text itself.
        lines, paragraphs: stripped, none empty, in order.
        vocabulary: distinct words in order of first occurrence.
        ids: int64 (words,): index into `vocabulary` of each word of the text.
        lengths: int64 (vocabulary,): characters (code points) of each distinct word.
        counts: int64 (vocabulary,): occurrences of each distinct word.
    """

    text: str
    lines: list[str]
    paragraphs: list[str]
    vocabulary: list[str]
    ids: NDArray[np.int64]
    lengths: NDArray[np.int64]
    counts: NDArray[np.int64]

    @property
    def words(self) -> int:
        """Number of words."""
        return len(self.ids)

    @property
    def word_characters(self) -> int:
        """Characters in words, that is without whitespace."""
        return int(self.lengths @ self.counts)


def segment(text: str) -> Segments:
    """Cut `text` into words, lines and paragraphs as the module's docstring defines them."""
    index: dict[str, int] = {}
    listed = [index.setdefault(word, len(index)) for word in pieces(text)]
    ids = np.array(listed, dtype=np.int64)
    paragraphs = _BLANK_LINES.split(text) if "\n" in text else [text]
    return Segments(
        text=text,
        lines=[line for raw in text.split("\n") if (line := raw.strip())],
        paragraphs=[paragraph for raw in paragraphs if (paragraph := raw.strip())],
        vocabulary=list(index),
        ids=ids,
        lengths=np.fromiter(map(len, index), dtype=np.int64, count=len(index)),
        counts=np.bincount(ids, minlength=len(index)).astype(np.int64, copy=False),
    )
