"""Text that Unicode normalisation can handle in linear time.

Normalisation sorts each run of combining marks, which takes time quadratic in its length: 160 kB
of alternating marks keep CPython busy for seconds, and nothing can interrupt it. UAX 15, section
13, "Stream-Safe Text Format", has the remedy: after 30 marks in a row a COMBINING GRAPHEME JOINER
begins a new run. No text that anyone reads has so many.
"""

from __future__ import annotations

import functools
import re
import unicodedata

MAX_MARKS = 30
_JOINER = "\u034f"
# All but Latin letters, punctuation and symbols: no combining mark and no joiner is outside.
_OTHER = re.compile("[^\x00-\u02ff\u2000-\u200b\u200e-\u20cf\u2100-\u2cee]")


def is_simple(text: str) -> bool:
    """Whether the text is Latin letters, digits, punctuation and symbols: a fast test."""
    return text.isascii() or not _OTHER.search(text)


def _combining(codes: range) -> str:
    return "".join(f"\\U{code:08x}" for code in codes if unicodedata.combining(chr(code)))


@functools.cache
def _suspect_characters() -> re.Pattern[str]:
    """Enough characters in a row of which those beyond the basic plane need not be marks."""
    marks = _combining(range(0x300, 0x10000)) + "\U00010000-\U0001ffff"
    return re.compile(f"[{marks}]{{{MAX_MARKS + 1}}}")


@functools.cache
def _too_many() -> re.Pattern[str]:
    marks = _combining(range(0x300, 0x20000))  # none has a combining class beyond
    return re.compile(f"[{marks}]{{{MAX_MARKS}}}(?=[{marks}])")


def stream_safe(text: str) -> str:
    """The text with at most 30 combining marks in a row; the same object where it had no more."""
    if is_simple(text) or not _suspect_characters().search(text):
        return text
    return _too_many().sub(lambda match: match[0] + _JOINER, text)
