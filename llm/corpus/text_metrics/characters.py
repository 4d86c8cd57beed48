"""What a character is to the metrics, whichever way they are counted.

Letters, digits and white space are Python's (`str.isalnum`, `str.isspace`), which are Unicode's.
"""

from __future__ import annotations

import functools
import re
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from llm.corpus import stream_safe, words
from llm.kept_arrays import Arrays, kept_arrays

# Marks that open a list item by themselves, and those that do before a space.
BULLETS = ("•", "‣", "▪", "■", "●", "○", "◦", "▶", "►", "·")
DASHES = ("- ", "* ", "– ", "— ", "-\t", "*\t")
ELLIPSES = ("...", "…")
# Sentence ends of the larger scripts; quotes, because C4 accepts a line that closes one. Thai and
# Lao end a sentence with a blank, and have none.
TERMINAL_PUNCTUATION = (
    *(".", "!", "?", "…", '"', "”", "»", "’"),
    *("。", "！", "？", "｡", "．", "」", "』"),
    *("؟", "۔", "܀", "।", "॥", "෴", "།", "༎", "။", "។", "៕", "᠃", "꓿", "߹"),
    *("።", "፧", "፨", "։", "՜", "՞", "׃", "꘎", "᙮", "⳹", "⸼"),
)
# Around a word, these are no part of it.
EDGES = "\"'`.,;:!?()[]{}<>*_“”‘’«»…-–—¿¡„‚،؛؟۔।॥።፣፤«»"

SPACE, LETTER, UNSPACED, GOES_ON, TRAILS, TERMINAL, EDGE, ALPHANUMERIC = (1 << n for n in range(8))
# Beyond these no character is assigned but of private use, or is a letter or a mark.
_ASSIGNED = (range(0xD800), range(0xE000, 0x40000), range(0xE0000, 0xE0200))
_CASED = 0x20000
_LETTER = re.compile(r"[^\W\d_]")


def folded(word: str) -> str:
    """A word in lower case, each character for itself: a final sigma is a sigma."""
    return word.replace("İ", "i").lower().replace("ς", "σ")


def has_letter(word: str) -> bool:
    """Whether a letter of any script is in it; a number that is no decimal digit counts as one."""
    return word.isalpha() or _LETTER.search(word) is not None


def character_classes() -> NDArray[np.uint8]:
    """uint8 (0x110000,): of every code point, which of the classes above it is of."""
    return _tables()["classes"]


def folded_codes() -> NDArray[np.uint32]:
    """uint32 (0x20000,): the code point `folded` makes of each; no other has a lower case."""
    return _tables()["folded"]


@functools.cache
def _tables() -> Arrays:
    sources = [Path(file) for file in (__file__, words.__file__, stream_safe.__file__)]
    return kept_arrays(
        "characters", sources, (), lambda: {"classes": _classes(), "folded": _folded()}
    )


def _classes() -> NDArray[np.uint8]:
    text = "".join(map(chr, chain.from_iterable(_ASSIGNED)))
    codes = np.fromiter(chain.from_iterable(_ASSIGNED), dtype=np.int64, count=len(text))
    found = np.zeros(len(text), dtype=np.uint8)
    unspaced, goes_on, trails = words.piece_patterns()
    for bit, runs in (
        (SPACE, re.compile(r"\s+")),
        (LETTER, re.compile(r"[^\W\d_]+")),
        (ALPHANUMERIC, re.compile(r"[^\W_]+")),
        (UNSPACED, unspaced),
        (GOES_ON, goes_on),
        (TRAILS, trails),
        (TERMINAL, re.compile(f"[{re.escape(''.join(TERMINAL_PUNCTUATION))}]+")),
        (EDGE, re.compile(f"[{re.escape(EDGES)}]+")),
    ):
        for run in runs.finditer(text):
            found[run.start() : run.end()] |= bit
    classes = np.full(0x110000, TRAILS, dtype=np.uint8)
    classes[codes] = found
    return classes


def _folded() -> NDArray[np.uint32]:
    alone = (0 if 0xD800 <= code < 0xE000 else ord(folded(chr(code))) for code in range(_CASED))
    return np.fromiter(alone, dtype=np.uint32, count=_CASED)
