"""One raw page in, one document out, or the reason why not."""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from dataclasses import replace

from llm.corpus.clean.main_text import EngineError, extract
from llm.corpus.clean.markup_events import TooDeepError, TooManyNodesError
from llm.corpus.clean.normalise import normalise
from llm.corpus.clean.outcome import (
    Document,
    Extraction,
    Found,
    Limits,
    Outcome,
    Page,
    Rejected,
    Removed,
)
from llm.corpus.clean.signals import licence_id, of_robots, signals
from llm.corpus.source.encoding import UndecodableError, decode
from llm.corpus.source.records import HTML_TYPES
from llm.corpus.source.records import media_type as declared_type
from llm.corpus.source.robots import join_directives

_HEADER = "HTTP header"
_PLAIN = frozenset(("text/plain", "text/markdown", "text/x-markdown", "text/x-rst"))
# Marks of HTML at the start of a page (WHATWG MIME Sniffing, section 7.1).
_MARKUP = re.compile(
    rb"\s*<(?:!doctype html|!--|\?xml|(?:html|head|script|iframe|h1|div|font|table|a|style|title|b"
    rb"|body|br|p)(?=[\s>]))",
    re.IGNORECASE,
)
_BINARY_TYPES = ("image/", "audio/", "video/", "font/", "application/pdf", "application/zip")
_UTF16_BOMS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_CONTROL_BYTES = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1b"))
# Controls no text has: with them, bytes that claim to be text are something else.
_BINARY = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f-\x84\x86-\x9f]")
_SAMPLE = 1 << 16


def media_type(page: Page) -> str:
    """Media type in lower case without parameters, of several the first; where the page names
    none, or one that means "unknown", that of its first bytes."""
    named, _ = declared_type(page.content_type)
    if named is not None:
        return named
    if _MARKUP.match(page.payload):
        return "text/html"
    from resiliparse.parse.encoding import detect_mime

    found = str(detect_mime(page.payload) or "")
    # Its other verdicts on text depend on the share of bytes outside ASCII; decoding tells better.
    return found if found.startswith(_BINARY_TYPES) else "text/plain"


def _is_binary(payload: bytes, limit: float) -> bool:
    if payload.startswith(_UTF16_BOMS):
        return False
    sample = payload[:_SAMPLE]
    return len(sample) - len(sample.translate(None, _CONTROL_BYTES)) > limit * len(sample)


def clean_page(page: Page, limits: Limits, how: Extraction) -> Outcome:
    """The document in a page, or why there is none. Pure: equal pages give equal outcomes.

    HTML and XHTML go through the engine; plain text and light markup pass as they are, decoded;
    style sheets, feeds, JSON and the like are "not_text".
    """
    size = len(page.payload)
    if size > limits.max_bytes:
        return Rejected("too_large", f"{size} bytes; at most {limits.max_bytes} are allowed")
    kind = media_type(page)
    if kind not in HTML_TYPES and kind not in _PLAIN:
        return Removed("not_text", None, None, kind)
    if page.payload.startswith(b"%PDF-"):  # too printable for the share of controls to tell
        return Removed("not_text", None, None, "application/pdf")
    try:
        decoded = decode(page.payload, page.charset, limits.max_replaced)
    except UndecodableError as error:
        if _is_binary(page.payload, limits.max_controls):
            return Removed("not_text", None, None, "control characters")
        return Rejected("undecodable", str(error))
    sample = decoded.text[:_SAMPLE]
    controls = len(_BINARY.findall(sample)) / max(1, len(sample))
    if controls > limits.max_controls:
        return Removed("not_text", controls, limits.max_controls, "control characters")
    if kind in HTML_TYPES:
        try:
            made = extract(decoded.text, page.url, how, limits.max_nodes, limits.max_depth)
        except TooManyNodesError as error:
            return Rejected("too_many_nodes", str(error))
        except TooDeepError as error:
            return Rejected("too_deep", str(error))
        except EngineError as error:
            return Rejected("extractor_error", str(error))
        except ImportError:
            raise  # an engine that is not installed is no fault of the page
        except Exception as error:  # noqa: BLE001 - no page may take the others down
            return Rejected("extractor_error", f"{type(error).__name__}: {error}")
        robots = join_directives(page.robots, made.found.robots)
        said = signals([*of_robots(page.robots, _HEADER), *made.found.signals])
        found = replace(made.found, robots=robots, signals=tuple(said), licence_id=licence_id(said))
        document = Document(
            # The renderer of our own leaves runs of blank lines in listings alone.
            normalise(made.text, blank_lines=made.engine == "blocks"),
            made.engine,
            found,
        )
    else:
        document = Document(
            normalise(decoded.text),
            "plain",
            Found(robots=page.robots, signals=tuple(of_robots(page.robots, _HEADER))),
        )
    if not document.text.strip():
        return Removed("empty", 0.0, 1.0, document.extractor)
    return document


def clean_pages(pages: Sequence[Page], limits: Limits, how: Extraction) -> list[Outcome]:
    """`clean_page` of each, in order: what a sandboxed process is asked to run."""
    return [clean_page(page, limits, how) for page in pages]
