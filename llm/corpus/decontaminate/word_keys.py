"""Words of many texts as 64-bit keys, all texts at once.

The words are those of `words`, and so is their number; a key stands for a word's characters. Keys
narrow a search down, words decide it: two words share a key with a probability of about 2^-64.

Nearly all words are found by what each of their characters is: those of all texts together go
through a table, by `word_keys.c`, else by NumPy in blocks that stay in the processor's cache. Texts
with combining marks or with scripts without spaces are cut into words one by one.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from llm.corpus import stream_safe
from llm.corpus import words as corpus_words
from llm.corpus.decontaminate.compiled_keys import Codes, Keys, KeysKernel, Places, keys_kernel
from llm.corpus.dedup import shingles
from llm.corpus.dedup.shingles import normalise
from llm.corpus.words import words as words_of
from llm.kept_arrays import Arrays, kept_arrays

_BLOCK = 1 << 14  # characters
_BASE = 0x9E3779B97F4A7C15  # odd, so that it has an inverse modulo 2^64
_FACTOR = np.uint64(0xD6E8FEB86659FD93)
_SEED = 20200528
_BETWEEN = "\n"
_APOSTROPHES = "'’"
_SKIPPED = np.uint64(0xFFFFFFFFFFFFFFFF)  # no letter's value
_MANY = 20  # of so many characters one that the table does not do for


def words(text: str) -> list[str]:
    """The words of a text as evaluation items are compared by: those of `llm.corpus.words` after
    the normalisation of `llm.corpus.dedup.shingles`, with underscores, which Markdown puts around
    words, taken for spaces, and without apostrophes: don't, don’t and dont are one word."""
    return words_of(normalise(_without_apostrophes(text)).replace("_", " "))


def _without_apostrophes(text: str) -> str:
    for apostrophe in _APOSTROPHES:
        text = text.replace(apostrophe, "")
    return text


def word_keys(texts: Sequence[str]) -> tuple[Keys, Places]:
    """Keys of the words of texts, and where each text's begin.

    Returns:
        `(words,)` uint64, text after text, and `(texts + 1,)` int64: those of text n are
        `keys[places[n]:places[n + 1]]`, as many as `words` has and in that order.
    """
    if kernel := keys_kernel():
        keys, counts = _compiled(texts, kernel)
        return keys, np.concatenate(([0], np.cumsum(counts)))
    texts = list(map(_without_apostrophes, texts))
    ascii_only = np.array([text.isascii() for text in texts], dtype=bool)
    groups: list[tuple[Places, Keys, Places]] = []
    if len(chosen := np.flatnonzero(ascii_only)):
        codes, ends = _codes([texts[n] for n in chosen.tolist()], "ascii")
        keys, starts = _keys(codes)
        groups.append((chosen, keys, _counts(starts, ends)))
    if len(chosen := np.flatnonzero(~ascii_only)):
        codes, ends = _codes([texts[n] for n in chosen.tolist()], "utf-16-le")
        groups.append((chosen, *_with_others(codes, ends)))
    return _in_order(groups, len(texts))


def keys_of_words(texts: Sequence[Sequence[str]]) -> tuple[Keys, Places]:
    """`word_keys` of texts that are cut into words already."""
    joined = [_BETWEEN.join(found) for found in texts]
    codes, ends = _codes(joined, "utf-32-le")
    keys, starts = _keys(codes, cut=True)
    return keys, np.concatenate(([0], np.cumsum(_counts(starts, ends))))


def window_keys(keys: Keys, size: int) -> Keys:
    """A key for each run of `size` words, `(words - size + 1,)`; those that begin in one text and
    end in another are among them."""
    total = len(keys) - size + 1
    if total < 1:
        return np.empty(0, dtype=np.uint64)
    made = keys[:total].copy()
    for offset in range(1, size):
        made *= _FACTOR
        made += keys[offset : offset + total]
    made ^= made >> np.uint64(29)
    return made


def _in_order(groups: Sequence[tuple[Places, Keys, Places]], texts: int) -> tuple[Keys, Places]:
    """Keys of groups of texts (their numbers, their keys, how many each has) in the texts' order,
    and where each text's begin."""
    counts = np.zeros(texts, dtype=np.int64)
    for numbers, _, own in groups:
        counts[numbers] = own
    places = np.concatenate(([0], np.cumsum(counts)))
    if len(groups) == 1:
        return groups[0][1], places
    sorted_keys = np.empty(places[-1], dtype=np.uint64)
    for numbers, keys, own in groups:
        moved = places[numbers] - (np.cumsum(own) - own)
        sorted_keys[np.repeat(moved, own) + np.arange(len(keys))] = keys
    return sorted_keys, places


_UNITS = {"ascii": "u1", "utf-16-le": "<u2", "utf-32-le": "<u4"}


def _codes(texts: Sequence[str], encoding: str) -> tuple[Codes, Places]:
    """The code units of texts, a separator after each, and where each text's end with it."""
    encoded = [(text + _BETWEEN).encode(encoding, "surrogatepass") for text in texts]
    codes = np.frombuffer(b"".join(encoded), dtype=_UNITS[encoding])
    ends = np.cumsum(np.fromiter(map(len, encoded), np.int64, len(encoded)))
    return codes, ends // codes.itemsize


def _compiled(texts: Sequence[str], kernel: KeysKernel) -> tuple[Keys, Places]:
    """Keys of the words of texts, and how many each has; what the table does not do for is cut into
    words by `words`."""
    if not texts:
        return np.empty(0, np.uint64), np.empty(0, np.int64)
    joined = (_BETWEEN.join(texts) + _BETWEEN).encode("utf-16-le", "surrogatepass")
    codes: Codes = np.frombuffer(joined, dtype=_UNITS["utf-16-le"])
    ends = np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)) + 1)
    if ends[-1] != len(codes):  # characters of two units
        codes, ends = _codes(texts, "utf-16-le")
    others = kernel.marked(codes, _others())
    others = others[~_is_symbol(codes, others)]
    chunks = _chunks(codes, ends, others)
    codes, cut = _without(codes, chunks)
    keys, starts = kernel.keys(codes, _skipping(), _SKIPPED, _BLOCK)
    begins = np.array([start for start, _ in chunks], dtype=np.int64)
    keys, starts = _with_cut(keys, starts, cut, begins)
    return keys, _counts(starts, ends)


def _with_others(codes: Codes, ends: Places) -> tuple[Keys, Places]:
    """Keys of the words of texts without apostrophes, and how many each has; what the table does
    not do for is cut into words by `words`."""
    kinds, _ = _tables()
    blocks = range(0, len(codes), _BLOCK)
    found = [np.flatnonzero(kinds.take(codes[at : at + _BLOCK]) != 0) + at for at in blocks]
    special = np.concatenate(found)
    kind = kinds[codes[special]]
    kind[_is_symbol(codes, special)] = 0
    others, formats = special[kind == _OTHER], special[kind == _FORMAT]
    chunks = _chunks(codes, ends, others)
    codes, cut = _without(codes, chunks)
    keys, starts = _keys(np.delete(codes, formats) if len(formats) else codes)
    ends = ends - np.searchsorted(formats, ends)
    begins = np.array([start for start, _ in chunks], dtype=np.int64)
    keys, starts = _with_cut(keys, starts, cut, begins - np.searchsorted(formats, begins))
    return keys, _counts(starts, ends)


def _without(codes: Codes, chunks: Sequence[tuple[int, int]]) -> tuple[Codes, list[list[str]]]:
    """Code units with separators for those of chunks, and the words of each chunk."""
    if not chunks:
        return codes, []
    cut = [words(codes[a:b].tobytes().decode("utf-16-le", "surrogatepass")) for a, b in chunks]
    codes = codes.copy()
    for start, end in chunks:
        codes[start:end] = ord(_BETWEEN)
    return codes, cut


def _with_cut(
    keys: Keys, starts: Places, cut: Sequence[Sequence[str]], begins: Places
) -> tuple[Keys, Places]:
    """Keys of words and where they begin, with the words of chunks among them, which all begin
    where their chunk does."""
    if not any(cut):
        return keys, starts
    begins = np.repeat(begins, np.fromiter(map(len, cut), np.int64, len(cut)))
    at = np.searchsorted(starts, begins)
    return np.insert(keys, at, keys_of_words(cut)[0]), np.insert(starts, at, begins)


def _chunks(codes: Codes, ends: Places, others: Places) -> list[tuple[int, int]]:
    """From one blank to the next around each of these places; or from the text's beginning to its
    end where it has many."""
    if not len(others):
        return []
    texts = np.searchsorted(ends, others, side="right")
    starts = np.concatenate(([0], ends[:-1]))
    many = np.bincount(texts, minlength=len(ends)) * _MANY > ends - starts
    blanks = np.flatnonzero((codes == ord(" ")) | (codes == ord(_BETWEEN)))
    at = np.searchsorted(blanks, others)
    before = np.where(at > 0, blanks[at - 1] + 1, 0)  # a separator ends each text
    before = np.where(many[texts], starts[texts], before)
    after = np.where(many[texts], ends[texts], blanks[np.minimum(at, len(blanks) - 1)])
    return sorted(set(zip(before.tolist(), after.tolist(), strict=True)))


def _is_symbol(codes: Codes, at: Places) -> npt.NDArray[np.bool_]:
    """Which of these code units are a half of an emoji or the like, or the mark behind one that
    says how it is drawn: they separate words."""
    kinds, values = _tables()
    here, before = codes[at].astype(np.int64), codes[at - 1]
    after = codes[np.minimum(at + 1, len(codes) - 1)].astype(np.int64)
    lower = here >= 0xDC00
    high, low = np.where(lower, before.astype(np.int64), here), np.where(lower, here, after)
    paired = (high >= 0xD800) & (high < 0xDC00) & (low >= 0xDC00) & (low < 0xE000)
    code = 0x10000 + ((high & 0x3FF) << 10) + (low & 0x3FF) - _SYMBOLS.start
    known = paired & (code >= 0) & (code < len(_SYMBOLS))
    passed = (kinds[before] == _FORMAT) | np.isin(before, [ord(mark) for mark in _APOSTROPHES])
    drawn = (here == 0xFE0F) & (values[before] == 0) & ~passed & (at > 0)
    symbol: npt.NDArray[np.bool_] = known & _symbols()[np.where(known, code, 0)] | drawn
    return symbol


def _counts(starts: Places, ends: Places) -> Places:
    """How many words begin in each text."""
    return np.diff(np.searchsorted(starts, ends), prepend=0)


def _keys(codes: Codes, cut: bool = False) -> tuple[Keys, Places]:
    """Keys of words, and where they begin.

    Args:
        cut: words are what stands between two separators, in whatever script.
    """
    found, starts = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
    begin, goes_on = 0, False
    while begin < len(codes):
        values = _values(codes[begin : begin + _BLOCK], cut)
        inside = values != 0
        size = len(inside)
        unfinished = begin + size < len(codes) and inside[-1]
        if unfinished and len(outside := np.flatnonzero(~inside)):
            size, unfinished = int(outside[-1]) + 1, False
        keys, places = _block_keys(inside[:size], values[:size])
        # A word that fills a block is none that an item has; it counts as one all the same.
        rest = int(goes_on and inside[0])
        found.append(keys[rest:])
        starts.append(places[rest:] + begin)
        begin, goes_on = begin + size, bool(unfinished)
    return np.concatenate(found), np.concatenate(starts)


def _block_keys(inside: npt.NDArray[np.bool_], values: Keys) -> tuple[Keys, Places]:
    """Keys of the words of a block, whose values are used up, and where they begin."""
    begins = inside.copy()
    np.greater(inside[1:], inside[:-1], out=begins[1:])
    starts = np.flatnonzero(begins)
    if not len(starts):
        return np.empty(0, np.uint64), starts
    powers, inverses = _powers()
    # A polynomial in the base, of which the place in the block is taken out again; all that is no
    # letter is zero.
    values *= powers[: len(values)]
    keys = np.add.reduceat(values, starts)
    keys *= inverses.take(starts)
    keys ^= keys >> np.uint64(32)
    keys *= _FACTOR
    keys ^= keys >> np.uint64(32)
    return keys, starts


def _values(codes: Codes, cut: bool) -> Keys:
    """The value of each character, 0 of those outside of words."""
    if not cut:
        # `take` is three times as fast as an index.
        values: Keys = _tables()[1].take(codes)
        return values
    # As in the table, as far as it goes: a word is the same word wherever it stands.
    return np.where(codes != ord(_BETWEEN), _value(codes.astype(np.uint64)), np.uint64(0))


def _value(codes: Keys) -> Keys:
    """Of every character a number of its own, with all bits in use (splitmix64)."""
    mixed = codes * np.uint64(0x9E3779B97F4A7C15) + np.uint64(_SEED)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


_FORMAT, _OTHER = 1, 2
_SURROGATES = range(0xD800, 0xE000)
# Of these the syllables of Hangul are composed, and sigma is in lower case what stands around it.
_NOT_ALONE = (*range(0x1100, 0x1200), *range(0xA960, 0xA980), *range(0xD7B0, 0xD800), 0x3A3)
_SYMBOLS = range(0x1F000, 0x1FC00)  # with the emoji


@cache
def _tables() -> tuple[npt.NDArray[np.uint8], Keys]:
    """Of the basic plane: which are format characters, which are other than by themselves letters
    or separators (marks, letters of scripts without spaces); and the value of each letter, once
    normalised."""
    files = (__file__, corpus_words.__file__, stream_safe.__file__, shingles.__file__)
    found = kept_arrays("keys", [Path(file) for file in files], (), _made_tables)
    return found["kinds"], found["values"]


def _made_tables() -> Arrays:
    kinds = np.zeros(1 << 16, dtype=np.uint8)
    letters = np.zeros(1 << 16, dtype=np.uint64)
    codes = [code for code in range(1 << 16) if code not in _SURROGATES]
    normalised = [normalise(chr(code)) for code in codes]
    for code, alone in zip(codes, normalised, strict=True):
        category = unicodedata.category(chr(code))
        if category == "Cf":
            # All but those that separate words, as U+200B does.
            kinds[code] = _FORMAT if words(f"a{chr(code)}a") == ["aa"] else 0
        elif category.startswith("M") or len(alone) > 1:
            kinds[code] = _OTHER
        elif alone.isalnum():
            letters[code] = ord(alone)
    kinds[[*_NOT_ALONE, *_SURROGATES]] = _OTHER
    spaced = {word[1:-1] for word in words(" ".join(f"a{chr(code)}a" for code in codes))}
    unspaced = [code for code in codes if letters[code] and chr(letters[code]) not in spaced]
    kinds[unspaced] = _OTHER
    values = np.where((letters > 0) & (kinds == 0), _value(letters), np.uint64(0))
    return {"kinds": kinds, "values": values}


@cache
def _others() -> npt.NDArray[np.uint8]:
    """Of the basic plane: which are other than by themselves letters or separators."""
    others: npt.NDArray[np.uint8] = (_tables()[0] == _OTHER).astype(np.uint8)
    return others


@cache
def _skipping() -> Keys:
    """The value of each letter of the basic plane; `_SKIPPED` of format characters and apostrophes,
    which no word is cut at."""
    kinds, values = _tables()
    skipping = np.where(kinds == _FORMAT, _SKIPPED, values)
    skipping[[ord(character) for character in _APOSTROPHES]] = _SKIPPED
    return skipping


@cache
def _symbols() -> npt.NDArray[np.bool_]:
    """Of `_SYMBOLS`: which are no letters or digits, nor marks or format characters."""
    kinds = (unicodedata.category(chr(code))[0] + chr(code) for code in _SYMBOLS)
    return np.array([kind[0] in "SC" and not kind[1].isalnum() for kind in kinds])


@cache
def _powers() -> tuple[Keys, Keys]:
    """Powers of the base modulo 2^64, and their inverses, for a block."""
    made = []
    for factor in (_BASE, pow(_BASE, -1, 1 << 64)):
        powers = np.full(_BLOCK, factor, dtype=np.uint64)
        powers[0] = 1
        made.append(np.cumprod(powers, dtype=np.uint64))
    return made[0], made[1]
