"""Main text of a page by our own scorer of blocks, from markup to text."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace

from llm.corpus.clean.block_scores import BlockScores
from llm.corpus.clean.blocks import find_blocks
from llm.corpus.clean.content import LITTLE, LOST, choose_content
from llm.corpus.clean.head import Head, read_head
from llm.corpus.clean.markup_events import MarkupEvents, parse
from llm.corpus.clean.outcome import Extraction, Found, Said
from llm.corpus.clean.page_type import DOCUMENTATION, PageType, page_type
from llm.corpus.clean.rendering import Renderer


def text_by_blocks(
    markup: str, url: str | None, how: Extraction, max_nodes: int, max_depth: int
) -> tuple[str, Found]:
    """The text, its lines without white space at their ends, and what it was found by.

    Args and errors: `llm.corpus.clean.main_text.extract`.
    """
    with _collector_paused():
        page = parse(markup, max_nodes, max_depth)
        head = read_head(page)
        kind = page_type(head, page, url)
        markdown = how.format == "markdown"
        blocks = find_blocks(page, markdown, by_id=kind.kind != DOCUMENTATION)
        choice = choose_content(BlockScores(page, blocks), kind, how.comments)
        found = facts(head, kind)
        described = head.described or ""
        if choice.length < LITTLE and len(described) > LOST * choice.length:
            # The page is made by scripts when a reader opens it.
            return described, replace(found, rule="json-ld")
        shown = sum(len(block.text) for block in blocks.blocks)
        return Renderer(page, blocks, markdown).render(choice.keep), replace(
            found,
            rule=choice.rule,
            place=_selector(page, choice.places[0]) if choice.places else None,
            kept_share=round(choice.length / shown, 4) if shown else None,
        )


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Python's collector of cycles looks at every element of a page several times while the page
    is worked on, and finds none: a fifth of the time."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def facts(head: Head, kind: PageType) -> Found:
    """What a page says of itself, as columns of its document."""
    said = {one.name: getattr(head, one.name) for one in fields(Said)}
    return Found(**said, page_type=kind.kind, page_type_sign=kind.sign or None)


def _selector(page: MarkupEvents, element: int) -> str:
    attributes = page.attributes[element]
    names = "".join(f".{name}" for name in (attributes.get("class") or "").split()[:3])
    identity = "".join((attributes.get("id") or "").split())
    return f"{page.tags[element]}{f'#{identity}' if identity else ''}{names}"[:200]
