"""The merges of a BPE vocabulary by `merging.c`: those that `tokenizers` learns, in less time.

Most of what `tokenizers` does in training is to split every text into words. Here a text is first
cut behind runs of other characters, where any split of `bpe.py` has an end whatever comes before or
behind; of pieces that occur again and again each is split once, those of ASCII by Python. Then C
merges pairs.
"""

from __future__ import annotations

import ctypes
import re
from collections import Counter
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from llm.c_library import compiled
from llm.tokens.token_bytes import byte_alphabet

if TYPE_CHECKING:
    from tokenizers import pre_tokenizers

_SOURCE = Path(__file__).with_name("merging.c")
# What the expressions of the splits take for white space.
_WHITE = "\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
# Spaces before, and the ends of lines behind with the spaces between them, are split together with
# what they surround.
_PIECE = re.compile(f"[{_WHITE}]*[^{_WHITE}]+(?:[{_WHITE}]*[\r\n])?|[{_WHITE}]+")
_NO_MEMORY, _NO_ROOM = -1, -2

Words = Counter[str]


def count_words(
    texts: Iterable[str], expression: str, split: pre_tokenizers.PreTokenizer, longest_word: int
) -> Words:
    """How often each word occurs in texts.

    Args:
        expression, split: of `bpe.py`, the second made of the first.
        longest_word: words of more characters are cut into pieces of that many.
    """
    in_ascii = ascii_expression(expression)
    pieces: Counter[str] = Counter()
    for text in texts:
        pieces.update(_PIECE.findall(text))
    words: Words = Counter()
    for piece, count in pieces.items():
        if piece.isascii():
            found = in_ascii.findall(piece)
        else:
            found = [word for word, _ in split.pre_tokenize_str(piece)]
        for word in found:
            if len(word) <= longest_word:
                words[word] += count
                continue
            for start in range(0, len(word), longest_word):
                words[word[start : start + longest_word]] += count
    return words


def ascii_expression(expression: str) -> re.Pattern[str]:
    """A split's expression for Python, which knows no classes of Unicode: right for ASCII alone."""
    for bare in (r"\p{L}", r"\p{N}"):
        expression = re.sub(
            rf"(?<=[?|]){re.escape(bare)}", lambda found: f"[{found[0]}]", expression
        )
    return re.compile(expression.replace(r"\p{L}", "A-Za-z").replace(r"\p{N}", "0-9"), re.ASCII)


@cache
def library() -> ctypes.CDLL | None:
    """`merging.c`, compiled; none where nothing can be."""
    found = compiled(_SOURCE, ["-O2"], "a vocabulary takes some times longer to learn")
    if found is not None:
        found.learn_merges.restype = ctypes.c_int64
    return found


def learn_merges(
    library: ctypes.CDLL,
    words: Words,
    specials: int,
    vocabulary: int,
    min_frequency: int,
    longest_token: int,
) -> list[tuple[int, int]]:
    """Pairs of ids, in the order in which they are merged.

    Ids are `specials`, then the bytes in order of the characters that stand for them, then what the
    merges make; two that make the same token share its id.

    Raises:
        MemoryError: there is too little.
    """
    ordered = sorted(words)
    raw = [word.encode() for word in ordered]
    starts = np.zeros(len(raw) + 1, np.int64)
    np.cumsum([len(word) for word in raw], out=starts[1:])
    counts = np.array([words[word] for word in ordered], np.int64)
    ids = np.array(byte_ids(specials), np.int32)
    room = 2 * vocabulary
    merges = np.empty((room, 2), np.uint32)
    joined = np.frombuffer(b"".join(raw) or b"\0", np.uint8)
    made: int = library.learn_merges(
        _at(joined),
        _at(starts),
        _at(counts),
        ctypes.c_int64(len(raw)),
        _at(ids),
        ctypes.c_int32(specials + 256),
        ctypes.c_int32(vocabulary),
        ctypes.c_int64(min_frequency),
        ctypes.c_int32(longest_token),
        _at(merges),
        ctypes.c_int64(room),
    )
    if made < 0:
        reason = "memory" if made == _NO_MEMORY else "room for merges"
        raise MemoryError(f"learning merges of {len(raw):,} words: too little {reason}")
    pairs: list[tuple[int, int]] = [(left, right) for left, right in merges[:made].tolist()]
    return pairs


def byte_ids(specials: int) -> list[int]:
    """The id of each byte."""
    alphabet = byte_alphabet()
    found = [0] * 256
    for place, character in enumerate(sorted(alphabet)):
        found[alphabet[character]] = specials + place
    return found


def _at(array: NDArray[np.generic]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)
