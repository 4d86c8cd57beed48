"""What a page says of its use by machines, with the place where it says so."""

from __future__ import annotations

from llm.corpus.clean.head import read_head
from llm.corpus.clean.markup_events import parse
from llm.corpus.clean.outcome import Document, Extraction, Limits, Page
from llm.corpus.clean.pages import clean_page

LIMITS = Limits(1 << 20, 1000, 64, 0.05, 0.01)
HOW = Extraction("auto", 1.4, False, "text")
BY = "https://creativecommons.org/licenses/by/4.0/"


def said(markup: str) -> list[tuple[str, str, str]]:
    return [tuple(signal) for signal in read_head(parse(markup, 1000, 64)).signals]


def test_robots_and_the_reservation_of_mining() -> None:
    page = (
        "<meta name=robots content='noindex, noai'><meta name=tdm-reservation content=1>"
        "<meta name=tdm-policy content=https://x.org/terms.json>"
    )
    assert said(page) == [
        ("robots", "noai", "meta"),
        ("robots", "noindex", "meta"),
        ("robots", "tdm-reservation", "meta"),
        ("tdm-policy", "https://x.org/terms.json", "meta tdm-policy"),
    ]
    assert said("<meta name=tdm-reservation content=0><p>open") == []


def test_licences_wherever_they_stand() -> None:
    page = (
        f'<script type="application/ld+json">{{"@type": "Article", "license": "{BY}"}}</script>'
        f"<link rel=license href={BY}><a rel='nofollow license' href=/terms>Terms</a>"
        f"<meta property=dct:license content={BY}sa><a property=cc:license href={BY}>x</a>"
        "<a rel=license>All rights reserved</a><meta name=dcterms.rights content='CC0'>"
        f"<a property=schema:author href={BY}>x</a>"
    )
    assert said(page) == [
        ("licence", BY, "JSON-LD"),
        ("licence", BY, "link rel=license"),
        ("licence", "/terms", "a rel=license"),
        ("licence", f"{BY}sa", "RDFa, meta property"),
        ("licence", BY, "RDFa, a property"),
        ("licence", "All rights reserved", "a rel=license"),
        ("licence", "CC0", "meta dcterms.rights"),
    ]


def test_a_page_of_many_licences_is_kept_short() -> None:
    assert len(said("".join(f"<a rel=license href=/{n}>x</a>" for n in range(99)))) == 16


def cleaned(markup: str, header: str | None, kind: str = "text/html") -> Document:
    found = clean_page(Page(markup.encode(), kind, "utf-8", header), LIMITS, HOW)
    assert isinstance(found, Document)
    return found


def test_header_and_page_together() -> None:
    text = "<p>The ferry leaves the old harbour four times a day.</p>" * 5
    page = (
        f"<meta name=robots content=noai><a rel=license href=/x>x</a><link rel=license href={BY}>"
    )
    found = cleaned(page + text, "noimageai").found
    assert found.robots == "noai, noimageai"
    assert [tuple(signal)[1:] for signal in found.signals][:2] == [
        ("noimageai", "HTTP header"),
        ("noai", "meta"),
    ]
    assert found.licence_id == "CC-BY-4.0", "the first that SPDX has a name for"
    plain = cleaned("The ferry leaves.", "noai", "text/plain").found
    assert [tuple(signal) for signal in plain.signals] == [("robots", "noai", "HTTP header")]
    assert plain.licence_id is None
