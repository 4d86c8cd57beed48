"""What a page says of itself, and what kind of page that makes it."""

from __future__ import annotations

import json

import pytest

from llm.corpus.clean.head import Head, read_head
from llm.corpus.clean.markup_events import parse
from llm.corpus.clean.page_type import page_type


def _head(markup: str) -> Head:
    return read_head(parse(markup, 1000, 64))


def _kind(markup: str, url: str | None = None) -> tuple[str, str]:
    page = parse(markup, 1000, 64)
    return page_type(read_head(page), page, url)


def _json(**thing: object) -> str:
    return f'<script type="application/ld+json">{json.dumps(thing)}</script>'


@pytest.mark.parametrize(
    ("markup", "found"),
    [
        (_json(datePublished="2020-02-03T10:00:00Z"), "2020-02-03"),
        (_json(**{"@graph": [{"@type": "WebSite"}, {"datePublished": "2020-02-03"}]}),
         "2020-02-03"),
        ("<meta property='article:published_time' content='2019-12-31T23:00:00+01:00'>",
         "2019-12-31"),
        ("<meta name=DC.Date content='2001-01-02'>", "2001-01-02"),
        ("<time itemprop=datePublished datetime='1999-05-06'>May</time>", "1999-05-06"),
        ("<meta name=date content='May 6th'>", None),
        ("<meta name=date content='2020-13-45'>", None),
    ],
)  # fmt: skip
def test_dates(markup: str, found: str | None) -> None:
    assert _head(markup).date == found


@pytest.mark.parametrize(
    ("markup", "found"),
    [
        (_json(author={"@type": "Person", "name": "Ida Moos"}), "Ida Moos"),
        (_json(author=[{"name": "A"}, "B", {"name": "A"}]), "A, B"),
        (_json(author="https://example.org/u/1") + "<meta name=author content=C>", "C"),
        ("<meta property='article:author' content='https://example.org/c'>", None),
    ],
)
def test_authors(markup: str, found: str | None) -> None:
    assert _head(markup).author == found


def test_licence_language_and_address() -> None:
    page = (
        "<html lang=pt_BR><link rel=canonical href=' https://example.org/x '><p>Text under "
        "<a rel='license nofollow' href=https://creativecommons.org/licenses/by/4.0/>a licence</a>"
    )
    head = _head(page)
    assert (head.language, head.canonical_url) == ("pt-BR", "https://example.org/x")
    assert head.licence == "https://creativecommons.org/licenses/by/4.0/"
    assert _head("<p>none").licence is None
    assert _head("<html lang='not a tag'>").language is None


def test_json_that_is_none_is_no_error() -> None:
    bad = '<script type="application/ld+json">{"a": </script>'
    good = _json(**{"@type": ["Article", "NewsArticle"], "headline": "x"})
    assert _head(f"{bad}{good}").types == {"Article": 1, "NewsArticle": 1}


def test_a_description_is_taken_without_its_markup() -> None:
    thing = {"@type": "Product", "description": "&lt;p&gt;Warm &amp;amp; dry&lt;/p&gt;\n x < y "}
    assert _head(_json(**thing)).described == "Warm &amp; dry\nx < y"
    assert _head(_json(**{"@type": "Organization", "description": "We sell"})).described is None


@pytest.mark.parametrize(
    ("markup", "url", "kind", "sign"),
    [
        ("<meta name=generator content='Discourse 3'>", None, "forum", "generator: discourse"),
        (_json(**{"@type": "https://schema.org/Product"}), None, "product", "json-ld: Product"),
        (_json(**{"@graph": [{"@type": "Product"}] * 4}), None, "collection", "json-ld: Product"),
        ("<body class='archive tag'>", None, "listing", "name: archive"),
        ("<meta property=og:type content=article><body class=blog>", None, "article",
         "og:type: article"),
        ("<div itemscope itemtype='http://schema.org/QAPage'>", None, "forum", "microdata: QAPage"),
        ("<h2><code>a</code></h2><h2><code>b</code></h2><h2><code>c</code></h2>", None,
         "documentation", "code in headings"),
        ("", "https://x.org/forum/viewtopic.php?t=5", "forum", "address: /viewtopic"),
        ("", "https://x.org/r/a/comments/1/b", "forum", "address: /r/a/comments/"),
        ("", "https://x.org/collections/mugs", "collection", "address: /collections/mugs/"),
        ("", "https://x.org/collections/mugs/products/red", "product", "address: /products/red"),
        ("", "https://docs.x.org/en/start", "documentation", "address: docs"),
        ("", "https://x.org/blog/", "listing", "address: /blog/"),
        ("", "https://x.org/services/audits", "service", "address: /services/"),
        ("", "https://x.org/2020/05/a-walk", "article", "address: /2020/05/a-walk"),
        ("", "https://x.org/news/the-old-road-is-closed", "article",
         "address: /news/the-old-road-is-closed/"),
        ("", "https://x.org/", "other", ""),
        ("", "http://[bad", "other", ""),
    ],
)  # fmt: skip
def test_kinds_and_their_signs(markup: str, url: str | None, kind: str, sign: str) -> None:
    assert _kind(markup, url) == (kind, sign)
