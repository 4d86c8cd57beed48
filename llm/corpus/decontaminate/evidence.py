"""What was found as rows that a person can judge, and what of it counts.

N-grams that many documents of the corpus have are sayings, boilerplate or quotations: a document
that shares nothing else with an item did not take it from there. Of 114 sources that the project
Marin saw flagged by n-grams, 88 were such.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pyarrow as pa

from llm.corpus.decontaminate.occurrence import SoughtText
from llm.corpus.decontaminate.search import TextIndex, text_index
from llm.corpus.decontaminate.spans import characters, word_spans
from llm.corpus.decontaminate.tables import COMMON, FOUND

_SHOWN_CHARS = 2_000

Texts = Mapping[tuple[str, str, int], SoughtText]


def found_in(documents: pa.Table, files: tuple[str, ...]) -> pa.Table:
    """`find` with the texts of Parquet files of `SOUGHT`."""
    return find(documents, text_index(files))


def find(documents: pa.Table, index: TextIndex) -> pa.Table:
    """What stands in documents (columns doc_id, text), a table of `FOUND` in their order."""
    texts = [text or "" for text in documents.column("text").to_pylist()]
    rows = []
    for doc_id, text, occurrences in zip(
        documents.column("doc_id").to_pylist(), texts, index.find(texts), strict=True
    ):
        spans = word_spans(text) if occurrences else []
        for found in occurrences:
            start, end = characters(spans, found.start, found.end)
            rows.append(
                {
                    "doc_id": doc_id,
                    "evaluation_set": found.sought.evaluation_set,
                    "item": found.sought.item,
                    "place": found.sought.place,
                    "rule": found.rule,
                    "share": found.share,
                    "words": len(found.sought.words),
                    "start": start,
                    "end": end,
                    "found": text[start : min(end, start + _SHOWN_CHARS)],
                    "ngrams": list(found.ngrams),
                }
            )
    return pa.Table.from_pylist(rows, schema=FOUND)


def by_place(texts: Sequence[SoughtText]) -> Texts:
    """Sought texts by what rows of `FOUND` call them."""
    return {(text.evaluation_set, text.item, text.place): text for text in texts}


def sought_of(row: Mapping[str, Any], texts: Texts) -> SoughtText:
    """The text that a row of `FOUND` is about."""
    return texts[row["evaluation_set"], row["item"], row["place"]]


def common_ngrams(found: Sequence[Mapping[str, Any]], texts: Texts, most: int) -> pa.Table:
    """N-grams of rows of `FOUND` that more than `most` documents have: a table of `COMMON`."""
    having: dict[str, set[str]] = {}
    for row in found:
        for ngram in ngrams_of(sought_of(row, texts), row["ngrams"]):
            having.setdefault(ngram, set()).add(row["doc_id"])
    counts = Counter({ngram: len(ids) for ngram, ids in having.items() if len(ids) > most})
    rows = [
        {"ngram": ngram, "documents": count}
        for ngram, count in sorted(counts.items(), key=lambda counted: (-counted[1], counted[0]))
    ]
    return pa.Table.from_pylist(rows, schema=COMMON)


def ngrams_of(text: SoughtText, starts: Sequence[int]) -> list[str]:
    """The n-grams of a text that begin at these words."""
    return [" ".join(text.words[at : at + text.run]) for at in starts]


def is_evidence(
    text: SoughtText, share: float, starts: Sequence[int], common: Collection[str]
) -> bool:
    """Whether what was found counts, n-grams that are common left out.

    A text longer than an n-gram that is there nearly whole always does: then the item was copied,
    however often.
    """
    length = len(text.words)
    if not common or (length > text.run and text.edited and share * length >= text.edited - 0.5):
        return True
    rare = [
        at for at, ngram in zip(starts, ngrams_of(text, starts), strict=True) if ngram not in common
    ]
    if len(rare) == len(starts):
        return True
    return len({at + word for at in rare for word in range(text.run)}) >= text.covered
