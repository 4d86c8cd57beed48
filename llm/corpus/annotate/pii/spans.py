"""Where personal data stands in a text."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class PiiMatch:
    """Characters [start, end) of a text, which are `content`, of one of the `KINDS`."""

    start: int
    end: int
    kind: str
    content: str


def at(text: str, start: int, end: int, kind: str) -> PiiMatch:
    """The match there."""
    return PiiMatch(start, end, kind, text[start:end])
