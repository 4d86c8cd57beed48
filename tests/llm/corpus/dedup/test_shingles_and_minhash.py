"""Shingles by hand, signatures against datasketch."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
import xxhash
from datasketch import MinHash
from hypothesis import given
from hypothesis import strategies as st

from llm.corpus.dedup import minhash
from llm.corpus.dedup.minhash import estimated_jaccard, minhash_signatures
from llm.corpus.dedup.shingles import shingle_hashes, shingles, text_digest


def test_shingles_of_a_sentence() -> None:
    text = "It was the best of times, it was the worst of times."
    assert shingles(text, 5) == {
        b"it was the best of",
        b"was the best of times",
        b"the best of times it",
        b"best of times it was",
        b"of times it was the",
        b"times it was the worst",
        b"it was the worst of",
        b"was the worst of times",
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", set()),
        (" \n\t", set()),
        ("--- !!! ---", set()),
        ("Hello", {b"hello"}),
        ("one two three four", {b"one two three four"}),
        ("one two three four five", {b"one two three four five"}),
    ],
)
def test_short_texts_have_one_shingle_or_none(text: str, expected: set[bytes]) -> None:
    assert shingles(text, 5) == expected


def test_digest_ignores_case_white_space_and_unicode_form_only() -> None:
    text = "Café au lait, s'il vous plaît"
    same = unicodedata.normalize("NFD", text).upper().replace(" ", "\n\u00a0 ")
    assert text_digest(same) == text_digest(text)
    assert text_digest(text.replace(",", "")) != text_digest(text)
    assert shingles(text.replace(",", ""), 5) == shingles(text, 5)


@given(st.text(max_size=200), st.integers(1, 7))
def test_hashes_are_distinct_sorted_and_as_many_as_shingles(text: str, words: int) -> None:
    hashes = shingle_hashes(text, words)
    assert len(hashes) == len(shingles(text, words))
    assert np.all(hashes[1:] > hashes[:-1])


def _reference(found: set[bytes], num_perm: int) -> np.ndarray:
    sketch = MinHash(num_perm=num_perm, seed=1, scheme="affine32", hashfunc=xxhash.xxh32_intdigest)
    for shingle in found:
        sketch.update(shingle)
    return sketch.hashvalues


@given(st.lists(st.sets(st.binary(min_size=1, max_size=12), max_size=30), max_size=5))
def test_signatures_equal_datasketch(sets: list[set[bytes]]) -> None:
    expected = [_reference(found, 64) for found in sets]
    found = minhash_signatures(sets, 64)
    assert found.shape == (len(sets), 64)
    assert found.dtype == np.uint32
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


def test_a_long_text_is_signed_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    sets = [{f"shingle {number}".encode() for number in range(size)} for size in (0, 95, 10, 11)]
    whole = minhash_signatures(sets, 32)
    monkeypatch.setattr(minhash, "_PIECE", 10)
    assert np.array_equal(minhash_signatures(sets, 32), whole)


def test_estimate_is_close_to_jaccard() -> None:
    one = {f"w{number}".encode() for number in range(300)}
    other = {f"w{number}".encode() for number in range(100, 400)}
    first, second = minhash_signatures([one, other], 1024)
    assert estimated_jaccard(first, second[None])[0] == pytest.approx(0.5, abs=0.06)
