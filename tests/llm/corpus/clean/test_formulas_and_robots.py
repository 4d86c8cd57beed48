"""A formula is in the text once, as its source where there is one; what a page asks of robots."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm.corpus.clean.head import read_head
from llm.corpus.clean.main_text import extract
from llm.corpus.clean.markup_events import parse
from llm.corpus.clean.outcome import Document, Extraction, Limits, Page
from llm.corpus.clean.pages import clean_page
from llm.corpus.source import records
from llm.corpus.source.robots import Robots, header_directives, join_directives, robots
from tests.llm.corpus.source.archive_bytes import read

ENGINES = ["auto", "resiliparse", "trafilatura", "both"]
WORDS = "it is known to all the people who ever read about it"
KATEX = (
    '<span class="katex"><span class="katex-mathml"><math><semantics><mrow><mi>λ</mi></mrow>'
    '<annotation encoding="application/x-tex">\\lambda</annotation></semantics></math></span>'
    '<span class="katex-html" aria-hidden="true">λ</span></span>'
)
MEDIAWIKI = (
    '<span class="mwe-math-element"><span class="mwe-math-mathml-inline" style="display: none;">'
    '<math alttext="{\\displaystyle E=mc^{2}}"><semantics><mrow><mi>E</mi></mrow><annotation '
    'encoding="application/x-tex">{\\displaystyle E=mc^{2}}</annotation></semantics></math></span>'
    '<img src=x class="mwe-math-fallback-image-inline" alt="{\\displaystyle E=mc^{2}}"></span>'
)
LATEXML = (
    '<math display="block"><semantics><mi>α</mi><annotation-xml encoding="MathML-Content">'
    '<ci>𝛼</ci></annotation-xml><annotation encoding="application/x-tex">\\alpha</annotation>'
    '<annotation encoding="application/x-llamapun">italic_α</annotation></semantics></math>'
)
MATHML = (
    "<math><semantics><mi>x</mi><annotation-xml encoding='MathML-Content'><ci>y</ci>"
    "</annotation-xml></semantics></math>"
)


def _text(markup: str, engine: str) -> str:
    prose = f"<p>{WORDS}, and it is all true.</p>" * 5
    page = f"<main><article>{prose}<p>Here {markup} holds, and {WORDS}.</p>{prose}</article></main>"
    text = " ".join(
        extract(page, None, Extraction(engine, 1.4, False, "text"), 1000, 64).text.split()
    )
    return text[text.index("Here") : text.index(".", text.index("Here")) + 1]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("markup", "shown"),
    [
        (KATEX, "$\\lambda$"),
        (MEDIAWIKI, "$E=mc^{2}$"),
        (LATEXML, "$$\\alpha$$"),
        (MATHML, "x"),
        ("<math><mi>a</mi><mo>=</mo><mn>1</mn></math>", "a=1"),
    ],
)
def test_a_formula_is_given_once(markup: str, shown: str, engine: str) -> None:
    assert _text(markup, engine) == f"Here {shown} holds, and {WORDS}."


@pytest.mark.parametrize(
    ("head", "listed", "asked"),
    [
        ("", None, (False, False)),
        ("<meta name=robots content='index, follow'>", "follow, index", (False, False)),
        ("<META NAME=Robots CONTENT='NOINDEX,nofollow'>", "nofollow, noindex", (True, False)),
        ("<meta name=robots content=none>", "none", (True, False)),
        ("<meta name=robots content='noindex nofollow'>", "nofollow, noindex", (True, False)),
        ("<meta name=robots content='noindex;noai'>", "noai, noindex", (True, True)),
        (
            "<meta name=robots content='unavailable_after: Wed, 03 Dec 2025 13:09:53 GMT, noai'>",
            "noai, unavailable_after: wed 03 dec 2025 13:09:53 gmt",
            (False, True),
        ),
        ("<meta name=robots content='noai, noimageai'>", "noai, noimageai", (False, True)),
        ("<meta name=robots content=noimageai>", "noimageai", (False, True)),
        ("<meta name=tdm-reservation content=1>", "tdm-reservation", (False, True)),
        ("<meta name=tdm-reservation content=0>", None, (False, False)),
        ("<meta name=googlebot content=noindex>", None, (False, False)),
        (
            "<meta name=robots content=noai><meta name=robots content=noindex>",
            "noai, noindex",
            (True, True),
        ),
    ],
)
def test_what_a_page_asks_of_robots(
    head: str, listed: str | None, asked: tuple[bool, bool]
) -> None:
    markup = f"<html><head>{head}</head><body><p>words</p></body></html>"
    assert read_head(parse(markup, 100, 64)).robots == listed
    assert robots(listed) == Robots(*asked)


@pytest.mark.parametrize(
    ("tags", "reserved", "listed"),
    [
        ([], None, None),
        (["noindex"], None, "noindex"),
        (["NoIndex, nofollow", "noai"], None, "noai, nofollow, noindex"),
        (["googlebot: noindex, nofollow", "noarchive"], None, "noarchive"),
        (["otherbot: noindex, *: noai"], None, "noai"),
        (["robots: none"], None, "none"),
        (["max-snippet: 20, noimageai"], None, "max-snippet: 20, noimageai"),
        (["unavailable_after: 25 Jun 2030 15:00:00 PST"], "0",
         "unavailable_after: 25 jun 2030 15:00:00 pst"),
        ([""], " 1 ", "tdm-reservation"),
        (["unknown bot/1.0: noindex"], None, None),
        (["unavailable_after: Wed, 03 Dec 2025 13:09:53 GMT, noindex"], None,
         "noindex, unavailable_after: wed 03 dec 2025 13:09:53 gmt"),
        (["noai, unavailable_after: Wednesday, 03-Dec-25 13:09:53 GMT, none"], None,
         "noai, none, unavailable_after: wednesday 03-dec-25 13:09:53 gmt"),
        (["unavailable_after: 2025-12-03T13:09:53+01:00 noindex"], None,
         "noindex, unavailable_after: 2025-12-03t13:09:53+01:00"),
        (["bot: unavailable_after: 1 Jan 2025 10:00:00 EST, noindex", "noai"], None, "noai"),
        (["unavailable_after: 1 Jan 2025, somebot: noindex"], None,
         "unavailable_after: 1 jan 2025"),
        (["unavailable_after: someday, noindex"], None, "noindex, someday, unavailable_after:"),
        (["noindex nofollow"], None, "nofollow, noindex"),
        (["noindex;noai"], None, "noai, noindex"),
        (["noindex; max-image-preview:large; noai"], None,
         "max-image-preview: large, noai, noindex"),
        (["max-snippet:-1 none"], None, "max-snippet: -1, none"),
    ],
)  # fmt: skip
def test_what_a_header_asks_of_robots(
    tags: list[str], reserved: str | None, listed: str | None
) -> None:
    assert header_directives(tags, reserved) == listed


def test_what_header_and_page_ask_is_one_list() -> None:
    assert join_directives("noindex", None, "noai, noindex") == "noai, noindex"
    assert join_directives(None, None) is None


HEADER = "HTTP/1.1 200 OK\r\nContent-Type: {}\r\nX-Robots-Tag: noai\r\nx-robots-tag: bot: none\r\n"


@pytest.mark.parametrize(
    ("kind", "payload", "listed"),
    [
        ("text/html", b"<html><meta name=robots content=noindex><p>some words", "noai, noindex"),
        ("application/xhtml+xml", b"<html><p>some words</p></html>", "noai"),
    ],
)
def test_from_the_record_to_the_document(
    tmp_path: Path, kind: str, payload: bytes, listed: str
) -> None:
    block = HEADER.format(kind).encode() + b"\r\n" + payload
    head = f"WARC/1.0\r\nWARC-Type: response\r\nContent-Length: {len(block)}\r\n\r\n"
    (found,) = read(tmp_path, "warc", head.encode() + block + b"\r\n\r\n")
    assert isinstance(found, records.Page)
    assert found.robots == "noai"
    page = Page(found.payload, found.content_type, found.charset, found.robots)
    document = clean_page(
        page, Limits(10**6, 1000, 64, 0.05, 0.01), Extraction("both", 1.4, False, "text")
    )
    assert isinstance(document, Document)
    assert document.found.robots == listed


def test_a_page_of_text_has_what_its_header_asks() -> None:
    page = Page(b"some words", "text/plain", None, "noindex")
    document = clean_page(
        page, Limits(10**6, 1000, 64, 0.05, 0.01), Extraction("both", 1.4, False, "text")
    )
    assert isinstance(document, Document)
    assert document.found.robots == "noindex"
