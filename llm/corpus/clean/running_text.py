"""The rule for articles: running text in one place.

From the page inwards, the element that holds most of the weight; what it calls its own text
(`articleBody`, `entry-content`) goes before. In there, all but clutter and links that stand alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from llm.corpus.clean.block_scores import (
    BESIDE_TEXT,
    BODY,
    TEXT_ELEMENTS,
    TOP,
    BlockScores,
    prose,
)
from llm.corpus.clean.blocks import HEADINGS
from llm.corpus.clean.choice import Choice, choice
from llm.corpus.clean.roles import role_of_name

# Links alone in one of these are text, where they are amidst it.
_LINKED_TEXT = frozenset(("li", *HEADINGS))
_CELLS = frozenset(("td", "th"))
_WIDEST = 50  # blocks of a row
# Share of the weight an inner element must hold to stand for the outer one.
_INWARD = 0.75
# The same for one that is named as the text of the page.
_NAMED = 0.5


def running_text(scores: BlockScores) -> Choice:
    """The running text of a page."""
    page, found = scores.page, scores.found
    places = _places(scores)
    keep = [False] * len(found.blocks)
    for place in places:
        for number in range(found.first[place], found.last[place]):
            block = found.blocks[number]
            keep[number] = (
                not scores.roles[number] & BESIDE_TEXT
                and number not in scores.repeated
                and (
                    block.linked * 2 <= len(block.text)
                    or prose(block) > 0
                    or (page.tags[block.element] in _CELLS and _is_of_text(scores, number))
                )
            )
    for place in places:
        for number in range(found.first[place] + 1, found.last[place] - 1):
            block = found.blocks[number]
            if (
                block.linked * 2 > len(block.text)
                and keep[number - 1]
                and keep[number + 1]
                and page.tags[block.element] in _LINKED_TEXT
                and not scores.roles[number] & BESIDE_TEXT
            ):
                keep[number] = True
    _drop_tail(scores, keep)
    return choice(scores, keep, places, "article")


def _is_of_text(scores: BlockScores, number: int) -> bool:
    """Whether a cell that is a link stands in a row that is none."""
    page, blocks = scores.page, scores.found.blocks
    row = page.parents[blocks[number].element]
    first, last = scores.found.first[row], scores.found.last[row]
    if last - first > _WIDEST:
        return False
    linked = sum(block.linked for block in blocks[first:last])
    return linked * 2 <= sum(len(block.text) for block in blocks[first:last])


def _drop_tail(scores: BlockScores, keep: list[bool]) -> None:
    """Headings under which nothing is left."""
    tags = scores.page.tags
    bare = True
    for number in range(len(keep) - 1, -1, -1):
        if not keep[number]:
            continue
        heading = tags[scores.found.blocks[number].element] in HEADINGS
        if heading and bare:
            keep[number] = False
        else:
            bare = False


def _places(scores: BlockScores) -> list[int]:
    page, found, clean = scores.page, scores.found, scores.weights
    if not page.tags:
        return []
    place, named_place = 0, -1
    while True:
        weight = scores.within(clean, place)
        if found.roles[place] & BODY and page.tags[place] not in TOP:
            named_place = place
        if scores.direct.get(place, 0.0) > 0.1 * weight:
            break
        inner = max(page.children(place), key=lambda e: scores.within(clean, e), default=-1)
        if (
            inner < 0
            or page.tags[inner] in TEXT_ELEMENTS
            or scores.within(clean, inner) < _INWARD * weight
            or not weight
            or _has_equals(scores, place, inner)
        ):
            break
        place = inner
    if named_place >= 0:
        place = named_place
    named = [
        e
        for e in range(place + 1, page.after[place])
        if (found.roles[e] & BODY or page.tags[e] == "article") and scores.within(clean, e)
    ]
    best, weight = place, 0.0
    for e in named:
        held = scores.within(clean, e)
        if held >= _NAMED * scores.within(clean, place) and held >= 0.9 * weight:
            best, weight = e, max(held, weight)
    if best != place:
        return _with_twins(scores, best, named)
    weight = _NAMED * scores.within(clean, place)
    for members in _by_name(scores, named).values():
        if len(members) > 1 and sum(scores.within(clean, e) for e in members) >= weight:
            return members
    return [place]


def _has_equals(scores: BlockScores, place: int, inner: int) -> bool:
    """Whether an element is one of several of its kind that hold text: a section among others."""
    page, weights = scores.page, scores.weights
    kind = page.tags[inner], page.attributes[inner].get("class")
    return any(
        other != inner
        and page.tags[other] == kind[0]
        and page.attributes[other].get("class") == kind[1]
        and scores.within(weights, other) > 0
        for other in page.children(place)
    )


def _with_twins(scores: BlockScores, element: int, named: Sequence[int]) -> list[int]:
    """An element and those beside it that share a name of it: a text in several pieces."""
    for members in _by_name(scores, named).values():
        if element in members:
            return members
    return [element]


def _by_name(scores: BlockScores, named: Sequence[int]) -> dict[str, list[int]]:
    """Elements under each name of a text, none within another."""
    page = scores.page
    found: dict[str, list[int]] = {}
    for e in named:
        if page.tags[e] == "article":
            continue
        for name in _text_names(scores, e):
            members = found.setdefault(name, [])
            if not members or e >= page.after[members[-1]]:
                members.append(e)
    return found


def _text_names(scores: BlockScores, element: int) -> list[str]:
    names = (scores.page.attributes[element].get("class") or "").split()
    return [name for name in names if role_of_name(name) & BODY]
