"""Word shingles: what two texts are compared by.

Normalisation, pinned because signatures of different versions must be comparable:

1. Unicode normalisation form C of the stream-safe text (`llm.corpus.stream_safe`), then
   `str.lower`.
2. For the digest of a text (`text_digest`): split at Unicode white space, joined by one space.
   Two texts are exact duplicates when these are equal.
3. For shingles: words are those of `llm.corpus.words`, so that punctuation does not matter; a
   shingle is k consecutive words joined by one space, UTF-8. A text of fewer than k words has one
   shingle, all its words; one without words, none.

Broder 1997, "On the resemblance and containment of documents", defines shingles and resemblance.
"""

from __future__ import annotations

import unicodedata

import numpy as np
import numpy.typing as npt
import xxhash

from llm.corpus.stream_safe import stream_safe
from llm.corpus.words import words as words_of


def normalise(text: str) -> str:
    """NFC of the stream-safe text, then lower case."""
    if not text.isascii():
        text = unicodedata.normalize("NFC", stream_safe(text))
    return text.lower()


def text_digest(text: str) -> str:
    """Hex xxh3-128 of the normalised text with white space collapsed, 32 characters."""
    return xxhash.xxh3_128_hexdigest(" ".join(normalise(text).split()).encode())


def shingles(text: str, words: int) -> set[bytes]:
    """The distinct shingles of a text.

    Args:
        words: words a shingle, at least 1.
    """
    found = words_of(normalise(text))
    if not found:
        return set()
    # A shingle is a slice of all words joined: some twice as fast as joining each.
    encoded = list(map(str.encode, found))
    joined = b" ".join(encoded)
    lengths = np.fromiter(map(len, encoded), dtype=np.int64, count=len(encoded))
    ends = np.cumsum(lengths + 1)
    starts = (ends - lengths - 1).tolist()
    last = (ends[min(words, len(found)) - 1 :] - 1).tolist()
    return {joined[start:end] for start, end in zip(starts, last, strict=False)}


def shingle_hashes(text: str, words: int) -> npt.NDArray[np.uint64]:
    """xxh64 of each distinct shingle, sorted ascending, `(shingles,)`.

    The Jaccard index of two such arrays is that of the shingle sets: two different shingles of
    one pair of texts share a hash with probability below shingles² / 2^64.
    """
    hashed = [xxhash.xxh64_intdigest(shingle) for shingle in shingles(text, words)]
    return np.unique(np.array(hashed, dtype=np.uint64))
