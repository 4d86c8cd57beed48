"""All that is known about a document from its URL and text, a column a metric."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_type_hints

import pyarrow as pa

from llm.corpus.annotate.pii.find import KINDS, pii_counts
from llm.corpus.annotate.url_rules import (
    BlockLists,
    Phrases,
    UrlFacts,
    listed_words,
    url_facts,
    word_hits,
)
from llm.corpus.source.robots import Robots, robots
from llm.corpus.text_metrics.languages import full_stops, lists_of, stop_words, word_lengths
from llm.corpus.text_metrics.metrics import BY_LANGUAGE, HEURISTICS, REPETITION, metrics
from llm.corpus.text_metrics.text_counts import text_counts

if TYPE_CHECKING:
    from llm.corpus.annotate.language import LanguageIdentifier
    from llm.corpus.quality.classifier import QualityClassifier

_TYPES: dict[Any, pa.DataType] = {
    int: pa.int32(),
    float: pa.float64(),
    bool: pa.bool_(),
    str | None: pa.string(),
}
QUALITY = "quality"


def _schema() -> pa.Schema:
    fields = [pa.field("doc_id", pa.string(), nullable=False)]
    for group in (UrlFacts, Robots):
        for name, kind in get_type_hints(group).items():
            fields.append(pa.field(name, _TYPES[kind], nullable=group is UrlFacts))
    for name, kind in (*HEURISTICS.items(), *REPETITION.items()):
        fields.append(pa.field(name, kind, nullable=name in BY_LANGUAGE))
    fields += [pa.field(f"{kind}_count", pa.int32(), nullable=False) for kind in KINDS]
    fields += [
        pa.field("language", pa.string()),
        pa.field("language_score", pa.float64()),
        pa.field("script", pa.string()),
        pa.field("toxic_word_count", pa.int32()),
        pa.field("quality_score", pa.float64()),
        pa.field("quality_bucket", pa.int32()),
    ]
    return pa.schema(fields)


# doc_id, then the fields of UrlFacts (null where a document has no URL) and Robots by name, the
# columns of HEURISTICS and REPETITION, a count for each kind of PII, then language,
# language_score, script (null for a text without letters), toxic_word_count (null without a list),
# quality_score (null without model), quality_bucket (0 to 19; null where no documents were
# measured when the model was trained).
# Scores of other classifiers follow, where there are any.
ATTRIBUTES = _schema()


def score_column(classifier: str) -> str:
    """The column a classifier of that name scores into."""
    return f"{classifier}_score"


def score_fields(classifiers: Iterable[str]) -> list[pa.Field]:
    """The columns behind `ATTRIBUTES` that classifiers other than `quality` have, by name."""
    others = sorted(set(classifiers) - {QUALITY})
    return [pa.field(score_column(name), pa.float64()) for name in others]


@dataclass(frozen=True)
class Annotated:
    """Attributes of the documents that have a text, and the doc_ids of those that have none."""

    attributes: pa.Table
    without_text: list[str]


def annotate(
    documents: pa.Table,
    lists: BlockLists,
    language: LanguageIdentifier,
    classifiers: Mapping[str, QualityClassifier],
    toxic: Phrases,
) -> Annotated:
    """Compute the attributes of documents.

    Args:
        documents: columns doc_id, url, text, robots; any number of rows.
        classifiers: by name; without one called `quality`, `quality_score` is null. Each other
            adds a column, see `score_fields`.
        toxic: words to count in texts; empty = no list, and the count is null.
    """
    whole = [bool(text and not text.isspace()) for text in documents.column("text").to_pylist()]
    known = documents.filter(pa.array(whole, pa.bool_()))
    without = documents.column("doc_id").filter(pa.array([not w for w in whole], pa.bool_()))
    texts = known.column("text").combine_chunks()
    listed: list[str] = texts.to_pylist()
    found = language.identify(listed)
    codes = [item.language if item else None for item in found]
    counts = text_counts(texts, stop_words(), lists_of(codes))
    columns: dict[str, Any] = {
        "doc_id": known.column("doc_id"),
        **_by_row(UrlFacts, (_url_facts(url, lists) for url in known.column("url").to_pylist())),
        **_by_row(Robots, (robots(rules) for rules in known.column("robots").to_pylist())),
        **metrics(counts, word_lengths(codes), full_stops(codes)),
        **_personal(listed),
        "language": codes,
        "language_score": [item.score if item else None for item in found],
        "script": [item.script if item else None for item in found],
    }
    columns["toxic_word_count"] = [
        word_hits(listed_words(text), toxic) if toxic else None for text in listed
    ]
    nothing = [None] * len(listed)
    columns |= {score_column(QUALITY): nothing, "quality_bucket": nothing}
    for name, classifier in classifiers.items():
        scored = classifier.score(listed)
        columns[score_column(name)] = scored
        if name == QUALITY:
            columns["quality_bucket"] = classifier.buckets(scored)
    schema = pa.schema([*ATTRIBUTES, *score_fields(classifiers)])
    return Annotated(pa.table(columns, schema=schema), without.to_pylist())


def _by_row(group: Any, rows: Iterable[tuple[Any, ...]]) -> dict[str, Sequence[Any]]:
    names = group._fields
    return dict(zip(names, list(zip(*rows, strict=True)) or [()] * len(names), strict=True))


def _url_facts(url: str | None, lists: BlockLists) -> tuple[Any, ...]:
    return url_facts(url, lists) if url else (None,) * len(UrlFacts._fields)


def _personal(texts: Sequence[str]) -> dict[str, list[int]]:
    counted = [pii_counts(text) for text in texts]
    return {f"{kind}_count": [counts[kind] for counts in counted] for kind in KINDS}
