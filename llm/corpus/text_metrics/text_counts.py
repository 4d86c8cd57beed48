"""What is counted in texts before anything is divided: one row a text, one column a count.

There are two ways to the same numbers. Compiled code (`text_counts.c`) reads the bytes of an Arrow
array once; where nothing can be compiled, Python counts text by text, some twenty times slower. All
counts are exact whole numbers, so what is made of them does not depend on the way.
"""

from __future__ import annotations

import ctypes
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from llm.c_library import compiled
from llm.corpus.text_metrics import characters
from llm.corpus.text_metrics.repetition import GRAMS, gram_counts, repeated
from llm.corpus.text_metrics.segmentation import Segments, segment

SHORT_LINE = 30
# In the order of the enumeration in text_counts.c.
COUNTS = (
    *("words", "word_chars", "longest_word", "hashes", "ellipses", "alphabetic", "stop_words"),
    *("chars", "alphanumeric", "lines", "bullets", "ellipsis_ends", "terminal", "short"),
    *("longest_line", "newlines", "paragraphs", "line_chars", "same_lines", "same_line_chars"),
    *("paragraph_chars", "same_paragraphs", "same_paragraph_chars"),
    *(f"gram_{n}_chars" for n in GRAMS),
    *("at_signs", "digits"),
)
NO_LIST = -1
_LONGEST_STOP_WORD = 64  # bytes
_SOURCE = Path(__file__).with_suffix(".c")


@dataclass(frozen=True)
class StopWords:
    """Lists of stop words.

    Attributes:
        lists: the words of each, in lower case as `characters.folded` has it.
        inside: whether a list's words are looked for in the whole text, for scripts without
            spaces, instead of among its words.
    """

    lists: tuple[tuple[str, ...], ...]
    inside: tuple[bool, ...]


def text_counts(texts: pa.Array, stop_words: StopWords, lists: Sequence[int]) -> NDArray[np.int64]:
    """int64 (texts, COUNTS): the counts of each text.

    Args:
        texts: strings, none null.
        lists: of each text, which of the lists of stop words holds; `NO_LIST` for none, and the
            count is -1.
    """
    library = _library()
    if library is None:
        return _plain(texts, stop_words, lists)
    return _Compiled(library, stop_words).count(texts, lists)


def _plain(texts: pa.Array, stop_words: StopWords, lists: Sequence[int]) -> NDArray[np.int64]:
    rows = []
    for text, chosen in zip(texts.to_pylist(), lists, strict=True):
        segments = segment(text)
        counts = {"stop_words": NO_LIST, **_surface(segments), **_repeated(segments)}
        if chosen != NO_LIST:
            wanted = stop_words.lists[chosen]
            if stop_words.inside[chosen]:
                counts["stop_words"] = sum(word in text for word in wanted)
            else:
                bare = {characters.folded(w.strip(characters.EDGES)) for w in segments.vocabulary}
                counts["stop_words"] = len(bare.intersection(wanted))
        rows.append([counts[name] for name in COUNTS])
    return np.array(rows, dtype=np.int64).reshape(len(rows), len(COUNTS))


def _surface(segments: Segments) -> dict[str, int]:
    text, lines = segments.text, segments.lines
    alphabetic = 0
    for word, count in zip(segments.vocabulary, segments.counts.tolist(), strict=True):
        if characters.has_letter(word):
            alphabetic += count
    opening = (*characters.BULLETS, *characters.DASHES)
    return {
        "words": segments.words,
        "word_chars": segments.word_characters,
        "longest_word": int(segments.lengths.max(initial=0)),
        "hashes": text.count("#"),
        "ellipses": sum(text.count(mark) for mark in characters.ELLIPSES),
        "alphabetic": alphabetic,
        "chars": len(text),
        "alphanumeric": sum(map(str.isalnum, text)),
        "lines": len(lines),
        "bullets": sum(line.startswith(opening) for line in lines),
        "ellipsis_ends": sum(line.endswith(characters.ELLIPSES) for line in lines),
        "terminal": sum(line.endswith(characters.TERMINAL_PUNCTUATION) for line in lines),
        "short": sum(len(line) <= SHORT_LINE for line in lines),
        "longest_line": max(map(len, lines), default=0),
        "newlines": text.count("\n"),
        "paragraphs": len(segments.paragraphs),
        "at_signs": text.count("@"),
        "digits": sum(text.count(digit) for digit in "0123456789"),
    }


def _repeated(segments: Segments) -> dict[str, int]:
    found: dict[str, int] = {}
    for kind, pieces in (("line", segments.lines), ("paragraph", segments.paragraphs)):
        names = (f"{kind}_chars", f"same_{kind}s", f"same_{kind}_chars")
        found |= zip(names, repeated(pieces), strict=True)
    grams = zip(GRAMS, gram_counts(segments), strict=True)
    return found | {f"gram_{n}_chars": chars for n, chars in grams}


class _Setting(ctypes.Structure):
    _fields_ = (
        ("classes", ctypes.c_void_p),
        ("folded", ctypes.c_void_p),
        ("foldable", ctypes.c_uint32),
        ("key", ctypes.c_uint64),
        ("stop_bytes", ctypes.c_void_p),
        ("stop_ends", ctypes.c_void_p),
        ("list", ctypes.c_void_p),
        ("inside_words", ctypes.c_void_p),
        ("lists", ctypes.c_long),
    )


class _Compiled:
    """The compiled loops with what they look up."""

    def __init__(self, library: ctypes.CDLL, stop_words: StopWords) -> None:
        self._library = library
        encoded = [word.encode() for words in stop_words.lists for word in words]
        assert all(len(word) <= _LONGEST_STOP_WORD for word in encoded)
        self._classes = characters.character_classes()
        self._folded = characters.folded_codes()
        self._bytes = np.frombuffer(b"".join(encoded) or b"\0", dtype=np.uint8)
        self._ends = _ends(len(word) for word in encoded)
        self._lists = _ends(len(words) for words in stop_words.lists)
        self._inside = np.array([*stop_words.inside, False], dtype=np.uint8)
        self._setting = _Setting(
            classes=self._classes.ctypes.data,
            folded=self._folded.ctypes.data,
            foldable=len(self._folded),
            key=secrets.randbits(64),
            stop_bytes=self._bytes.ctypes.data,
            stop_ends=self._ends.ctypes.data,
            list=self._lists.ctypes.data,
            inside_words=self._inside.ctypes.data,
            lists=len(stop_words.lists),
        )

    def count(self, texts: pa.Array, lists: Sequence[int]) -> NDArray[np.int64]:
        """Counts of texts; see `text_counts`."""
        counts = np.zeros((len(texts), len(COUNTS)), dtype=np.int64)
        large = texts.cast(pa.large_string())
        _, offsets, data = large.buffers()
        if not len(texts) or data is None:
            return counts
        starts = np.frombuffer(offsets, dtype=np.int64)[large.offset :][: len(large) + 1]
        chosen = np.array(lists, dtype=np.int64)
        failed = self._library.text_counts(
            ctypes.byref(self._setting),
            data.address,
            np.ascontiguousarray(starts).ctypes.data,
            len(texts),
            chosen.ctypes.data,
            counts.ctypes.data,
        )
        if failed:
            raise MemoryError(f"no memory to count the words of {data.size:,} bytes of text")
        return counts


def _ends(sizes: Iterable[int]) -> NDArray[np.int64]:
    return np.cumsum([0, *sizes], dtype=np.int64)


@cache
def _library() -> ctypes.CDLL | None:
    """The compiled loops; none where that is not possible."""
    without = "Python counts words, some twenty times slower"
    found = compiled(_SOURCE, ["-O3", "-march=native"], without)
    if found is None:
        return None
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    found.text_counts.argtypes = [pointer, pointer, pointer, number, pointer, pointer]
    found.text_counts.restype = ctypes.c_int
    return found
