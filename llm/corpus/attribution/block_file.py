"""The files of an index: texts end to end, and where in them each suffix starts, in order.

A block is up to 4 MiB of whole documents. `<name>.text` holds their UTF-8, each document ended by
a byte that UTF-8 never has; `<name>.suffixes` a header and a pointer for every character, sorted by
what stands from there on, in three bytes (four where one document alone is longer than 16 MiB);
`<name>.starts` where each document starts. Which bytes a file has depends on the texts alone.

That is four bytes for one of ASCII, and less where characters have several: infini-gram (Liu et al.
2024) stores tokens, which is smaller, but does not find a text that another context cut otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from llm.errors import ExpectedError

TEXT, SUFFIXES, STARTS = ".text", ".suffixes", ".starts"
# No byte of UTF-8, and greater than all of them: what a text ends with sorts last.
END = 0xFF
MAGIC = b"ingotSA1"
HEADER = np.dtype([("magic", "S8"), ("count", "<i8"), ("width", "<i8"), ("first", "<i8")])
# What a processor keeps near it is sorted almost twice as fast as 16 MiB are.
BLOCK_BYTES = 1 << 22
_THREE_BYTES = 1 << 24
_CONTINUES = 0x80  # the two highest bits of a byte that goes on with a character
_HIGHEST_BITS = 0xC0


class BadBlockError(ExpectedError, ValueError):
    """A file is no block of an index, or a text cannot be in one; names it."""


@dataclass(frozen=True)
class BlockFiles:
    """Three files of one block.

    Attributes:
        stem: of their paths, to which the endings are appended.
        documents, size: how many there are, and bytes of their texts.
    """

    stem: Path
    documents: int
    size: int

    def paths(self) -> list[Path]:
        return [Path(f"{self.stem}{ending}") for ending in (TEXT, SUFFIXES, STARTS)]


def write_blocks(
    texts: Iterable[bytes], stem: Path, block_bytes: int = BLOCK_BYTES
) -> Iterator[BlockFiles]:
    """Write texts as blocks `<stem>.0`, `<stem>.1`, …; yields each when it is written.

    Args:
        texts: UTF-8 of each document, in the order in which `document` counts them.

    Raises:
        BadBlockError: a text has a byte that UTF-8 has not.
    """
    held: list[bytes] = []
    size = first = number = 0
    for text in texts:
        if END in text:
            raise BadBlockError(
                f"{stem}: document {first + len(held)} is no UTF-8; decode it first"
            )
        if held and size + len(text) + 1 > block_bytes:
            yield _write(held, Path(f"{stem}.{number}"), first)
            first, number = first + len(held), number + 1
            held, size = [], 0
        held.append(text)
        size += len(text) + 1
    if held:
        yield _write(held, Path(f"{stem}.{number}"), first)


def _write(texts: list[bytes], stem: Path, first: int) -> BlockFiles:
    end = bytes([END])
    joined = np.frombuffer(bytearray(end.join(texts) + end), np.uint8)
    lengths = np.array([len(text) + 1 for text in texts], np.int64)
    pointers = suffixes(joined)
    width = 3 if len(joined) <= _THREE_BYTES else 4
    header = np.array([(MAGIC, len(pointers), width, first)], HEADER)
    stem.parent.mkdir(parents=True, exist_ok=True)
    joined.tofile(f"{stem}{TEXT}")
    (np.cumsum(lengths) - lengths).astype("<i8").tofile(f"{stem}{STARTS}")
    with Path(f"{stem}{SUFFIXES}").open("wb") as stream:
        header.tofile(stream)
        narrow = pointers.astype("<u4").view(np.uint8).reshape(-1, 4)[:, :width]
        np.ascontiguousarray(narrow).tofile(stream)
    return BlockFiles(stem, len(texts), len(joined) - len(texts))


def suffixes(text: NDArray[np.uint8]) -> NDArray[np.int32]:
    """int32: where each character of the text starts, sorted by what stands from there on.

    Args:
        text: uint8 (bytes,), writable: UTF-8 with documents ended by `END`.
    """
    # The import takes 0.3 s, and those who only look up do without.
    from pydivsufsort import divsufsort

    order: NDArray[np.int32] = divsufsort(text)
    order = order[: len(order) - int(np.count_nonzero(text == END))]
    goes_on = (text & _HIGHEST_BITS) == _CONTINUES
    return order[~goes_on[order]] if goes_on.any() else order
