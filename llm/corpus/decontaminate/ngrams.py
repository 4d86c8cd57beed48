"""Overlap of documents with evaluation sets, by exact word n-grams.

Brown et al. 2020, "Language Models are Few-Shot Learners", appendix C: 13-grams of lower-cased
words without punctuation. Words here are those of `llm.corpus.words` after the normalisation of
`llm.corpus.dedup.shingles`, with underscores, which Markdown puts around words, taken for spaces.
A text shorter than n words is looked for as a whole if it has at least `shortest` words; shorter
ones would match by chance and are only counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from llm.corpus.decontaminate.items import EvaluationItem
from llm.corpus.decontaminate.tables import MATCHES, NGRAMS
from llm.corpus.dedup.shingles import normalise
from llm.corpus.words import words as words_of

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


def words(text: str) -> list[str]:
    """The words n-grams are made of."""
    return words_of(normalise(text).replace("_", " "))


@dataclass(frozen=True)
class Coverage:
    """Of one evaluation set: its items, how many of them can be looked for, their n-grams."""

    items: int
    too_short: int
    ngrams: int


def item_ngrams(
    evaluation_set: str, items: Iterable[EvaluationItem], size: int, shortest: int
) -> tuple[pa.Table, Coverage]:
    """What to look for: every n-gram of every text, each with the first item that has it.

    Args:
        size: words an n-gram.
        shortest: texts of fewer than `size` words are taken whole from this length on.

    Returns:
        A table of `NGRAMS`; an item none of whose texts is long enough counts as `too_short`.
    """
    first: dict[str, str] = {}
    count = too_short = 0
    for item in items:
        count += 1
        usable = False
        for text in item.texts:
            found = words(text)
            if len(found) < min(size, shortest):
                continue
            usable = True
            length = min(size, len(found))
            for start in range(len(found) - length + 1):
                first.setdefault(" ".join(found[start : start + length]), item.name)
        too_short += not usable
    columns = [[evaluation_set] * len(first), list(first.values()), list(first)]
    return pa.table(columns, schema=NGRAMS), Coverage(count, too_short, len(first))


Match = tuple[str, str, str, int]


class NgramIndex:
    """The n-grams of all evaluation sets, searchable."""

    def __init__(self, ngrams: pa.Table) -> None:
        self._owners: dict[str, list[tuple[str, str]]] = {}
        lengths: dict[int, set[int]] = {}
        for row in ngrams.to_pylist():
            self._owners.setdefault(row["ngram"], []).append((row["evaluation_set"], row["item"]))
        for ngram in self._owners:
            parts = ngram.split(" ")
            lengths.setdefault(len(parts), set()).add(
                int(_window_keys(_word_keys(parts), len(parts))[0])
            )
        self._keys = {
            length: np.array(sorted(keys), dtype=np.uint64)
            for length, keys in sorted(lengths.items())
        }

    def matches(self, text: str) -> list[Match]:
        """(evaluation set, item, first n-gram found, n-grams of the text that belong to it).

        Sorted by set and item. Exact: keys narrow the search, the words themselves decide.
        """
        found = words(text)
        hashed = _word_keys(found)
        hits: dict[tuple[str, str], tuple[str, int]] = {}
        for length, keys in self._keys.items():
            windows = _window_keys(hashed, length)
            at = np.searchsorted(keys, windows)
            at[at == len(keys)] = 0
            for start in np.flatnonzero(keys[at] == windows).tolist():
                ngram = " ".join(found[start : start + length])
                for owner in self._owners.get(ngram, ()):
                    known, count = hits.get(owner, (ngram, 0))
                    hits[owner] = (known, count + 1)
        return [(*owner, *hits[owner]) for owner in sorted(hits)]


def matches_in(documents: pa.Table, files: tuple[str, ...]) -> pa.Table:
    """`find_matches` with the n-grams of Parquet files of `NGRAMS`."""
    return find_matches(documents, ngram_index(files))


@lru_cache(maxsize=1)
def ngram_index(files: tuple[str, ...]) -> NgramIndex:
    """The n-grams of Parquet files of `NGRAMS`, read once a process."""
    tables = [NGRAMS.empty_table()]
    for file in files:
        with pq.ParquetFile(file) as part:
            tables.append(part.read())
    return NgramIndex(pa.concat_tables(tables))


def find_matches(documents: pa.Table, index: NgramIndex) -> pa.Table:
    """Overlaps of documents (columns doc_id, text), a table of `MATCHES` in their order."""
    rows = [
        (doc_id, *match)
        for doc_id, text in zip(
            documents.column("doc_id").to_pylist(),
            documents.column("text").to_pylist(),
            strict=True,
        )
        for match in index.matches(text or "")
    ]
    columns = [[row[position] for row in rows] for position in range(len(MATCHES))]
    return pa.table(columns, schema=MATCHES)


def _word_keys(found: Sequence[str]) -> npt.NDArray[np.uint64]:
    known: dict[str, int] = {}
    for word in found:
        if word not in known:
            known[word] = xxhash.xxh3_64_intdigest(word.encode())
    return np.fromiter((known[word] for word in found), dtype=np.uint64, count=len(found))


def _window_keys(hashed: npt.NDArray[np.uint64], length: int) -> npt.NDArray[np.uint64]:
    """A key for each run of `length` words, `(words - length + 1,)`."""
    total = len(hashed) - length + 1
    if total < 1:
        return np.empty(0, dtype=np.uint64)
    keys = np.zeros(total, dtype=np.uint64)
    for offset in range(length):
        keys = keys * _MULTIPLIER + hashed[offset : offset + total]
    return keys
