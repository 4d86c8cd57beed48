"""Which blocks of a page are its content: by the rule for its kind.

Where all but nothing comes out of one rule and much of another, it is the other's.
"""

from __future__ import annotations

from llm.corpus.clean.block_scores import ALWAYS, BESIDE_TEXT, BODY, COMMENTS, BlockScores
from llm.corpus.clean.choice import Choice, choice
from llm.corpus.clean.page_type import (
    ARTICLE,
    COLLECTION,
    DOCUMENTATION,
    FORUM,
    LISTING,
    PRODUCT,
    SERVICE,
    PageType,
)
from llm.corpus.clean.roles import Role
from llm.corpus.clean.running_text import running_text
from llm.corpus.clean.thread import thread
from llm.corpus.clean.whole_page import everything, whole_page

_WHOLE_PAGE = frozenset((COLLECTION, LISTING, SERVICE))
# Of a page of unknown kind all but clutter is taken where that is so many times its running text:
# where the text stands in what is named as the text of the page, and elsewhere.
_MUCH_MORE, _MORE = 2.0, 1.2
# Characters of an article that is short, and how much more the whole page must then be.
_SHORT, _FAR_MORE = 1_000, 6
# Fewer characters than a short paragraph has; and how much more another rule must then find.
LITTLE, LOST = 250, 4


def choose_content(scores: BlockScores, kind: PageType, comments: bool) -> Choice:
    """By the rule that fits the kind of page, or by one that finds much more.

    Args:
        kind: of the page.
        comments: keep what readers wrote below an article or about a product.
    """
    if kind.kind == FORUM:
        posts, whole = thread(scores), whole_page(scores)
        # Names of contributions may stand where no thread is.
        if posts and posts.length * LOST >= whole.length:
            chosen = posts
        else:
            chosen = max(running_text(scores), whole, key=lambda c: c.length)
    elif kind.kind == PRODUCT:
        chosen = whole_page(scores, ALWAYS | int(Role.TEASER))
    elif kind.kind == DOCUMENTATION:
        chosen = whole_page(scores, menus=True)
    elif kind.kind in _WHOLE_PAGE:
        chosen = whole_page(scores)
    else:
        chosen = _text_or_page(scores, kind)
    for rule in (whole_page, everything):
        if chosen.length >= LITTLE:
            break
        other = rule(scores)
        if other.length > LOST * chosen.length:
            chosen = other
    if comments:
        chosen = _with_comments(scores, chosen)
    return chosen


def _text_or_page(scores: BlockScores, kind: PageType) -> Choice:
    text = running_text(scores)
    if kind.kind == ARTICLE and text.length >= _SHORT:
        return text
    whole = whole_page(scores)
    if kind.kind == ARTICLE:
        # What calls itself an article may be a table of results or a list.
        return whole if whole.length > _FAR_MORE * text.length else text
    named = any(
        scores.found.roles[place] & BODY or scores.page.tags[place] == "article"
        for place in text.places
    )
    return whole if whole.length > (_MUCH_MORE if named else _MORE) * text.length else text


def _with_comments(scores: BlockScores, chosen: Choice) -> Choice:
    besides = (BESIDE_TEXT & ~COMMENTS) | int(Role.BYLINE)
    keep = [
        kept or bool(roles & COMMENTS and not roles & besides)
        for kept, roles in zip(chosen.keep, scores.roles, strict=True)
    ]
    return choice(scores, keep, chosen.places, chosen.rule)
