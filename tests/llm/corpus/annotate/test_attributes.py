"""The table of attributes: a row a document with text, columns as declared."""

from __future__ import annotations

import pyarrow as pa

from llm.corpus.annotate.attributes import ATTRIBUTES, annotate
from llm.corpus.annotate.language import LanguageIdentifier
from llm.corpus.annotate.url_rules import BlockLists, by_first_word
from tests.language_model import language_model

TEXT = "The river runs to the sea, and the people of the town live with it.\nThey have boats."


def documents(rows: list[tuple[str, str | None, str | None]]) -> pa.Table:
    names = ("doc_id", "url", "text", "robots")
    schema = pa.schema([(name, pa.string()) for name in names])
    return pa.Table.from_pylist(
        [{"doc_id": i, "url": u, "text": t, "robots": None} for i, u, t in rows], schema=schema
    )


def test_rows_columns_and_nulls() -> None:
    lists = BlockLists(frozenset({"bad.example"}), {})
    language = LanguageIdentifier(language_model(), 0, False)
    rows = [
        ("a", "https://bad.example/1", TEXT),
        ("b", None, "1 2 3"),
        ("c", "https://x.example", None),
        ("d", "https://x.example", " \n\t "),
    ]
    result = annotate(documents(rows), lists, language, {}, by_first_word(["Sea", "town live"]))
    assert result.attributes.schema == ATTRIBUTES
    assert result.without_text == ["c", "d"]
    first, second = result.attributes.to_pylist()
    assert first["doc_id"] == "a"
    assert first["url_blocked_domain"] is True
    assert first["word_count"] == 18
    assert first["stop_word_count"] == 6
    assert first["language"] == "en"
    assert first["script"] == "Latn"
    assert first["toxic_word_count"] == 2
    assert first["quality_bucket"] is None
    assert first["quality_score"] is None
    assert second["url_host"] is None
    assert second["url_is_ip"] is None
    assert second["language"] is None
    assert second["script"] is None
    assert second["stop_word_count"] is None
    assert second["alphabetic_word_fraction"] == 0


def test_no_rows_are_a_table_too() -> None:
    language = LanguageIdentifier(language_model(), 0, False)
    result = annotate(documents([]), BlockLists(frozenset(), {}), language, {}, {})
    assert result.attributes.schema == ATTRIBUTES
    assert result.attributes.num_rows == 0


def test_without_a_list_no_word_is_counted() -> None:
    language = LanguageIdentifier(language_model(), 0, False)
    rows = [("a", None, TEXT)]
    result = annotate(documents(rows), BlockLists(frozenset(), {}), language, {}, {})
    assert result.attributes.column("toxic_word_count").to_pylist() == [None]
