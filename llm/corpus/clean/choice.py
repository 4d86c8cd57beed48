"""What is chosen of a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llm.corpus.clean.block_scores import BlockScores


@dataclass(frozen=True)
class Choice:
    """What was chosen of a page, and by what.

    Attributes:
        keep: for each block, whether it is content.
        places: the elements the content is in.
        rule: "article", "thread", "page" or "all".
        length: characters kept.
    """

    keep: Sequence[bool]
    places: tuple[int, ...]
    rule: str
    length: int


def choice(scores: BlockScores, keep: Sequence[bool], places: Sequence[int], rule: str) -> Choice:
    """A choice with its length."""
    kept = sum(len(b.text) for b, k in zip(scores.found.blocks, keep, strict=True) if k)
    return Choice(keep, tuple(places), rule, kept)
