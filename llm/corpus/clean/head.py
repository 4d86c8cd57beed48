"""What a page says of itself to machines: `<meta>`, `<link>`, JSON-LD.

Open Graph (https://ogp.me), schema.org in JSON-LD, Dublin Core and the names that HTML itself
registers; `rel=license` is that of HTML, section 4.6.7.9.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from llm.corpus.clean.markup_events import MarkupEvents
from llm.corpus.clean.outcome import Said, Signal
from llm.corpus.clean.signals import LICENCE, TDM_POLICY, of_rdfa, of_robots, signals
from llm.corpus.source.robots import directives

# Longest JSON-LD read, and how many of its objects: more is not about the page.
_MAX_JSON = 1 << 19
_MAX_OBJECTS = 500
_DATE = re.compile(r"(?<!\d)(1[89]\d\d|20\d\d)-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])(?!\d)")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8})*")
_DATES = (
    "article:published_time", "og:article:published_time", "datepublished", "date",
    "dc.date.issued", "dcterms.created", "dc.date", "dcterms.date", "pubdate", "publishdate",
    "publish-date", "parsely-pub-date", "sailthru.date", "citation_publication_date",
    "citation_date",
)  # fmt: skip
_AUTHORS = (
    "author", "article:author", "dc.creator", "dcterms.creator", "parsely-author",
    "sailthru.author", "citation_author", "twitter:creator",
)  # fmt: skip
_LICENCES = ("dc.rights", "dcterms.rights", "dcterms.license", "dc.rights.license", "license")
_TELLING = frozenset(("meta", "link", "a", "script", "title", "h1", "time", "html", "body"))
# Where a kind of thing has its text; others have it as articles do.
_TEXT_OF = {"Product": "description", "DiscussionForumPosting": "text", "Question": "text"}
_TAG = re.compile(r"<[a-zA-Z/][^<>]*>")
_AN_ADDRESS = re.compile(r"https?://|^@", re.IGNORECASE)


@dataclass(frozen=True)
class Head(Said):
    """What a page says of itself, and what tells its kind.

    Attributes:
        described: the text of the page as JSON-LD has it: an article's body, a posting's text, a
            product's description.
        types: of the things the page is about in JSON-LD, how often each.
        properties: all `<meta>`, name or property in lower case to the first content.
        names: words of the classes and ids of `<html>` and `<body>`, lower case.
    """

    described: str | None = None
    types: dict[str, int] = field(default_factory=dict)
    properties: dict[str, str] = field(default_factory=dict)
    names: frozenset[str] = frozenset()


def read_head(page: MarkupEvents) -> Head:
    """What a page says of itself. Of several values of one kind the first counts."""
    properties: dict[str, str] = {}
    metas: list[tuple[str, str]] = []
    objects: list[dict[str, Any]] = []
    canonical = licence = language = None
    title = heading = ""
    dated: str | None = None
    names: set[str] = set()
    said: list[Signal] = []
    for number, tag in enumerate(page.tags):
        if tag not in _TELLING:
            continue
        attributes = page.attributes[number]
        if (named := of_rdfa(attributes, tag)) is not None:
            said.append(named)
        if tag == "meta":
            content = attributes.get("content")
            metas.append((attributes.get("name") or "", content or ""))
            for key in ("name", "property", "itemprop", "http-equiv"):
                if content and (name := attributes.get(key)):
                    properties.setdefault(name.strip().lower(), content.strip())
        elif tag in ("link", "a"):
            rel = (attributes.get("rel") or "").lower().split()
            if "canonical" in rel and tag == "link":
                canonical = canonical or attributes.get("href")
            elif "license" in rel:
                terms = attributes.get("href") or _line(page.text(number))
                licence = licence or terms
                said.append(Signal(LICENCE, terms, f"{tag} rel=license"))
        elif tag == "script":
            if (attributes.get("type") or "").strip().lower() == "application/ld+json":
                objects += _objects(page.text(number))
        elif tag == "title":
            title = title or _line(page.text(number))
        elif tag == "h1":
            heading = heading or _line(page.text(number))
        elif tag == "time":
            published = "pubdate" in attributes or attributes.get("itemprop") == "datePublished"
            if published and dated is None:
                dated = attributes.get("datetime")
        else:
            language = language or attributes.get("lang") or attributes.get("xml:lang")
            for key in ("class", "id"):
                names.update((attributes.get(key) or "").lower().split())
    found = _about(objects)
    robots = directives(metas)
    in_json = _text(found.get("license"))
    said = [Signal(LICENCE, in_json or "", "JSON-LD"), *said]
    said += [Signal(LICENCE, properties.get(n, ""), f"meta {n}") for n in _LICENCES]
    said.append(Signal(TDM_POLICY, properties.get(TDM_POLICY, ""), f"meta {TDM_POLICY}"))
    return Head(
        title=title or _line(properties.get("og:title", "")) or heading or None,
        date=_date(found.get("datePublished"), *(properties.get(n) for n in _DATES), dated),
        author=_author(found.get("author"), properties),
        language=_language(
            language, properties.get("content-language"), properties.get("og:locale")
        ),
        canonical_url=(canonical or properties.get("og:url") or "").strip() or None,
        licence=in_json
        or (licence or "").strip()
        or next((properties[n] for n in _LICENCES if n in properties), None),
        robots=robots,
        signals=tuple(signals([*of_robots(robots, "meta"), *said])),
        described=_described(objects),
        types=_counted(objects),
        properties=properties,
        names=frozenset(names),
    )


def _line(text: str) -> str:
    return " ".join(text.split())


def _objects(text: str) -> list[dict[str, Any]]:
    """The things a JSON-LD script describes; those that others are described by are not."""
    if len(text) > _MAX_JSON:
        return []
    try:
        # Control characters within strings, as some systems write them.
        data = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return []
    found: list[dict[str, Any]] = []
    waiting = [data]
    while waiting and len(found) < _MAX_OBJECTS:
        one = waiting.pop(0)
        if isinstance(one, list):
            waiting[:0] = one[:_MAX_OBJECTS]
        elif isinstance(one, dict):
            found.append(one)
            waiting += [one[key] for key in ("@graph", "mainEntity") if key in one]
    return found


def _types(thing: dict[str, Any]) -> Iterator[str]:
    named = thing.get("@type")
    for name in named if isinstance(named, list) else [named]:
        if isinstance(name, str):
            yield name.rpartition("/")[2]


def _counted(objects: list[dict[str, Any]]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for thing in objects:
        for name in _types(thing):
            counts[name] = counts.get(name, 0) + 1
    return counts


def _about(objects: list[dict[str, Any]]) -> dict[str, Any]:
    """Facts of the first thing that has each."""
    found: dict[str, Any] = {}
    for thing in objects:
        for key in ("datePublished", "author", "license"):
            if thing.get(key):
                found.setdefault(key, thing[key])
    return found


def _described(objects: list[dict[str, Any]]) -> str | None:
    """The longest text of a thing the page is about, without markup in it."""
    texts = [""]
    for thing in objects:
        for kind in _types(thing):
            value = thing.get(_TEXT_OF.get(kind, "articleBody"))
            if isinstance(value, str):
                texts.append(_TAG.sub(" ", html.unescape(value)))
    lines = [" ".join(line.split()) for line in max(texts, key=len).split("\n")]
    return "\n".join(lines).strip() or None


def _text(value: Any) -> str | None:
    while isinstance(value, list) and value:
        value = value[0]
    if isinstance(value, dict):
        value = value.get("name") or value.get("@id") or value.get("url")
    return (_line(value) or None) if isinstance(value, str) else None


def _author(value: Any, properties: dict[str, str]) -> str | None:
    found = [_text(one) for one in (value if isinstance(value, list) else [value])]
    names = [name for name in found if name and not _AN_ADDRESS.search(name)]
    if names:
        return ", ".join(dict.fromkeys(names))
    for key in _AUTHORS:
        name = _line(properties.get(key, ""))
        if name and not _AN_ADDRESS.search(name):
            return name
    return None


def _date(*values: Any) -> str | None:
    for value in values:
        if isinstance(value, str) and (match := _DATE.search(value)):
            return match[0]
    return None


def _language(*values: str | None) -> str | None:
    for value in values:
        if value and (match := _LANGUAGE.fullmatch(value.split(",")[0].strip())):
            return match[0].replace("_", "-")
    return None
