"""A page becomes a document or a row with a reason, and the engines keep their measured quality."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm.corpus.clean.outcome import (
    Document,
    Extraction,
    Found,
    Limits,
    Page,
    Rejected,
    Removed,
)
from llm.corpus.clean.pages import clean_page, clean_pages

LIMITS = Limits(
    max_bytes=2_000_000, max_nodes=100_000, max_depth=256, max_replaced=0.05, max_controls=0.01
)
HOW = Extraction(engine="auto", longer=1.4, comments=False, format="text")
DATA = Path(__file__).parents[4].parent / "shared" / "data" / "extraction"


def _clean(payload: bytes, kind: str | None = "text/html", **limits: float) -> object:
    changed = Limits(**{**vars(LIMITS), **limits})
    return clean_page(Page(payload, kind, None), changed, HOW)


def test_plain_text_passes_through_decoded() -> None:
    text = "Zeile eins  \r\nZeile <b>zwei</b> – ü\n"
    for kind in ("text/plain; charset=utf-8", "TEXT/PLAIN", "text/markdown", None):
        assert _clean(text.encode(), kind) == Document(
            "Zeile eins\nZeile <b>zwei</b> – ü", "plain", Found()
        )


def test_html_is_recognised_without_a_content_type() -> None:
    page = b"<!doctype html><title>T</title><body><p>Some text.</p>"
    unknown = (None, "", "application/octet-stream", "*/*", "binary/octet-stream; a=b", "html")
    for kind in unknown:
        outcome = _clean(page, kind)
        assert isinstance(outcome, Document)
        assert (outcome.found.title, outcome.text) == ("T", "Some text.")


@pytest.mark.parametrize(
    ("kind", "extractor"),
    [
        ("text/html,text/html", "blocks"),
        ("TEXT/HTML ; charset=utf-8, text/plain", "blocks"),
        ("'text/html'", "blocks"),
        ("text/plain, text/html", "plain"),
        ("application/x-unknown", "plain"),
    ],
)
def test_a_declared_type_is_read_as_source_reads_it(kind: str, extractor: str) -> None:
    outcome = _clean(b"Some words.", kind)
    assert isinstance(outcome, Document)
    assert outcome.extractor == extractor


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        (b"%PDF-1.7\n1 0 obj << /Type /Catalog >>", "text/html"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + zlib.compress(bytes(range(256)) * 9), "text/html"),
        (gzip.compress(b"<p>words</p>" * 50, mtime=0), "text/plain"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", None),
        (gzip.compress(b"<p>words</p>" * 50, mtime=0), None),
        (b'{"a": 1}', "application/json"),
        (b"body { color: red }", "text/css"),
        ("unmarked".encode("utf-16-le"), "text/html"),
    ],
)
def test_what_is_not_text_is_removed(payload: bytes, kind: str | None) -> None:
    outcome = _clean(payload, kind)
    assert isinstance(outcome, Removed)
    assert outcome.reason == "not_text"


@pytest.mark.parametrize(
    "payload", [b"", b"<html><body><script>let a</script></body>", b"<p>&nbsp; \n</p>"]
)
def test_a_page_without_text_is_empty(payload: bytes) -> None:
    outcome = _clean(payload)
    assert isinstance(outcome, Removed)
    assert outcome.reason == "empty"


def test_limits_reject_by_name() -> None:
    assert _clean(b"x" * 11, max_bytes=10) == Rejected(
        "too_large", "11 bytes; at most 10 are allowed"
    )
    for payload, limits, reason in [
        (b"<p>x" * 20, {"max_nodes": 10}, "too_many_nodes"),
        (b"<div>" * 40 + b"x", {"max_depth": 20}, "too_deep"),
        (b"\xff\xfe" + b"\x00\xd8" * 50, {}, "undecodable"),
    ]:
        outcome = _clean(payload, **limits)
        assert isinstance(outcome, Rejected)
        assert outcome.reason == reason


@given(st.binary(max_size=300), st.sampled_from(["text/html", "text/plain", None, "image/png"]))
def test_every_page_has_one_outcome_and_the_same_again(payload: bytes, kind: str | None) -> None:
    first = _clean(payload, kind)
    assert isinstance(first, (Document, Removed, Rejected))
    assert _clean(payload, kind) == first
    if isinstance(first, Document):
        first.text.encode()
        assert first.text.strip()


def _f1(found: str, wanted: str) -> float:
    one, other = (Counter(re.findall(r"\w+", text)) for text in (found, wanted))
    return 2 * (one & other).total() / (one.total() + other.total())


@pytest.mark.parametrize(
    ("engine", "floor"),
    [
        ("auto", 0.979),
        ("resiliparse", 0.928),
        pytest.param("trafilatura", 0.959, marks=pytest.mark.long),
        pytest.param("both", 0.954, marks=pytest.mark.long),
    ],
)
def test_token_f1_on_real_articles_does_not_fall(engine: str, floor: float) -> None:
    """181 pages with the article's text written out by hand (article-extraction-benchmark)."""
    if not DATA.is_dir():
        pytest.skip(f"no ground truth: {DATA} is not there")
    truth = json.loads((DATA / "ground-truth.json").read_text())
    pages = [
        Page(gzip.decompress((DATA / "html" / f"{name}.html.gz").read_bytes()), "text/html", None)
        for name in truth
    ]
    outcomes = clean_pages(pages, LIMITS, Extraction(engine, 1.4, False, "text"))
    scores = [
        _f1(outcome.text, item["articleBody"]) if isinstance(outcome, Document) else 0.0
        for outcome, item in zip(outcomes, truth.values(), strict=True)
    ]
    assert sum(scores) / len(scores) >= floor
