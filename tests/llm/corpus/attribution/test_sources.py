"""Spans with their documents: what is told of a text, of short and common spans, of what was left
out."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from llm.corpus.attribution.block_file import write_blocks
from llm.corpus.attribution.sources import Rule, Sources
from llm.corpus.attribution.spans import Index, covered_bytes
from llm.corpus.attribution.tables import INDEXED, LEFT, LEFT_OUT, TRAINED

RULE = Rule(min_tokens=4, most_places=10, documents=2, around=12)
TEXTS = {
    "a1": "Call me Ishmael. Some years ago, never mind how long precisely, I went to sea.",
    "a2": "It is a truth universally acknowledged, that a single man must be in want of a wife.",
    "a3": "Preface. It is a truth universally acknowledged, that a single man may be wrong.",
}
GONE = {"b1": "Happy families are all alike; every unhappy family is unhappy in its own way."}
FORMULA = "all rights are reserved here"


def words(data: bytes) -> NDArray[np.int64]:
    """Bounds of words, each with the white space before it."""
    return np.array([0, *(found.end() for found in re.finditer(rb"\s*\S+", data))], np.int64)


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    trained = {**TEXTS, **{f"f{number}": f"{number} {FORMULA}" for number in range(11)}}
    empty = dict.fromkeys(("title", "source", "licence"))
    for kind, texts, schema in ((TRAINED, trained, INDEXED), (LEFT_OUT, GONE, LEFT)):
        list(write_blocks([text.encode() for text in texts.values()], tmp_path / kind / "p", 120))
        why = {"stage": "filter", "reason": "too_short", "value": 3.0, "threshold": 9.0}
        rows = [{"doc_id": one, "url": f"u/{one}", **empty, "detail": None, **why} for one in texts]
        (tmp_path / f"{kind}_rows").mkdir()
        table = pa.Table.from_pylist(
            [{name: row[name] for name in schema.names} for row in rows], schema
        )
        pq.write_table(table, tmp_path / f"{kind}_rows" / "p.parquet")
    return Sources(
        tmp_path, {kind: tmp_path / f"{kind}_rows" for kind in (TRAINED, LEFT_OUT)}, words
    )


def test_a_span_names_its_documents_and_their_passages(sources: Sources) -> None:
    text = "He wrote: It is a truth universally acknowledged, that a single man must go."
    found = sources.attribute(text, RULE)
    [span] = found.spans
    assert span.text == "It is a truth universally acknowledged, that a single man must"
    assert text[span.start : span.end] == span.text
    assert (span.tokens, span.count) == (11, 1)
    [source] = span.sources
    assert (source.row["doc_id"], source.row["url"]) == ("a2", "u/a2")
    assert (source.before, source.found, source.after) == ("", span.text, " be in want ")
    # What goes on in one document and began in another is two spans.
    text = "Preface. It is a truth universally acknowledged, that a single man must go."
    first, second = sources.attribute(text, RULE).spans
    assert first.text == text[: -len(" must go.")]
    assert [source.row["doc_id"] for source in first.sources] == ["a3"]
    assert second.text == span.text


def test_what_stands_in_two_documents_names_both(sources: Sources) -> None:
    found = sources.attribute("a truth universally acknowledged, that", RULE)
    [span] = found.spans
    assert span.count == 2
    assert {source.row["doc_id"] for source in span.sources} == {"a2", "a3"}
    assert span.bytes_per_place == found.searched[TRAINED] // 2


def test_short_and_common_spans_are_counted_with_the_rule(sources: Sources) -> None:
    found = sources.attribute(f"Call me tomorrow, {FORMULA}", RULE)
    assert found.spans == []
    told = {row["reason"]: row["rule"] for row in found.suppressed}
    assert told == {"short": "fewer than 4 tokens", "common": "at more than 10 places"}
    assert next(row for row in found.suppressed if row["reason"] == "common")["spans"] == 1
    assert found.covered == 0.0


def test_what_was_left_out_is_told_apart_with_its_reason(sources: Sources) -> None:
    found = sources.attribute("Happy families are all alike; as they say.", RULE)
    assert found.spans == []
    [span] = found.left_out
    [source] = span.sources
    assert span.text == "Happy families are all alike;"
    assert (source.row["stage"], source.row["reason"]) == ("filter", "too_short")
    assert (source.row["value"], source.row["threshold"]) == (3.0, 9.0)


def test_a_text_of_ones_own_is_not_found(sources: Sources) -> None:
    found = sources.attribute("Nobody has ever written quite this before.", RULE)
    assert (list(found.spans), list(found.left_out), found.covered) == ([], [], 0.0)
    assert found.searched[TRAINED] > 0
    assert sources.attribute("", RULE).spans == []


def test_the_share_in_long_spans_counts_bytes_once(tmp_path: Path, sources: Sources) -> None:
    data = (TEXTS["a1"][:40] + " Else. " + TEXTS["a2"][:30]).encode()
    index = [Index(tmp_path / TRAINED)]
    whole = covered_bytes(index, data, words(data), 4)
    assert covered_bytes(index, data, words(data), 7) < whole < len(data)
    assert covered_bytes(index, data, words(data), 100) == 0
    assert covered_bytes([], data, words(data), 1) == 0
