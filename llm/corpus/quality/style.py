"""How a text is written: the kinds of its characters, and how often its words come back."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Sequence
from functools import cache
from itertools import islice

import numpy as np
from numpy.typing import NDArray

# Commas and semicolons join clauses, which lists and menus do not have; exclamation marks sell;
# bars and bullets stand between the entries of a menu.
_MARKS = {"clause": ",;،؛、，；", "exclamation": "!?！？؟", "separator": ":/|•·»›"}
_KINDS = ("upper_case", "digit", *_MARKS)
STYLE = (*(f"{kind}_fraction" for kind in _KINDS), "distinct_word_fraction")
WORDS = 200  # of the beginning: the longer a text, the more words come back
_WORD = re.compile(r"\w+")
_ENCODING = f"utf-32-{'le' if sys.byteorder == 'little' else 'be'}"
_TABLED = 1 << 16  # code points; what lies beyond has no such kinds, but for a few alphabets
_OTHER = len(_KINDS)


def style(texts: Sequence[str]) -> NDArray[np.float64]:
    """float64 (texts, len(STYLE)): shares of all characters by kind, and the share of different
    words among the first `WORDS`, case aside. 0 for a text without characters, 1 without words.
    """
    found = np.zeros((len(texts), len(STYLE)))
    for row, text in zip(found, texts, strict=True):
        points = np.frombuffer(text.encode(_ENCODING, "surrogatepass"), dtype=np.uint32)
        kinds = _kinds()[np.minimum(points, _TABLED - 1)]
        counts = np.bincount(kinds, minlength=_OTHER + 1)[:_OTHER]
        row[:_OTHER] = counts / max(len(points), 1)
        words = [match[0].lower() for match in islice(_WORD.finditer(text), WORDS)]
        row[_OTHER] = len(set(words)) / len(words) if words else 1.0
    return found


@cache
def _kinds() -> NDArray[np.uint8]:
    """uint8 (code points,): of each its place in `_KINDS`, else `_OTHER`."""
    marks = {mark: kind for kind, each in _MARKS.items() for mark in each}
    categories = {"Lu": "upper_case", "Lt": "upper_case", "Nd": "digit"}
    table = np.full(_TABLED, _OTHER, dtype=np.uint8)
    for point in range(_TABLED - 1):
        kind = marks.get(chr(point)) or categories.get(unicodedata.category(chr(point)))
        if kind:
            table[point] = _KINDS.index(kind)
    return table
