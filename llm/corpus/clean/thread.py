"""The rule for forums: contributions side by side, less the names, dates and buttons at each."""

from __future__ import annotations

from llm.corpus.clean.block_scores import ALWAYS, BODY, COMMENTS, POST, TOP, BlockScores, prose
from llm.corpus.clean.choice import Choice, choice
from llm.corpus.clean.roles import Role

_BESIDE_POST = ALWAYS & ~COMMENTS | int(Role.BYLINE)


def thread(scores: BlockScores) -> Choice | None:
    """Contributions side by side; None where none are named as such.

    Of what stands in one, its text is what is in the innermost element that is named as a
    contribution or as text, and what is prose."""
    page, found = scores.page, scores.found
    posts = [
        e
        for e, roles in enumerate(found.roles)
        if roles & (POST | BODY) and found.first[e] < found.last[e] and page.tags[e] not in TOP
    ]
    count = len(found.blocks)
    within, inner = [False] * count, [False] * count
    outermost: list[int] = []
    for e, following in zip(posts, [*posts[1:], len(page.tags)], strict=True):
        blocks = range(found.first[e], found.last[e])
        if following >= page.after[e]:
            for number in blocks:
                inner[number] = True
        if found.roles[e] & POST and (not outermost or e >= page.after[outermost[-1]]):
            outermost.append(e)
            for number in blocks:
                within[number] = True
    keep = [
        w and not roles & _BESIDE_POST and (i or prose(block) > 0)
        for block, w, i, roles in zip(found.blocks, within, inner, scores.roles, strict=True)
    ]
    if not any(keep):
        return None
    first = keep.index(True)
    for number in range(first):
        block = found.blocks[number]
        if page.tags[block.element] == "h1" and not scores.roles[number] & _BESIDE_POST:
            keep[number] = True
    return choice(scores, keep, outermost, "thread")
