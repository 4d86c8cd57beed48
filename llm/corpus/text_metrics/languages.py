"""What is known of languages by their codes: stop words, and how long their words are.

The table beside this file says where it is from.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from llm.corpus.text_metrics.text_counts import NO_LIST, StopWords

_TABLE = Path(__file__).with_suffix(".tsv")
_UNKNOWN = "-"
# Thai, Lao and kin end a sentence with a blank.
_WITHOUT_FULL_STOPS = frozenset({"th", "lo", "nod", "tts", "sou"})


class _Language(NamedTuple):
    three_letters: str
    word_length: float | None
    inside: bool
    stop_words: tuple[str, ...]


@cache
def _languages() -> dict[str, _Language]:
    found = {}
    lines = _TABLE.read_text(encoding="utf-8").rstrip("\n").split("\n")
    head, *rows = [line for line in lines if not line.startswith("#")]
    assert head.split("\t") == ["language", "iso639_3", "word_length", "where", "stop_words"], (
        _TABLE
    )
    for row in rows:
        code, three, length, where, words = row.split("\t")
        known = None if length == _UNKNOWN else float(length)
        found[code] = _Language(three, known, where == "inside", tuple(words.split()))
    return found


@cache
def stop_words() -> StopWords:
    """The lists of all languages that have one, in the order of their codes."""
    known = [language for language in _languages().values() if language.stop_words]
    return StopWords(tuple(k.stop_words for k in known), tuple(k.inside for k in known))


@cache
def _places() -> dict[str, int]:
    known = [code for code, language in _languages().items() if language.stop_words]
    return {code: place for place, code in enumerate(known)}


@cache
def _short_codes() -> dict[str, str]:
    return {language.three_letters: code for code, language in _languages().items()}


def short_code(code: str) -> str:
    """The code of ISO 639-1 for one of ISO 639-3, where it is known; else the code itself."""
    return _short_codes().get(code, code)


def lists_of(codes: Sequence[str | None]) -> list[int]:
    """Which of the lists of stop words is that of each language; `NO_LIST` where there is none."""
    places = _places()
    return [places.get(code, NO_LIST) if code else NO_LIST for code in codes]


def word_lengths(codes: Sequence[str | None]) -> NDArray[np.float64]:
    """float64 (codes,): characters a word in each language has, NaN where that is not known."""
    known = {code: language.word_length for code, language in _languages().items()}
    lengths = [known.get(code) if code else None for code in codes]
    return np.array([np.nan if length is None else length for length in lengths], dtype=np.float64)


def full_stops(codes: Sequence[str | None]) -> NDArray[np.bool_]:
    """bool (codes,): whether sentences of each language end with a mark; true if it is unknown."""
    return np.array([code not in _WITHOUT_FULL_STOPS for code in codes], dtype=np.bool_)
