"""The compiled kernel gives what Python and datasketch give, whatever the text."""

from __future__ import annotations

import itertools
import logging
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import xxhash
from datasketch import MinHash
from hypothesis import example, given, settings
from hypothesis import strategies as st

from llm.corpus.dedup import compiled_signing, signatures
from llm.corpus.dedup.characters import PAGE, PAGES, page
from llm.corpus.dedup.compiled_signing import Kernel, kernel
from llm.corpus.dedup.shingles import shingle_hashes, shingles, text_digest
from llm.corpus.dedup.signatures import sign

NUM_PERM = 40  # no multiple of the lanes
# Letters, marks, format characters and blanks of every kind that the definitions tell apart.
HOSTILE = (
    "aB0_ .\n\t\u00a0\u3000\u2028é́̈ßİıΣσςK\u00c5ﬁǅ"
    "कि़्ेமொக்กินำ้ກັ東京タがヴー々한국\u1112\u1161\u11abשָׁלוֹםعَرَب"
    "\u00ad\u200b\u200c\u200d\u200e\ufeff\u0600\u06dd\u0301\u0316\u3099\u034f\u20dd"
    "\U0001f600\U00011700\U0001171d\U00016f51\U0001d165\U00020000\U000e0041\U000e0100\U0010ffff"
)
SCRIPTS = (
    "The Quick brown FOX — “jumps” over 3.14 lazy dogs; isn’t it? ",
    "Ο ΣΟΦΟΣ Ὀδυσσεύς ἄνδρα μοι ἔννεπε, ΜΟΎΣΑ. ",
    "Все ЛЮДИ рождаются свободными и равными. ",
    "सभी मनुष्यों को गौरव और अधिकारों के मामले में क्\u200dष ",
    "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกัน ",
    "すべての人間は、生れながらにして自由であり、ﾃﾞｰﾀ ",
    "人人生而自由，在尊严和权利上一律平等。HTML写用 ",
    "모든 인간은 태어날 때부터 자유로우며 ",
    "יוֹלְדוּ בְּנֵי חוֹרִין וְשָׁוִים ",
    "يُولَدُ جَمِيعُ النَّاسِ أَحْرَارًا ",
    "Tất cả mọi người sinh ra đều được tự do Ĳ ŉ ẞ ",
    "e\u0301te\u0301 cafe\u0301 ",
)


@pytest.fixture(scope="module")
def compiled() -> Kernel:
    found = kernel()
    if found is None:
        pytest.skip("no C compiler on this machine")
    return found


def _check(compiled: Kernel, texts: list[str], words: int) -> None:
    array = pa.array(texts, pa.string())
    signed = compiled.sign(array, NUM_PERM, words)
    hashes = compiled.shingle_hashes(array, words)
    assert signed.minhash.dtype == np.uint32
    for place, text in enumerate(texts):
        found = shingles(text, words)
        assert signed.digests[place] == text_digest(text)
        assert signed.shingles[place] == len(found)
        sketch = MinHash(NUM_PERM, seed=1, scheme="affine32", hashfunc=xxhash.xxh32_intdigest)
        sketch.update_batch(found)
        assert np.array_equal(signed.minhash[place], sketch.hashvalues), text
        assert np.array_equal(hashes[place], shingle_hashes(text, words))


@settings(deadline=None, max_examples=120)
@given(
    st.lists(
        st.one_of(
            st.text(st.sampled_from(HOSTILE), max_size=60),
            st.text(max_size=40),
            st.lists(st.sampled_from(SCRIPTS), max_size=5).map("".join),
        ),
        max_size=6,
    ),
    st.integers(1, 7),
)
@example(["a\u0301" * 40, "a" + "\u0301\u0316" * 40, "\u0301" * 31], 5)
@example(["Ⱥ東" * 50, "İ", "ΟΔΟΣ", "ΟΔΟΣ Α"], 1)
def test_every_text_is_signed_as_datasketch_does(
    compiled: Kernel, texts: list[str], words: int
) -> None:
    _check(compiled, texts, words)


def test_long_texts_of_every_script_mixed_and_cut_anywhere(compiled: Kernel) -> None:
    chance = random.Random(1)
    whole = "".join(chance.choices(SCRIPTS, k=300))
    cuts = sorted(chance.sample(range(len(whole)), 40))
    _check(compiled, [whole, *(whole[a:b] for a, b in itertools.pairwise(cuts))], 5)


def _every_character() -> Iterator[list[str]]:
    for number in range(PAGES):
        if not 0xD8 <= number < 0xE0:  # halves of UTF-16 are no text
            yield [chr(PAGE * number + place) for place in range(PAGE)]


def test_characters_that_exist_are_known_each_by_itself(compiled: Kernel) -> None:
    """Those of a page that are easy stand in one text, so that Python need not normalise it."""
    for characters in itertools.islice(_every_character(), 0, None, 23):
        entries = page(ord(characters[0]) // PAGE)
        easy = [char for char, entry in zip(characters, entries, strict=True) if not entry >> 27]
        if easy:
            _check(compiled, ["".join(f"a{char}b {char} 東{char}{char}\n" for char in easy)], 1)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_every_character_by_itself(compiled: Kernel) -> None:
    for characters in _every_character():
        _check(compiled, [f"A{char}b {char}. 東{char}京 {char}{char}" for char in characters], 1)


def test_no_lower_case_has_another(compiled: Kernel) -> None:
    """So that a text that is in lower case can be read by the same table."""
    for characters in _every_character():
        lower = "".join(characters).lower()
        assert lower.lower() == lower


def test_rows_of_a_slice_and_of_one_batch_do_not_see_each_other(compiled: Kernel) -> None:
    texts = ["before", *SCRIPTS, "", "behind"]
    whole = compiled.sign(pa.array(texts), 32, 5)
    part = compiled.sign(pa.array(texts).slice(3, 5), 32, 5)
    assert part.digests == whole.digests[3:8]
    assert np.array_equal(part.minhash, whole.minhash[3:8])
    assert compiled.sign(pa.array([], pa.string()), 32, 5).minhash.shape == (0, 32)


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=40))
def test_what_is_no_utf8_is_refused_as_by_python(compiled: Kernel, raw: bytes) -> None:
    offsets = pa.py_buffer(np.array([0, len(raw)], dtype=np.int32).tobytes())
    text = pa.Array.from_buffers(pa.string(), 1, [None, offsets, pa.py_buffer(raw)])
    try:
        expected = raw.decode()
    except UnicodeDecodeError:
        with pytest.raises(UnicodeDecodeError):
            compiled.sign(text, 32, 5)
    else:
        _check(compiled, [expected], 5)


def test_without_a_compiler_python_signs_the_same(
    compiled: Kernel, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    documents = pa.table({"doc_id": list(map(str, range(len(SCRIPTS)))), "text": SCRIPTS})
    monkeypatch.setattr(signatures, "worthwhile_kernel", lambda size: compiled)
    by_c = sign(documents, 128, 5)
    monkeypatch.setattr(signatures, "worthwhile_kernel", lambda size: None)
    assert sign(documents, 128, 5).equals(by_c)
    monkeypatch.setattr(compiled_signing._Waiting, "size", 0)
    monkeypatch.setenv("CC", "no-such-compiler")
    kernel.cache_clear()
    compiled_signing._was_compiled.cache_clear()
    caplog.set_level(logging.WARNING)
    try:
        assert compiled_signing.worthwhile_kernel(1 << 20) is None
        assert not caplog.text  # it did not try
        assert compiled_signing.worthwhile_kernel(1) is None
        assert "no-such-compiler compiles nothing here" in caplog.text
    finally:
        kernel.cache_clear()
        compiled_signing._was_compiled.cache_clear()


def test_what_was_compiled_before_signs_from_the_first_text_on(
    compiled: Kernel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(compiled_signing._Waiting, "size", 0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for found, known in ((False, "none is"), (True, "one is")):
        if known == "one is":
            kernel.__wrapped__()  # as another process has
        compiled_signing._was_compiled.cache_clear()
        assert (compiled_signing.worthwhile_kernel(1) is not None) is found, known
    compiled_signing._was_compiled.cache_clear()
