"""All that is known about a document from its URL and text, a column a metric."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_type_hints

import pyarrow as pa

from llm.corpus.annotate.heuristics import Heuristics, heuristics
from llm.corpus.annotate.pii import PiiCounts, pii_counts
from llm.corpus.annotate.repetition import Repetition, repetition
from llm.corpus.annotate.segmentation import segment
from llm.corpus.annotate.url_rules import BlockLists, UrlFacts, url_facts
from llm.corpus.source.robots import Robots, robots

if TYPE_CHECKING:
    from llm.corpus.annotate.language import LanguageIdentifier
    from llm.corpus.quality.classifier import QualityClassifier

_TYPES: dict[Any, pa.DataType] = {
    int: pa.int32(),
    float: pa.float64(),
    bool: pa.bool_(),
    str | None: pa.string(),
}
# Filled for every document, in this order; the URL's are null where a document has none.
_GROUPS: tuple[Any, ...] = (UrlFacts, Robots, Heuristics, Repetition, PiiCounts)


def _schema() -> pa.Schema:
    fields = [pa.field("doc_id", pa.string(), nullable=False)]
    for group in _GROUPS:
        for name, kind in get_type_hints(group).items():
            fields.append(pa.field(name, _TYPES[kind], nullable=group is UrlFacts))
    fields += [
        pa.field("language", pa.string()),
        pa.field("language_score", pa.float64()),
        pa.field("quality_score", pa.float64()),
    ]
    return pa.schema(fields)


# doc_id, then the fields of UrlFacts, Robots, Heuristics, Repetition and PiiCounts by name, then
# language, language_score (null for a text without letters), quality_score (null without model).
# Scores of other classifiers follow, where there are any.
ATTRIBUTES = _schema()
QUALITY = "quality"


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
) -> Annotated:
    """Compute the attributes of documents.

    Args:
        documents: columns doc_id, url, text, robots; any number of rows.
        classifiers: by name; without one called `quality`, `quality_score` is null. Each other
            adds a column, see `score_fields`.
    """
    ids, rows, texts, without = [], [], [], []
    for identity, url, text, rules in zip(
        documents.column("doc_id").to_pylist(),
        documents.column("url").to_pylist(),
        documents.column("text").to_pylist(),
        documents.column("robots").to_pylist(),
        strict=True,
    ):
        if text is None or not text.strip():
            without.append(identity)
        else:
            ids.append(identity)
            texts.append(text)
            rows.append(_measure(url, text, rules, lists))
    columns: list[Sequence[Any]] = [ids]
    columns += list(zip(*rows, strict=True)) or [()] * (len(ATTRIBUTES) - 4)
    found = language.identify(texts)
    columns.append([item[0] if item else None for item in found])
    columns.append([item[1] if item else None for item in found])
    for name in (QUALITY, *sorted(set(classifiers) - {QUALITY})):
        scored = classifiers[name].score(texts) if name in classifiers else [None] * len(texts)
        columns.append(scored)
    schema = pa.schema([*ATTRIBUTES, *score_fields(classifiers)])
    arrays = [
        pa.array(values, type=field.type) for values, field in zip(columns, schema, strict=True)
    ]
    return Annotated(pa.Table.from_arrays(arrays, schema=schema), without)


def _measure(url: str | None, text: str, rules: str | None, lists: BlockLists) -> tuple[Any, ...]:
    segments = segment(text)
    facts: tuple[Any, ...] = url_facts(url, lists) if url else (None,) * len(UrlFacts._fields)
    return (
        *facts,
        *robots(rules),
        *heuristics(segments),
        *repetition(segments),
        *pii_counts(text),
    )
