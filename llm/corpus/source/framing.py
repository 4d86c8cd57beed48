"""What a web archive is made of: heads, blocks, and what cannot be read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from llm.corpus.source.window import Window


class Head(Protocol):
    """The header of a record."""

    @property
    def size(self) -> int:
        """Bytes up to its block."""

    @property
    def length(self) -> int | None:
        """Bytes of its block, as it says; `None` where it says nothing one can believe."""


H = TypeVar("H", bound=Head)
_Read = TypeVar("_Read", bound=Head, covariant=True)


class Format(Protocol[_Read]):
    """What the records of a kind of archive look like.

    Attributes:
        begins: matches where a record begins, at a place where one is due.
        start: finds the next place where one begins, among bytes that may be anything.
        separator: matches what follows a block.
        ending: finds it at the end of the bytes between two blocks.
    """

    begins: re.Pattern[bytes]
    start: re.Pattern[bytes]
    separator: re.Pattern[bytes]
    ending: re.Pattern[bytes]

    def head(self, window: Window) -> _Read | None:
        """The header the window begins with; `None` where there is none, or not all of it."""

    def is_cut(self, window: Window) -> bool:
        """Whether the window, in which there is no `head`, begins with a part of one: the file,
        or what can be read of it, ends there, or the next record begins."""


@dataclass(frozen=True, slots=True)
class Frame(Generic[H]):
    """A record.

    Attributes:
        offset: byte of the file one can read it from; `None` inside a compressed member.
        where: its place, for messages.
        block: `None` where it is larger than the limit, or `fault` says that it is not whole.
        size: bytes of the block.
        reason, fault: why it cannot be read, as one word and in full; empty where it can.
        mended: what its header had wrong.
    """

    head: H
    offset: int | None
    where: str
    block: bytes | None
    size: int
    reason: str = ""
    fault: str = ""
    mended: str | None = None
