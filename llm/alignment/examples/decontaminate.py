"""Examples that hold items of evaluation sets: a model tuned on them would be measured on what
it was told."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import pyarrow as pa

from llm.alignment.examples.tables import Dropped, Example, Outcome
from llm.corpus.decontaminate.evidence import is_evidence
from llm.corpus.decontaminate.occurrence import Occurrence
from llm.corpus.decontaminate.search import text_index
from llm.process.guarded import LostDocument, guarded
from llm.process.sandbox import batches

REASON = "evaluation:"  # and the name of the set
_AT_ONCE = 1024
_DETAIL_CHARS = 300


def without_evaluation_items(
    outcomes: Iterable[Outcome], sought: Sequence[str], common: Collection[str]
) -> Iterator[Outcome]:
    """The outcomes, with every example that an evaluation item is found in left out.

    Each turn is searched alone, so nothing is found across two of them. Of several items the one
    with most words there names the reason.

    Args:
        sought: Parquet files of `SOUGHT`.
        common: n-grams that are no evidence.
    """
    for some in batches(outcomes, lambda _: 0, _AT_ONCE, 0):
        examples = [outcome for outcome in some if isinstance(outcome, Example)]
        found = _search(examples, tuple(sought), frozenset(common))
        for outcome in some:
            yield next(found) if isinstance(outcome, Example) else outcome


@dataclass(frozen=True)
class Match:
    """An evaluation item in an example: which one, what share of its text, and its words there."""

    evaluation_set: str
    item: str
    share: float
    text: str


def worst_matches(
    examples: pa.Table, sought: tuple[str, ...], common: frozenset[str]
) -> list[Match | None]:
    """For each row the evaluation item most words of its turns (`text`, a JSON list) are of."""
    index = text_index(sought)
    worst: list[Match | None] = []
    for turns in map(json.loads, examples.column("text").to_pylist()):
        found = [
            one
            for occurrences in index.find(turns)
            for one in occurrences
            if is_evidence(one.sought, one.share, one.ngrams, common)
        ]
        worst.append(_match(max(found, key=_words)) if found else None)
    return worst


def _words(found: Occurrence) -> float:
    return found.share * len(found.sought.words)


def _match(found: Occurrence) -> Match:
    sought = found.sought
    return Match(sought.evaluation_set, sought.item, found.share, " ".join(sought.words))


def _search(
    examples: Sequence[Example], sought: tuple[str, ...], common: frozenset[str]
) -> Iterator[Outcome]:
    turns = [
        json.dumps(
            list(dict.fromkeys(t.content for t in chain(*example.turns))), ensure_ascii=False
        )
        for example in examples
    ]
    columns = {"doc_id": [example.doc_id for example in examples], "text": turns}
    table = pa.table(columns, schema=_SCHEMA)
    waiting = iter(examples)
    function = "llm.alignment.examples.decontaminate:worst_matches"
    for found in guarded(function, (sought, common), [table]):
        if isinstance(found, LostDocument):
            yield _drop(next(waiting), True, found.reason, None, found.detail)
            continue
        for match in found:
            example = next(waiting)
            if match is None:
                yield example
            else:
                reason = f"{REASON}{match.evaluation_set}"
                detail = f"{match.item}: {match.text[:_DETAIL_CHARS]}"
                yield _drop(example, False, reason, match.share, detail)


_SCHEMA = pa.schema([("doc_id", pa.string()), ("text", pa.large_string())])


def _drop(
    example: Example, rejected: bool, reason: str, share: float | None, detail: str
) -> Dropped:
    return Dropped(
        example.kind,
        example.source,
        example.split,
        example.doc_id,
        rejected=rejected,
        reason=reason,
        value=share,
        threshold=None,
        detail=f"{example.where}: {detail}",
    )
