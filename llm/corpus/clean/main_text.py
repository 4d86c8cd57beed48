"""Main text of an HTML page.

"auto" is Ingot's own scorer of blocks (`llm.corpus.clean.text_by_blocks`), which knows several
kinds of pages. Resiliparse (https://resiliparse.chatnoir.eu) is as fast, keeps tables and code, and
lets some boilerplate through; trafilatura (https://trafilatura.readthedocs.io) is slower, cleaner
on articles, and loses whole sections of forum, product and documentation pages. "both" takes
trafilatura's text unless resiliparse found much more.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from llm.corpus.clean import lone_nodes, unprintable
from llm.corpus.clean.figures import open_figures
from llm.corpus.clean.formulas import give_once, has_formulas
from llm.corpus.clean.head import read_head
from llm.corpus.clean.markup_events import TooDeepError, TooManyNodesError, parse
from llm.corpus.clean.outcome import Extraction, Found
from llm.corpus.clean.page_type import page_type
from llm.corpus.clean.text_by_blocks import facts, text_by_blocks
from llm.errors import ExpectedError

# Resiliparse takes every <ul> fewer than three elements below <body> for global navigation.
_SHALLOW_LISTS = "body > ul, body > * > ul, body > * > * > ul"
_SHALLOW = 3
_BESIDE_PROSE = frozenset(("p", "h1", "h2", "h3", "h4", "h5", "h6", "pre", "dl", "blockquote"))
_CHROME = frozenset(("nav", "header", "footer", "aside"))
# Of a list's text in links, above which it is taken for navigation after all.
_MAX_LINKED = 0.5

Restore = Callable[[str], str]


class EngineError(ExpectedError, RuntimeError):
    """The extraction engine raised; the message names engine and cause."""


@dataclass(frozen=True)
class Extracted:
    """What an engine made of a page.

    Attributes:
        text: as the engine gave it; may be empty.
        engine: "blocks", "resiliparse" or "trafilatura".
        found: what the page says of itself, and what the scorer went by.
    """

    text: str
    engine: str
    found: Found


@functools.cache
def _deeper_than(depth: int) -> str:
    # A chain of child combinators: matched from the right, each element costs its own depth.
    return ">".join(["*"] * (depth + 1))


def _check_size(tree: Any, max_nodes: int, max_depth: int) -> None:
    nodes = len(tree.document.query_selector_all("*"))
    if nodes > max_nodes:
        raise TooManyNodesError(f"{nodes} elements; at most {max_nodes} are allowed")
    if tree.document.query_selector(_deeper_than(max_depth)) is not None:
        raise TooDeepError(f"elements are nested more than {max_depth} deep")


def _is_prose_list(element: Any, restore: Restore) -> bool:
    beside = (element.prev_element, element.next_element)
    if all(other is None or other.tag not in _BESIDE_PROSE for other in beside):
        return False
    above = element.parent
    while above is not None and above.tag != "body":
        if above.tag in _CHROME:
            return False
        above = above.parent
    length = len(restore(element.text).strip())
    links = element.query_selector_all("a")
    linked = sum(len(restore(link.text).strip()) for link in links)
    return length > 0 and linked <= _MAX_LINKED * length


def _keep_shallow_lists(tree: Any, restore: Restore) -> None:
    """Move lists of prose below the depth at which resiliparse takes them for navigation."""
    lists = list(tree.document.query_selector_all(_SHALLOW_LISTS))
    for element in lists:
        if not _is_prose_list(element, restore):
            continue
        parent = element.parent
        for _ in range(_SHALLOW):
            wrapper = tree.create_element("div")
            parent.insert_before(wrapper, element)
            wrapper.append_child(element)
            parent = wrapper


def _resiliparse(tree: Any, restore: Restore, comments: bool) -> str:
    from resiliparse.extract.html2text import extract_plain_text

    _keep_shallow_lists(tree, restore)
    try:
        text: str = extract_plain_text(
            tree,
            main_content=True,
            preserve_formatting=True,
            list_bullets=True,
            # Captions of images out of sight of the reader: token F1 .914 without, .898 with.
            alt_texts=False,
            links=False,
            form_fields=False,
            noscript=False,
            comments=comments,
        )
    except Exception as error:
        raise EngineError(f"resiliparse: {type(error).__name__}: {error}") from error
    return restore(text)


@functools.cache
def _load_trafilatura() -> Any:
    import trafilatura

    # It logs what it could not extract; here that is a row with a reason.
    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)
    return trafilatura


def _trafilatura(markup: str, comments: bool) -> str:
    trafilatura = _load_trafilatura()
    markup, restore = unprintable.guard(markup)
    try:
        # fast: without the fallback extractors, 1.6 times as many pages a second for equal F1.
        text: str | None = trafilatura.extract(markup, fast=True, include_comments=comments)
    except Exception as error:
        raise EngineError(f"trafilatura: {type(error).__name__}: {error}") from error
    return restore(text or "")


def extract(
    markup: str,
    url: str | None,
    how: Extraction,
    max_nodes: int,
    max_depth: int,
) -> Extracted:
    """Main text of a page, and what it says of itself.

    Lines follow the page's structure: a paragraph, heading, list item or table row has its own
    line, preformatted text keeps its lines and indentation.

    Args:
        markup: decoded HTML or XHTML.
        url: where it is from.
        max_nodes: elements the parsed page may have.
        max_depth: elements an element may be nested in, itself included.

    Raises:
        TooManyNodesError, TooDeepError: the page passes a limit.
        EngineError: the engine raised.
    """
    if how.engine == "auto":
        text, found = text_by_blocks(markup, url, how, max_nodes, max_depth)
        return Extracted(text, "blocks", found)
    text, engine = _by_others(markup, how, max_nodes, max_depth)
    page = parse(markup, max_nodes, max_depth)
    head = read_head(page)
    return Extracted(text, engine, facts(head, page_type(head, page, url)))


def _by_others(markup: str, how: Extraction, max_nodes: int, max_depth: int) -> tuple[str, str]:
    """Text, and whose it is, with any engine but our own."""
    from resiliparse.parse.html import HTMLParserException, HTMLTree

    guarded, restore = lone_nodes.guard(markup)
    try:
        tree: Any = HTMLTree.parse(guarded)
    except HTMLParserException as error:
        raise EngineError(f"resiliparse: {error}") from error
    _check_size(tree, max_nodes, max_depth)
    changed = open_figures(markup, tree)  # first: a formula tells a figure of text
    if has_formulas(markup):
        give_once(tree)
        changed = True
    if changed:
        # Only here: what trafilatura makes of a page hangs on how its markup is written.
        markup = restore(tree.document.html)
    if how.engine == "resiliparse":
        return _resiliparse(tree, restore, how.comments), "resiliparse"
    precise = _trafilatura(markup, how.comments)
    if how.engine == "trafilatura":
        return precise, "trafilatura"
    if how.engine != "both":
        raise ValueError(f"engine {how.engine!r}: use auto, resiliparse, trafilatura or both")
    full = _resiliparse(tree, restore, how.comments)
    if len(full) > how.longer * len(precise):
        return full, "resiliparse"
    return precise, "trafilatura"
