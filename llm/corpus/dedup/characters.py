"""What `signing.c` has to know of every character, out of Python's own tables, a page at a time.

A page is 256 characters. An entry (uint64) holds the code point of the lower case in its low 21
bits, what that is to `llm.corpus.words` in the bits above, and from bit 32 on the canonical
combining class. Texts meet some tens of the 4,352 pages; one takes a millisecond.
"""

from __future__ import annotations

import functools
import unicodedata

import numpy as np
import numpy.typing as npt

from llm.corpus.words import classes

PAGE = 256
PAGES = 0x110000 // PAGE
# As in signing.c; "hard": normalisation may change it, or its lower case hangs on its neighbours.
_BITS = {"spaced": 21, "unspaced": 22, "inside": 23, "mark": 24, "format": 25, "space": 26}
_HARD = 1 << 27
_CLASS_BIT = 32
# The one letter whose lower case is another at the end of a word (SpecialCasing.txt).
_SIGMA = "Σ"


@functools.cache
def _composing() -> frozenset[int]:
    """Characters that may become one with what stands before them."""
    jamo = [*range(0x1161, 0x1176), *range(0x11A8, 0x11C3)]
    # No letter beyond the second plane is composed of others.
    parts = (unicodedata.decomposition(chr(code)).split() for code in range(0x20000))
    return frozenset([*jamo, *(int(pair[1], 16) for pair in parts if len(pair) == 2)])


def page(number: int) -> npt.NDArray[np.uint64]:
    """Entries of the characters from `PAGE` × `number` on, `(PAGE,)`."""
    first = number * PAGE
    characters = [chr(code) for code in range(first, first + PAGE)]
    lower = [char.lower() for char in characters]
    single = [low if len(low) == 1 else char for char, low in zip(characters, lower, strict=True)]
    entries = [ord(low) for low in single]
    text = "".join(single)
    for name, expression in classes().items():
        for match in expression.finditer(text):
            entries[match.start()] |= 1 << _BITS[name]
    for place, (char, low) in enumerate(zip(characters, lower, strict=True)):
        if single[place].isspace():
            entries[place] |= 1 << _BITS["space"]
        entries[place] |= unicodedata.combining(char) << _CLASS_BIT
        if (
            len(low) > 1
            or char == _SIGMA
            or first + place in _composing()
            or not unicodedata.is_normalized("NFC", char)
        ):
            entries[place] |= _HARD
    return np.array(entries, dtype=np.uint64)
