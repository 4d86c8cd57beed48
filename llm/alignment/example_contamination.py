"""Examples that hold items of evaluation sets: a model tuned on them would be measured on what
it was told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from llm.alignment.example_tables import Dropped, Example, Outcome
from llm.corpus.contamination import NgramIndex

REASON = "evaluation:"  # and the name of the set


def without_evaluation_items(outcomes: Iterable[Outcome], index: NgramIndex) -> Iterator[Outcome]:
    """The outcomes, with every example that shares an n-gram with an evaluation item left out.

    Each turn is searched alone, so no n-gram crosses two of them. Of several items the one with
    most shared n-grams names the reason.
    """
    for outcome in outcomes:
        yield _searched(outcome, index) if isinstance(outcome, Example) else outcome


def _searched(example: Example, index: NgramIndex) -> Outcome:
    texts = dict.fromkeys(turn.content for turns in example.turns for turn in turns)
    found = [match for text in texts for match in index.matches(text)]
    if not found:
        return example
    name, item, ngram, count = max(found, key=lambda match: match[3])
    return Dropped(
        example.kind,
        example.source,
        example.split,
        example.doc_id,
        rejected=False,
        reason=f"{REASON}{name}",
        value=float(count),
        threshold=1.0,
        detail=f"{example.where}: {item}: {ngram}",
    )
