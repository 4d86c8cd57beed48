"""How much a text repeats itself: Gopher's repetition metrics.

Reference: Rae et al. 2021, appendix A1.1 (repetition removal) and table A1. Where
the paper leaves the counting open, this is what is counted:

* Lines and paragraphs: an occurrence counts as duplicate when the same stripped
  text stood earlier in the document; fractions are over all lines (paragraphs),
  or over the characters in them.
* n-grams are over words (see `segmentation`); characters are those of the words,
  whitespace apart, and the denominator is the characters of all words.
* Top n-gram: the n-gram that occurs most often, the longest in characters among
  equals, then the earliest; the share of characters its occurrences cover. 0
  when no n-gram occurs twice.
* Duplicate n-grams: the share of characters covered by n-grams that occur more
  than once, the first occurrence included. A character in several overlapping
  occurrences counts once, so no fraction exceeds 1.

No n-gram is hashed: they are numbered exactly, each from the number of its prefix
and its last word, and only prefixes that repeat are extended.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from llm.corpus.text_metrics.segmentation import Segments

TOP_NGRAMS = (2, 3, 4)
DUPLICATE_NGRAMS = (5, 6, 7, 8, 9, 10)
GRAMS = (*TOP_NGRAMS, *DUPLICATE_NGRAMS)


def repeated(pieces: Sequence[str]) -> tuple[int, int, int]:
    """Characters of all pieces; how many of them repeat an earlier one, and their characters."""
    seen: set[str] = set()
    same = same_characters = characters = 0
    for piece in pieces:
        characters += len(piece)
        if piece in seen:
            same += 1
            same_characters += len(piece)
        else:
            seen.add(piece)
    return characters, same, same_characters


def gram_counts(segments: Segments) -> list[int]:
    """Characters that the top 2- to 4-gram covers, then those of duplicate 5- to 10-grams."""
    last = DUPLICATE_NGRAMS[-1]
    result = [0] * len(GRAMS)
    ids, words = segments.ids, segments.words
    if words < 3:
        return result
    ends = np.zeros(words + 1, dtype=np.int64)
    np.cumsum(segments.lengths[ids], out=ends[1:])
    # gram[i]: number of the n-gram that starts at word i, -1 where it occurs only once.
    gram = np.where(segments.counts[ids] > 1, ids, -1)
    for n in range(2, last + 1):
        # An n-gram can only repeat where both (n-1)-grams inside it do.
        starts = np.flatnonzero((gram[: words - n + 1] >= 0) & (gram[1 : words - n + 2] >= 0))
        if starts.size < 2:
            break
        # Numbers of grams and words are below `words`, so the product is exact in 64 bits.
        keys = gram[starts] * words + ids[starts + n - 1]
        number, first, counts = _group(keys)
        repeats = counts[number] > 1
        if not repeats.any():
            break
        place = n - TOP_NGRAMS[0]
        if n in TOP_NGRAMS:
            covering = starts[number == _top(starts[first], counts, ends, n)]
        else:
            covering = starts[repeats]
        result[place] = _covered_length(covering, ends, n)
        gram = np.full(words, -1, dtype=np.int64)
        gram[starts[repeats]] = number[repeats]
    return result


def _group(
    keys: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Group number of each key, index of each group's first key, size of each group."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    opens = np.empty(len(keys), dtype=bool)
    opens[0] = True
    np.not_equal(ordered[1:], ordered[:-1], out=opens[1:])
    number = np.empty(len(keys), dtype=np.int64)
    number[order] = np.cumsum(opens) - 1
    first = order[opens]
    sizes = np.diff(np.append(np.flatnonzero(opens), len(keys)))
    return number, first, sizes


def _top(
    first: NDArray[np.int64], counts: NDArray[np.int64], ends: NDArray[np.int64], n: int
) -> int:
    """The group that occurs most often; the longest, then the earliest, among equals."""
    candidates = np.flatnonzero(counts == counts.max())
    begin = first[candidates]
    lengths = ends[begin + n] - ends[begin]
    return int(candidates[np.lexsort((begin, -lengths))[0]])


def _covered_length(starts: NDArray[np.int64], ends: NDArray[np.int64], n: int) -> int:
    """Characters of the words in the n-grams at `starts` (ascending), each word once."""
    begin = np.maximum(starts[1:], starts[:-1] + n)
    return int(ends[starts[0] + n] - ends[starts[0]] + (ends[starts[1:] + n] - ends[begin]).sum())
