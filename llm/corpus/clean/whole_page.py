"""The rule for pages that are no one text, a product, a list, a reference: all but clutter."""

from __future__ import annotations

import re
from itertools import accumulate

from llm.corpus.clean.block_scores import ALWAYS, BODY, HIDDEN, MAIN, TEXT_ELEMENTS, BlockScores
from llm.corpus.clean.blocks import Block
from llm.corpus.clean.choice import Choice, choice

_FRAME = frozenset(("nav", "header", "footer", "aside", "form", "dialog", "button", "select"))
# Share of a page that <main> must hold to be taken at its word.
_MAIN_SHARE = 0.3
# The same for what is named as its text.
_BODY_SHARE = 0.8
# Characters fewer than a label's, and those of a line that says whose a page is.
_LABEL, _LINE = 30, 200
_OWNER = re.compile(r"©|\(c\) ?(?:19|20)\d\d|\bcopyright\b|\ball rights reserved\b", re.IGNORECASE)
# The line stands in the last part of the page's blocks.
_FOOT = 0.7
# Short links in a row that make a menu.
_MENU = 5


def whole_page(scores: BlockScores, clutter: int = ALWAYS, menus: bool = False) -> Choice:
    """All but clutter.

    Args:
        clutter: roles of it.
        menus: keep runs of short links that are not marked as navigation, also where no
            element says that it is the main part.
    """
    page, found = scores.page, scores.found
    if not page.tags:
        return choice(scores, [], [], "page")
    place = _main_part(scores)
    keep = [False] * len(found.blocks)
    for number in range(found.first[place], found.last[place]):
        keep[number] = not scores.roles[number] & clutter and number not in scores.repeated
    if not menus and not found.roles[place] & MAIN:
        _drop_menus(scores, keep)
        _drop_frame(scores, keep)
    return choice(scores, keep, [place], "page")


def _main_part(scores: BlockScores) -> int:
    """The element that says it is the main part, or the innermost that has nearly all."""
    page, found = scores.page, scores.found
    sizes = [
        0 if r & ALWAYS else len(b.text) for b, r in zip(found.blocks, scores.roles, strict=True)
    ]
    sums = list(accumulate(sizes, initial=0))
    whole = sums[-1]
    for part, share in ((MAIN, _MAIN_SHARE), (BODY, _BODY_SHARE)):
        named = [e for e, roles in enumerate(found.roles) if roles & part]
        # Of those that hold as much, the innermost.
        main = max(named, key=lambda e: (scores.within(sums, e), e), default=-1)
        if main >= 0 and scores.within(sums, main) >= share * whole:
            return main
    place = 0
    while True:
        inner = max(page.children(place), key=lambda e: scores.within(sums, e), default=-1)
        if (
            inner < 0
            or page.tags[inner] in TEXT_ELEMENTS
            or scores.within(sums, inner) < 0.99 * scores.within(sums, place)
        ):
            return place
        place = inner


def _drop_menus(scores: BlockScores, keep: list[bool]) -> None:
    """Runs of short links with nothing between them."""
    run: list[int] = []
    for number, block in enumerate([*scores.found.blocks, None]):
        if block is not None and _is_link(block) and len(block.text) < _LABEL:
            run.append(number)
            continue
        if len(run) >= _MENU:
            for other in run:
                keep[other] = False
        run = []


def _drop_frame(scores: BlockScores, keep: list[bool]) -> None:
    """What no element marks as head and foot of the page: links and labels before its heading,
    and around the line that says whose it is, which ends it."""
    tags, blocks = scores.page.tags, scores.found.blocks
    kept = [number for number, is_kept in enumerate(keep) if is_kept]
    headings = [at for at, number in enumerate(kept) if tags[blocks[number].element] == "h1"]
    if headings:
        for number in kept[: headings[0]]:
            if _is_link(blocks[number]) or len(blocks[number].text) < _LABEL:
                keep[number] = False
    ends = [at for at, number in enumerate(kept) if _OWNER.search(blocks[number].text[:_LINE])]
    if not ends or ends[-1] < _FOOT * len(kept):
        return
    end = ends[-1]
    for number in kept[end:]:
        keep[number] = False
    while end > 0:
        end -= 1
        block = blocks[kept[end]]
        label = len(block.text) < _LABEL and not any(map(str.isdigit, block.text))
        if not label and not _is_link(block) and not _OWNER.search(block.text[:_LINE]):
            break
        keep[kept[end]] = False


def _is_link(block: Block) -> bool:
    return block.linked >= 0.9 * len(block.text)


def everything(scores: BlockScores) -> Choice:
    """Whatever is shown and not in an element that is the frame of a page by its tag."""
    page, found = scores.page, scores.found
    keep = [True] * len(found.blocks)
    for element, tag in enumerate(page.tags):
        if tag in _FRAME or (found.roles[element] & HIDDEN and tag not in ("html", "body")):
            for number in range(found.first[element], found.last[element]):
                keep[number] = False
    if not any(keep):
        keep = [True] * len(found.blocks)
    return choice(scores, keep, [0] if page.tags else [], "all")
