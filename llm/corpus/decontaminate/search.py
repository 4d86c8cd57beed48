"""Sought texts in many documents at once.

Runs of five words (seeds) that a document shares with a text narrow the search down: a table of
bits, indexed by a hash of the seed, rules out nearly all words of a document; the keys of seeds in
order decide which texts may be there. Of those with enough seeds the words themselves are compared
(`occurrence`), so that what is found does not depend on hashes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from llm.corpus.decontaminate.compiled_keys import Keys, KnownSeeds, Places, keys_kernel
from llm.corpus.decontaminate.occurrence import Occurrence, Seed, SoughtText, occurrences, reach_of
from llm.corpus.decontaminate.tables import SOUGHT
from llm.corpus.decontaminate.word_keys import keys_of_words, window_keys, word_keys, words

_SEED_WORDS = 5
_BLOCK = 1 << 14  # words, so that a block's keys stay in the processor's cache
_REORDERED = 3  # of a text whose parts change places so many times fewer seeds are left


class TextIndex:
    """Texts of `SOUGHT`, searchable."""

    def __init__(self, sought: pa.Table) -> None:
        self.texts = [
            SoughtText(
                row["evaluation_set"],
                row["item"],
                row["place"],
                tuple(row["text"].split(" ")),
                row["run"],
                row["covered"],
                row["edited"],
                tuple(tuple(text.split(" ")) for text in row["beside"].split("\n") if text),
            )
            for row in sought.to_pylist()
        ]
        self._size = min([_SEED_WORDS, *(text.run for text in self.texts)])
        keys, places = keys_of_words([text.words for text in self.texts])
        seeds = window_keys(keys, self._size)
        _, seeds, owners = _within(np.arange(len(seeds)), seeds, places, self._size)
        # Of one text each seed once, in the order of keys.
        order = np.lexsort((owners, seeds))
        seeds, owners = seeds[order], owners[order]
        new = np.ones(len(seeds), dtype=bool)
        new[1:] = (seeds[1:] != seeds[:-1]) | (owners[1:] != owners[:-1])
        seeds, self._owners = seeds[new], owners[new]
        self._seeds, self._first = np.unique(seeds, return_index=True)
        self._counts = np.diff(self._first, append=len(seeds))
        different = np.bincount(self._owners, minlength=len(self.texts))
        fewest = [self._fewest(text, int(n)) for text, n in zip(self.texts, different, strict=True)]
        self._in_runs, self._needed = np.array(fewest, dtype=np.int64).reshape(-1, 2).T
        self._keys, self._places = keys, places
        self._asked: dict[int, tuple[list[int], frozenset[int]]] = {}
        self._known = KnownSeeds.of(self._seeds)

    def _fewest(self, text: SoughtText, different: int) -> tuple[int, int]:
        """How many different seeds of a text there are wherever it is found by its runs, and
        wherever it is found at all."""
        size, seeds = self._size, len(text.words) - self._size + 1
        in_runs = max(text.run - size + 1, -(-text.covered // size))
        fewest = in_runs
        if text.edited:
            changed = len(text.words) - text.edited
            fewest = min(fewest, seeds - size * changed, -(-seeds // _REORDERED))
        again = seeds - different
        return max(1, in_runs - again), max(1, fewest - again)

    def find(self, documents: Sequence[str]) -> list[list[Occurrence]]:
        """What stands in each document: by text in the order of `SOUGHT`, by place in the document.

        Exact: keys narrow the search, the words themselves decide.
        """
        found: list[list[Occurrence]] = [[] for _ in documents]
        if not self.texts or not documents:
            return found
        keys, places = word_keys(documents)
        at, seeds = self._hits(keys)
        at, seeds, owners = _within(at, seeds, places, self._size)
        known: dict[int, list[str]] = {}
        for document, text, shared in self._promising(seeds, owners):
            mine = slice(*np.searchsorted(owners, (document, document + 1)))
            own = at[mine] - places[document]
            if shared < self._in_runs[text]:
                there = keys[places[document] : places[document + 1]]
                if not self._may_be_edited(text, there, own, seeds[mine]):
                    continue
            if document not in known:
                known[document] = words(documents[document])
            found[document] += self._occurrences(text, known[document], own)
        return found

    def _hits(self, keys: Keys) -> tuple[Places, Keys]:
        """Where in all words a seed begins, those across the end of a document among them, and the
        seeds' keys."""
        if kernel := keys_kernel():
            return kernel.seeds(keys, self._size, self._known)
        places, hits = [np.empty(0, np.int64)], [np.empty(0, np.uint64)]
        for start in range(0, len(keys), _BLOCK):
            windows = window_keys(keys[start : start + _BLOCK + self._size - 1], self._size)
            bits = windows >> self._known.shift
            eight = self._known.bits.take((bits >> np.uint64(3)).view(np.int64))
            at = np.flatnonzero(eight >> (bits & np.uint64(7)).astype(np.uint8) & 1)
            found = windows[at]
            known = np.searchsorted(self._seeds, found)
            known[known == len(self._seeds)] = 0
            equal = self._seeds[known] == found
            places.append(at[equal] + start)
            hits.append(found[equal])
        return np.concatenate(places), np.concatenate(hits)

    def _may_be_edited(self, text: int, keys: Keys, at: Places, seeds: Keys) -> bool:
        """Whether around the text's seeds in a document there are as many of its words as it takes
        without an n-gram."""
        own, of_text = self._own(text)
        near = [
            place
            for place, seed in zip(at.tolist(), seeds.tolist(), strict=True)
            if seed in of_text
        ]
        reach = reach_of(len(own))
        # More than are within reach of one seed, where there are many.
        around = set(keys[max(0, near[0] - reach) : near[-1] + self._size + reach].tolist())
        return sum(key in around for key in own) >= self.texts[text].edited

    def _own(self, text: int) -> tuple[list[int], frozenset[int]]:
        """Keys of a text's words and of its seeds, kept once they were asked for."""
        if text not in self._asked:
            own = self._keys[self._places[text] : self._places[text + 1]]
            self._asked[text] = own.tolist(), frozenset(window_keys(own, self._size).tolist())
        return self._asked[text]

    def _promising(self, seeds: Keys, owners: Places) -> list[tuple[int, int, int]]:
        """(document, text, seeds) where the document has as many different seeds of the text as
        there are wherever it stands; sorted."""
        pairs = np.unique(owners * len(self._seeds) + np.searchsorted(self._seeds, seeds))
        documents, known = np.divmod(pairs, len(self._seeds))
        counts = self._counts[known]
        ends = np.cumsum(counts)
        if not len(ends):
            return []
        posting = np.arange(ends[-1]) + np.repeat(self._first[known] - (ends - counts), counts)
        both = np.repeat(documents, counts) * len(self.texts) + self._owners[posting]
        both, shared = np.unique(both, return_counts=True)
        documents, texts = np.divmod(both, len(self.texts))
        enough = shared >= self._needed[texts]
        columns = (documents[enough], texts[enough], shared[enough])
        return list(zip(*(column.tolist() for column in columns), strict=True))

    def _occurrences(
        self, text: int, document: Sequence[str], seeds: Places
    ) -> Sequence[Occurrence]:
        sought, size = self.texts[text], self._size
        places: dict[tuple[str, ...], list[int]] = {}
        for own in range(len(sought.words) - size + 1):
            places.setdefault(sought.words[own : own + size], []).append(own)
        same: list[Seed] = [
            (word, own)
            for word in seeds.tolist()
            for own in places.get(tuple(document[word : word + size]), ())
        ]
        return sorted(occurrences(sought, document, same, size), key=lambda found: found.start)


def _within(at: Places, seeds: Keys, places: Places, size: int) -> tuple[Places, Keys, Places]:
    """Places of seeds, and the seeds, that end in the text in which they begin; and which that is.

    Args:
        places: where each text's words begin, `(texts + 1,)`.
    """
    owners = np.searchsorted(places, at, side="right") - 1
    inside = at + size <= places[owners + 1]
    return at[inside], seeds[inside], owners[inside]


@lru_cache(maxsize=1)
def text_index(files: tuple[str, ...]) -> TextIndex:
    """The texts of Parquet files of `SOUGHT`, read once a process."""
    tables = [SOUGHT.empty_table()]
    for file in files:
        with pq.ParquetFile(file) as part:
            tables.append(part.read())
    return TextIndex(pa.concat_tables(tables))
