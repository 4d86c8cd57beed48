"""Examples that hold items of evaluation sets: a model tuned on them would be measured on what
it was told."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

import pyarrow as pa

from llm.alignment.examples.tables import Dropped, Example, Outcome
from llm.corpus.decontaminate.ngrams import Match, ngram_index
from llm.process.guarded import LostDocument, guarded
from llm.process.sandbox import batches

REASON = "evaluation:"  # and the name of the set
_AT_ONCE = 1024


def without_evaluation_items(
    outcomes: Iterable[Outcome], ngrams: Sequence[str]
) -> Iterator[Outcome]:
    """The outcomes, with every example that shares an n-gram with an evaluation item left out.

    Each turn is searched alone, so no n-gram crosses two of them. Of several items the one with
    most shared n-grams names the reason.

    Args:
        ngrams: Parquet files of `NGRAMS`.
    """
    for some in batches(outcomes, lambda _: 0, _AT_ONCE, 0):
        examples = [outcome for outcome in some if isinstance(outcome, Example)]
        found = _search(examples, tuple(ngrams))
        for outcome in some:
            yield next(found) if isinstance(outcome, Example) else outcome


def worst_matches(examples: pa.Table, ngrams: tuple[str, ...]) -> list[Match | None]:
    """For each row the evaluation item its turns (`text`, a JSON list) share most n-grams with."""
    index = ngram_index(ngrams)
    worst: list[Match | None] = []
    for turns in examples.column("text").to_pylist():
        found = [match for text in json.loads(turns) for match in index.matches(text)]
        worst.append(max(found, key=lambda match: match[3]) if found else None)
    return worst


def _search(examples: Sequence[Example], ngrams: tuple[str, ...]) -> Iterator[Outcome]:
    turns = [
        json.dumps(
            list(dict.fromkeys(t.content for t in chain(*example.turns))), ensure_ascii=False
        )
        for example in examples
    ]
    columns = {"doc_id": [example.doc_id for example in examples], "text": turns}
    table = pa.table(columns, schema=_SCHEMA)
    waiting = iter(examples)
    for found in guarded("llm.alignment.examples.decontaminate:worst_matches", (ngrams,), [table]):
        if isinstance(found, LostDocument):
            yield _drop(next(waiting), True, found.reason, None, found.detail)
            continue
        for match in found:
            example = next(waiting)
            if match is None:
                yield example
            else:
                name, item, ngram, count = match
                yield _drop(example, False, f"{REASON}{name}", count, f"{item}: {ngram}")


_SCHEMA = pa.schema([("doc_id", pa.string()), ("text", pa.large_string())])


def _drop(example: Example, rejected: bool, reason: str, count: int | None, detail: str) -> Dropped:
    return Dropped(
        example.kind,
        example.source,
        example.split,
        example.doc_id,
        rejected=rejected,
        reason=reason,
        value=None if count is None else float(count),
        threshold=None if count is None else 1.0,
        detail=f"{example.where}: {detail}",
    )
