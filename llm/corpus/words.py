r"""What a word is, for everything that compares or counts words.

* **A word** is a letter, digit or underscore (`\w`) and all of these that follow it, with their
  combining marks (Unicode categories Mn, Mc, Me): the vowel signs of Hindi, Tamil or Thai, the
  points of Hebrew and Arabic are part of the word, as in UAX 29, rule WB4. By that rule format
  characters (category Cf: soft hyphens, joiners, marks of direction) do not end a word either; as
  nobody sees them they are left out of it. But U+200B, a blank without width, and signs that are
  seen (U+0600 and others that stand before digits) separate words, as everything else does.

* **In scripts written without spaces** a word is a *piece* of the run of letters: one begins at
  every change between such a script and another, and before every letter (marks stay with
  theirs) whose code point is even in Han, Kana, Bopomofo and Yi, and leaves one when divided by
  three in Thai, Lao, Myanmar, Khmer, Javanese, Balinese and the Tai scripts (line breaking class
  SA of UAX 14, and kin); outside the basic plane every letter is a piece. So pieces have about
  two characters, or three letters with their marks, which is what a word of a dictionary has in
  these languages: five words in a row mean about as much text in every language. Where a piece
  begins depends on its own letter only, so an insertion changes the pieces it touches and no
  others. It is no analysis: pieces are not words of the language.

A text of a spaced script without combining marks and format characters has exactly the matches of
`\w+`.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable

from llm.corpus.stream_safe import is_simple

_PLAIN = re.compile(r"\w+")
_JOINERS = "\u200c\u200d"
_BLANK = "\u200b"
# Category Cf, but property Prepended_Concatenation_Mark.
_SEEN = "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"
_BASIC = range(0x300, 0x10000)
# Where the other combining marks are. `re` looks characters beyond the basic plane up one range
# after the other, so the patterns ask for the plane first.
_BEYOND = (range(0x10000, 0x20000), range(0xE0100, 0xE01F0))
_PLANES = "\U00010000-\U0001ffff\U000e0100-\U000e01ef"
_BY_TWO = (
    *(range(0x3005, 0x3008), range(0x3021, 0x302A), range(0x3031, 0x3036)),  # 々 and numerals
    *(range(0x3040, 0x3130), range(0x31A0, 0x3200)),  # Kana, Bopomofo
    *(range(0x3400, 0x4DC0), range(0x4E00, 0xA4D0), range(0xF900, 0xFB00)),  # Han, Yi
    range(0xFF66, 0xFFA0),
)
_BY_THREE = (
    *(range(0x0E00, 0x0F00), range(0x1000, 0x10A0), range(0x1780, 0x1800)),  # to Khmer
    *(range(0x1950, 0x19E0), range(0x1A20, 0x1AB0), range(0x1B00, 0x1B80)),  # Tai, Balinese
    *(range(0xA980, 0xAA00), range(0xAA60, 0xAAE0)),  # Javanese, Myanmar, Tai Viet
)
# Ahom, older Kana, Han of the supplementary planes.
_BY_ONE = "\U00011700-\U0001174f\U0001aff0-\U0001b16f\U00020000-\U0003ffff"


def _ranges(codes: Iterable[int]) -> str:
    """Code points, ascending, as the inside of a character class."""
    runs: list[list[int]] = []
    for code in codes:
        if runs and code == runs[-1][1] + 1:
            runs[-1][1] = code
        else:
            runs.append([code, code])
    return "".join(
        f"\\U{first:08x}" + (f"-\\U{last:08x}" if last > first else "") for first, last in runs
    )


@functools.cache
def _formats() -> str:
    """Format characters that are no part of any word."""
    codes = (code for block in (range(0x80, 0x20000), range(0xE0000, 0xE0080)) for code in block)
    apart = {*_BLANK, *_SEEN}
    return _ranges(c for c in codes if unicodedata.category(chr(c)) == "Cf" and chr(c) not in apart)


@functools.cache
def _any_formats() -> re.Pattern[str]:
    return re.compile(f"[{_formats()}]+")


@functools.cache
def _marks() -> str:
    """Of the basic plane, and joiners."""
    return _JOINERS + _ranges(c for c in _BASIC if unicodedata.category(chr(c)).startswith("M"))


@functools.cache
def _marks_beyond() -> str:
    codes = (code for plane in _BEYOND for code in plane)
    return _ranges(c for c in codes if unicodedata.category(chr(c)).startswith("M"))


def _letters(blocks: Iterable[range]) -> Iterable[int]:
    return (code for block in blocks for code in block if chr(code).isalnum())


@functools.cache
def _unspaced() -> str:
    return _ranges(_letters(_BY_THREE)) + _ranges(_letters(_BY_TWO)) + _BY_ONE


@functools.cache
def _inside() -> str:
    """Letters of scripts without spaces that do not begin a piece, marks, format characters."""
    by_three = (code for code in _letters(_BY_THREE) if code % 3 != 1)
    by_two = (code for code in _letters(_BY_TWO) if code % 2)
    return _ranges(by_three) + _ranges(by_two) + _marks() + _formats()


@functools.cache
def _any_unspaced() -> re.Pattern[str]:
    return re.compile(f"[{_unspaced()}]")


@functools.cache
def _any_mark() -> re.Pattern[str]:
    return re.compile(f"[{_marks()}{_PLANES}]")


def _and_beyond(inside: str) -> str:
    """Any number of characters of a class, or of marks beyond the basic plane."""
    return f"(?:[{inside}]++|(?=[{_PLANES}])[{_marks_beyond()}])*+"


@functools.cache
def _spaced_words() -> re.Pattern[str]:
    return re.compile(r"\w" + _and_beyond(rf"\w{_marks()}"))


@functools.cache
def _all_words() -> re.Pattern[str]:
    spaced = rf"[^\W{_unspaced()}]++"
    marks = f"(?:[{_marks()}]|(?=[{_PLANES}])[{_marks_beyond()}])"
    marked = rf"{spaced}(?:{marks}++(?:{spaced})?+)*+"
    return re.compile(rf"[{_unspaced()}]{_and_beyond(_inside())}|{marked}")


@functools.cache
def _all_pieces() -> re.Pattern[str]:
    piece = rf"[{_unspaced()}]{_and_beyond(_inside())}[^\w{_marks()}]*+"
    return re.compile(rf"{piece}|[^{_unspaced()}]++")


@functools.cache
def piece_patterns() -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    """What `pieces` goes by, as runs of characters: letters of scripts without spaces, what goes
    on with the piece that such a letter began, and what may trail it.
    """
    goes_on = f"(?:[{_inside()}]|(?=[{_PLANES}])[{_marks_beyond()}])+"
    found = (f"[{_unspaced()}]+", goes_on, rf"[^\w{_marks()}]+")
    return re.compile(found[0]), re.compile(found[1]), re.compile(found[2])


@functools.cache
def classes() -> dict[str, re.Pattern[str]]:
    """What tells characters apart here, for who goes over a text character by character; each
    matches one.

    "spaced": a letter, digit or underscore that is not "unspaced": a letter of a script without
    spaces, which begins a word where it is not "inside" one, as marks are as well. "mark": goes on
    with a word. "format": is left out.
    """
    beyond = f"(?=[{_PLANES}])[{_marks_beyond()}]"
    return {
        "spaced": re.compile(rf"[^\W{_unspaced()}]"),
        "unspaced": _any_unspaced(),
        "inside": re.compile(f"[{_inside()}]|{beyond}"),
        "mark": re.compile(f"[{_marks()}]|{beyond}"),
        "format": re.compile(f"[{_formats()}]"),
    }


def words(text: str) -> list[str]:
    """The words of a text in order, as the module's docstring defines them; case is kept."""
    if not text.isascii():
        text = _any_formats().sub("", text)
    if is_simple(text):
        return _PLAIN.findall(text)
    if _any_unspaced().search(text):
        return _all_words().findall(text)
    if _any_mark().search(text):
        return _spaced_words().findall(text)
    return _PLAIN.findall(text)


def pieces(text: str) -> list[str]:
    """The text cut at white space, then in scripts without spaces into the pieces `words` has.

    Punctuation is kept: behind a piece of such a script it belongs to that piece.
    """
    found = text.split()
    if is_simple(text) or not _any_unspaced().search(text):
        return found
    cut = _all_pieces().findall
    return [piece for run in found for piece in cut(run)]
