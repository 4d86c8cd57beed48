"""Suffix arrays, look-ups and shared spans, against a search through the texts themselves."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm.corpus.attribution.block import Block, library
from llm.corpus.attribution.block_file import BadBlockError, suffixes, write_blocks
from llm.corpus.attribution.spans import (
    Index,
    character_starts,
    documents_sharing,
    spans_shared,
)

# Few letters make long repeats; two have several bytes.
LETTERS = st.text(alphabet="ab é😀", max_size=60)
TEXTS = st.lists(LETTERS, min_size=1, max_size=6)


def index_of(texts: list[str], folder: Path, block_bytes: int = 40) -> Index:
    for _ in write_blocks((text.encode() for text in texts), folder / "part", block_bytes):
        pass
    return Index(folder)


def places_of(pattern: str, texts: list[str]) -> int:
    return sum(text.startswith(pattern, at) for text in texts for at in range(len(text)))


def spans_by_search(query: str, texts: list[str]) -> list[str]:
    """Every maximal span of characters that stands in a text, by trying all."""
    ends = []
    for start in range(len(query)):
        end = start
        while end < len(query) and any(query[start : end + 1] in text for text in texts):
            end += 1
        ends.append(end)
    farthest = 0
    found = []
    for start, end in enumerate(ends):
        if end > max(start, farthest):
            found.append(query[start:end])
        farthest = max(farthest, end)
    return found


@pytest.mark.parametrize("text", ["banana", "a", "aaaa", "ab\xffab\xff", "né né 😀"])
def test_suffixes_are_those_of_a_sort(text: str) -> None:
    data = b"\xff".join(piece.encode() for piece in text.split("\xff"))
    joined = np.frombuffer(bytearray(data + b"\xff"), np.uint8)
    starts = [at for at in character_starts(bytes(joined)).tolist() if joined[at] != 0xFF]
    expected = sorted(starts, key=lambda at: bytes(joined[at:]))
    assert suffixes(joined).tolist() == expected


@settings(max_examples=150, deadline=None)
@given(TEXTS, LETTERS)
def test_spans_are_those_a_search_finds(texts: list[str], query: str) -> None:
    with TemporaryDirectory() as folder:
        index = index_of(texts, Path(folder))
        found = spans_shared(query, index, 1)
        data = query.encode()
        strings = [data[span.start : span.end].decode() for span in found]
        assert strings == spans_by_search(query, texts)
        assert [span.count for span in found] == [places_of(each, texts) for each in strings]
        assert index.size == sum(len(text.encode()) for text in texts)


@settings(max_examples=150, deadline=None)
@given(TEXTS, LETTERS, st.integers(10, 24))
def test_documents_with_a_run_of_a_text_are_all_told(
    texts: list[str], query: str, window: int
) -> None:
    data = query.encode()
    runs = {data[at : at + window] for at in range(len(data) - window + 1)}
    with TemporaryDirectory() as folder:
        index = index_of(texts, Path(folder))
        assert list(index.texts("part")) == [text.encode() for text in texts]
        told = documents_sharing(data, index, window)
        for number, text in enumerate(texts):
            if any(run in text.encode() for run in runs):
                assert ("part", number) in told
        for part, number in told:
            # One that is told has most of a run at least.
            assert part == "part"
            few = {data[at : at + window // 2 - 4] for at in range(len(data))}
            assert any(run in texts[number].encode() for run in few)


@settings(max_examples=100, deadline=None)
@given(TEXTS, LETTERS, st.text(alphabet="ab é😀", min_size=1, max_size=4))
def test_python_finds_what_c_finds(texts: list[str], query: str, pattern: str) -> None:
    if library() is None:
        pytest.skip("no C compiler here")
    with TemporaryDirectory() as folder:
        written = list(write_blocks([text.encode() for text in texts], Path(folder) / "part"))
        compiled, plain = (Block(written[0].stem, python) for python in (False, True))
        data = query.encode()
        starts = character_starts(data)
        assert compiled.longest(data, starts).tolist() == plain.longest(data, starts).tolist()
        ranks = [block.ranks(pattern.encode()) for block in (compiled, plain)]
        assert len(ranks[0]) == len(ranks[1]) == places_of(pattern, texts)
        assert not ranks[0] or ranks[0] == ranks[1]


def test_a_place_names_part_document_and_passage(tmp_path: Path) -> None:
    texts = ["The quick brown fox.", "Nothing here.", "A slow fox and a quick brown dog."]
    index = index_of(texts, tmp_path, 64)
    places = index.places(b"quick brown", 10, 6)
    assert {(place.part, place.passage.document, place.passage.start) for place in places} == {
        ("part", 0, 4),
        ("part", 2, 17),
    }
    dog = next(place.passage for place in places if place.passage.document == 2)
    assert (dog.before, dog.found, dog.after) == ("and a ", "quick brown", " dog.")
    assert len(index.places(b"quick brown", 1, 6)) == 1


def test_no_span_runs_from_one_document_into_the_next(tmp_path: Path) -> None:
    index = index_of(["one two", "three four"], tmp_path, 1 << 20)
    found = spans_shared("one twothree four", index, 1)
    assert [(span.start, span.end) for span in found] == [(0, 7), (7, 17)]


def test_only_spans_long_enough_are_shared(tmp_path: Path) -> None:
    text = "It was the best of times, it was the worst of times, it was the age of wisdom."
    index = index_of([text], tmp_path, 1 << 20)
    query = f"They said {text[:60]} and left."
    [span] = spans_shared(query, index, 50)
    assert query.encode()[span.start : span.end].decode() == f"{text[:60]}"
    assert spans_shared(query, index, 61) == []


def test_equal_texts_give_equal_bytes_whatever_was_written_before(tmp_path: Path) -> None:
    texts = [f"document {number} of some".encode() for number in range(40)]
    one = list(write_blocks(texts, tmp_path / "one", 256))
    two = list(write_blocks(iter(texts), tmp_path / "two" / "x", 256))
    assert len(one) > 2
    assert sum(block.documents for block in one) == 40
    for left, right in zip(one, two, strict=True):
        for mine, other in zip(left.paths(), right.paths(), strict=True):
            assert mine.read_bytes() == other.read_bytes()
    firsts = [Block(block.stem).first for block in one]
    assert [after - before for before, after in pairwise(firsts)] == [
        block.documents for block in one[:-1]
    ]


def test_a_damaged_block_is_named(tmp_path: Path) -> None:
    [block] = write_blocks([b"some text"], tmp_path / "part")
    path = Path(f"{block.stem}.suffixes")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BadBlockError, match=r"part\.0: no block of an index \(cut off\)"):
        Block(block.stem)
    with pytest.raises(BadBlockError, match="document 1 is no UTF-8"):
        list(write_blocks([b"good", b"\xff"], tmp_path / "bad"))


def test_documents_without_text_are_no_place(tmp_path: Path) -> None:
    index = index_of(["", ""], tmp_path)
    assert spans_shared("a", index, 1) == []
    assert index.size == 0
