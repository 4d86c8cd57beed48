"""Contamination: what is found of evaluation items in documents, against plain loops."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from llm.corpus.decontaminate import search as search_module
from llm.corpus.decontaminate import word_keys as word_keys_module
from llm.corpus.decontaminate.compiled_keys import keys_kernel
from llm.corpus.decontaminate.evidence import by_place, common_ngrams, find, is_evidence, sought_of
from llm.corpus.decontaminate.items import EvaluationItem, read_items
from llm.corpus.decontaminate.occurrence import Occurrence
from llm.corpus.decontaminate.search import TextIndex
from llm.corpus.decontaminate.sought import Criteria, is_telling, sought_texts
from llm.corpus.decontaminate.spans import masked, word_spans
from llm.corpus.decontaminate.word_keys import keys_of_words, word_keys, words

DATA = Path(__file__).resolve().parents[4].parent / "shared" / "data" / "eval"
QUESTION = (
    "Which of the following statements best explains why a rainbow appears in the sky "
    "after a short summer storm?"
)
CHOICES = (
    "Light bends in drops of water that are left in the air.",
    "The wind carries colours of the flowers along with it.",
    "Clouds are warmer than the ground once the rain is over.",
)


def _index(
    items: list[tuple[str, ...]],
    size: int = 13,
    shortest: int = 8,
    share: float = 0.5,
    edited: float = 0.9,
) -> TextIndex:
    named = [EvaluationItem(f"set:{number}", texts) for number, texts in enumerate(items, 1)]
    return TextIndex(sought_texts("quiz", named, Criteria(size, shortest, share, edited))[0])


def _found(index: TextIndex, document: str) -> list[Occurrence]:
    (found,) = index.find([document])
    return found


def test_words_are_lower_case_without_punctuation() -> None:
    assert words("Don't STOP: 'été_2024', Straße—ok 42%") == [
        "dont", "stop", "été", "2024", "straße", "ok", "42",
    ]  # fmt: skip
    assert words("Don’t") == words("dont") == ["dont"]


def test_scripts_without_spaces_are_words_of_few_characters() -> None:
    assert words("中国的首都 is 北京！") == ["中国", "的", "首都", "is", "北", "京"]
    asked = "下列关于细胞结构的说法，正确的是哪一项？"
    page = pa.table({"doc_id": ["d"], "text": [f"考试题目：{asked}答案见下页。"]})
    (row,) = find(page, _index([(asked,)])).to_pylist()
    assert (row["rule"], row["found"]) == ("whole", asked[:-1])


@contextmanager
def _way(compiled: bool) -> Iterator[None]:
    """By the compiled functions, or by NumPy."""
    if compiled and keys_kernel() is None:
        pytest.skip("no C compiler on this machine")
    with pytest.MonkeyPatch.context() as patch:
        if not compiled:
            patch.setattr(word_keys_module, "keys_kernel", lambda: None)
            patch.setattr(search_module, "keys_kernel", lambda: None)
        yield


_ANY = st.text(
    st.one_of(
        st.sampled_from(
            " \n_-.,'’aAbéÉßſ1²“—\u00ad\u200b\u200d\u2060\u0301\u0915\u093f中国のไทยİ😀\ufeff"
        ),
        st.characters(),
    ),
    max_size=40,
)


@pytest.mark.parametrize("compiled", [True, False])
@settings(deadline=None)
@given(st.lists(_ANY, max_size=6))
@example(["x" * 70_000 + " y", "é" + "z" * 70_000, "中" * 3])
@example(["a" * 32_768, "a" * 32_767 + " b"])
@example(["a'\ufe0f b’\ufe0f", "'", "\u00ad'\u00ad", "it’s 😀's"])
def test_keys_are_those_of_the_words(compiled: bool, texts: list[str]) -> None:
    """As many as words, in their order; the same for a word whatever stands around it."""
    with _way(compiled):
        keys, places = word_keys(texts)
    assert len(places) == len(texts) + 1
    for text, first, last in zip(texts, places, places[1:], strict=False):
        found = words(text)
        assert len(found) == last - first
        if max(map(len, found), default=0) < 1_000:
            assert keys[first:last].tolist() == keys_of_words([found])[0].tolist()


@settings(deadline=None)
@given(st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=8, max_size=20), max_size=30))
def test_both_ways_find_the_same_places(texts: list[list[str]]) -> None:
    index = _index([(" ".join(text),) for text in texts[::2]] or [("a b c d e f g h",)], 8, 8)
    documents = [f"x {' '.join(text)} {' '.join(text[::-1])}" for text in texts]
    found = []
    for compiled in (True, False):
        with _way(compiled):
            found.append(index.find(documents))
    assert found[0] == found[1]


def test_a_quoted_question_is_found_whatever_its_case_and_punctuation() -> None:
    quoted = QUESTION.upper().replace(" ", " - ")
    (found,) = _found(_index([(QUESTION, "the sun")]), f"Exam of 2019.\n{quoted} Answer below.")
    assert (found.sought.evaluation_set, found.sought.item) == ("quiz", "set:1")
    assert (found.rule, found.share, found.start, found.end) == ("whole", 1.0, 3, 22)
    assert found.ngrams == tuple(range(19 - 12))


@pytest.mark.parametrize("place", range(19))
@pytest.mark.parametrize("kind", ["replaced", "deleted", "inserted"])
def test_one_word_changed_is_found_wherever_it_is(place: int, kind: str) -> None:
    asked = QUESTION.split()
    asked[place : place + (kind != "inserted")] = [] if kind == "deleted" else ["somewhat"]
    (found,) = _found(_index([(QUESTION,)]), f"Before it. {' '.join(asked)} Behind it.")
    assert found.share >= 18 / 19 - 1e-9 or (found.rule == "ngram" and found.share >= 0.7)
    classic = Criteria(13, 8, 0.0, 1.0)
    named = [EvaluationItem("set:1", (QUESTION,))]
    alone = TextIndex(sought_texts("quiz", named, classic)[0])
    left = max(place, 19 - place - (kind != "inserted"))
    assert bool(_found(alone, " ".join(asked))) == (left >= 13)


def test_choices_in_another_order_are_found() -> None:
    item = " ".join([QUESTION, *(f"({c}) {text}" for c, text in zip("abc", CHOICES, strict=True))])
    index = _index([(item,)])
    for order in ((1, 0, 2), (2, 1, 0), (1, 2, 0)):
        text = " ".join([QUESTION, *(f"{n}. {CHOICES[i]}" for n, i in enumerate(order, 1))])
        (found,) = _found(index, f"See here: {text} That is all.")
        assert found.share >= 0.9


def test_other_words_are_not_found() -> None:
    index = _index([(QUESTION,)])
    assert not _found(index, " ".join(reversed(QUESTION.split())))
    assert not _found(index, "Which of the following statements best explains why ice floats?")
    assert not _found(index, QUESTION[:60])
    # The words are there, but on a page each.
    apart = (" filler" * 40).join(QUESTION[start : start + 25] for start in range(0, 100, 25))
    assert not _found(index, apart)


def test_short_items_match_as_a_whole_or_not_at_all() -> None:
    index = _index(
        [("eight words are just enough to be sought",), ("seven words are not enough for it",)]
    )
    assert _found(index, "Indeed: eight words are just enough to be sought, he said.")
    assert not _found(index, "eight words are just enough to be")
    assert not _found(index, "eight words are not enough to be sought")
    assert not _found(index, "seven words are not enough for it")


def test_a_short_text_with_a_word_changed_is_found_beside_its_choices() -> None:
    asked = "the clumsy young waiter dropped all the plates"
    choices = ("they broke", "they flew away", "he was praised")
    index = _index([(asked, *choices)])
    changed = asked.replace("plates", "cups")
    assert not _found(index, f"Yesterday {changed}. They broke and that was all.")
    (found,) = _found(index, f"Choose: {changed}, so he was praised / they broke / they flew away.")
    assert (found.rule, found.share) == ("edited", 7 / 8)
    assert not _found(_index([(asked, choices[0])]), f"{changed} they broke")


def test_a_quotation_of_a_long_text_is_no_match() -> None:
    passage = " ".join(f"w{number}" for number in range(60))
    quotation = " ".join(f"w{number}" for number in range(20, 20 + 15))
    assert not _found(_index([(passage,)]), f"He said: {quotation}.")
    assert _found(_index([(passage,)], share=0.25), f"He said: {quotation}.")
    half = " ".join(f"w{number}" for number in range(10, 45))
    (found,) = _found(_index([(passage,)]), f"He said: {half}.")
    assert (found.rule, found.share, found.ngrams) == ("ngram", 35 / 60, tuple(range(10, 45 - 12)))


def test_every_place_is_found() -> None:
    short = "eight words are just enough to be sought"
    text = f"{QUESTION} Then. {short}. {QUESTION.upper()} And {short}"
    found = _found(_index([(QUESTION,), (short,)]), text)
    assert [(f.sought.item, f.start, f.end) for f in found] == [
        ("set:1", 0, 19), ("set:1", 28, 47), ("set:2", 20, 28), ("set:2", 48, 56),
    ]  # fmt: skip


_TEXTS = st.lists(st.sampled_from("abcd"), max_size=14).map(" ".join)


@settings(deadline=None, max_examples=300)
@given(
    st.lists(_TEXTS, max_size=4), st.lists(_TEXTS, max_size=3), st.integers(2, 6), st.integers(1, 6)
)
@example(["a", "b a"], ["a a a a a b a"], 2, 1)
@example(["a", "a b a"], ["a a b a a a a a b"], 3, 1)
@example(["a a a b c"], ["a a b a b a b a b c"], 2, 1)
@example(["a", "b a b"], ["a b a a a b a b"], 3, 1)
def test_ngrams_equal_a_plain_loop(
    items: list[str], documents: list[str], size: int, shortest: int
) -> None:
    """Of the rule of n-grams alone: which items, and which of their n-grams. Places do not overlap:
    an n-gram that is not told reaches, wherever it stands, into a place that is."""
    sought = dict[str, tuple[str, ...]]()
    for number, item in enumerate(items, 1):
        own = tuple(item.split())
        if len(own) >= min(size, shortest) and is_telling(own) and own not in sought.values():
            sought[f"set:{number}"] = own
    index = _index([(item,) for item in items], size, shortest, share=0.0, edited=1.0)
    for document, found in zip(documents, index.find(documents), strict=True):
        expected: dict[str, set[int]] = {}
        words_ = tuple(document.split())
        for name, own in sought.items():
            run = min(size, len(own))
            grams = {words_[at : at + run] for at in range(len(words_) - run + 1)}
            starts = {at for at in range(len(own) - run + 1) if own[at : at + run] in grams}
            starts = {at for at in starts if is_telling(own[at : at + run])}
            if starts:
                expected[name] = starts
        results: dict[str, set[int]] = {}
        for one in found:
            results.setdefault(one.sought.item, set()).update(one.ngrams)
        assert results.keys() == expected.keys()
        for name, starts in expected.items():
            assert results[name] <= starts
            run = min(size, len(sought[name]))
            places = [(one.start, one.end) for one in found if one.sought.item == name]
            for at in starts - results[name]:
                gram = sought[name][at : at + run]
                for word in range(len(words_) - run + 1):
                    if words_[word : word + run] == gram:
                        assert any(start < word + run and word < end for start, end in places)


@settings(deadline=None)
@given(st.lists(st.sampled_from("abcdefgh"), min_size=10, max_size=14), st.data())
def test_places_are_apart_whatever_repeats(item: list[str], data: st.DataObject) -> None:
    pieces = st.sampled_from([item, item[:6], item[4:], item[::-1], ["x"]])
    document = sum(data.draw(st.lists(pieces, max_size=6)), list[str]())
    found = _found(_index([(" ".join(item),)], edited=0.7), " ".join(document))
    for one, other in pairwise(found):
        assert one.end <= other.start
    for one in found:
        inside = document[one.start : one.end]
        assert one.share * len(item) <= sum(word in inside for word in item) + 1e-9


def test_rows_say_what_and_where() -> None:
    named = [EvaluationItem("file:7", (QUESTION,))]
    criteria = Criteria(13, 8, 0.5, 0.9)
    tables = [sought_texts(name, named, criteria)[0] for name in ("b", "a")]
    page = f"  Ü— {QUESTION.upper()}  End."
    documents = pa.table({"doc_id": ["x", "y", "z"], "text": ["nothing", page, None]})
    rows = find(documents, TextIndex(pa.concat_tables(tables))).to_pylist()
    assert [(row["doc_id"], row["evaluation_set"], row["item"]) for row in rows] == [
        ("y", "b", "file:7"),
        ("y", "a", "file:7"),
    ]
    for row in rows:
        assert row["found"] == page[row["start"] : row["end"]] == QUESTION.upper()[:-1]


def test_ngrams_of_many_documents_are_no_evidence() -> None:
    """But a text of which more is there is found, and so is one that is there whole."""
    famous = "four score and seven years ago our fathers brought forth on this continent a new"
    item = f"{famous} nation said the old teacher to nobody"
    half = f"{famous} and so on"
    pages = [*[f"Page {n}: {half}" for n in range(6)], f"Exam: {item}?"]
    documents = pa.table({"doc_id": [f"d{n}" for n in range(7)], "text": pages})
    index = _index([(item,)])
    rows = find(documents, index).to_pylist()
    assert len(rows) == 7
    texts = by_place(index.texts)

    def counted(most: int) -> list[str]:
        common = set(common_ngrams(rows, texts, most).column("ngram").to_pylist())
        return [
            row["doc_id"]
            for row in rows
            if is_evidence(sought_of(row, texts), row["share"], row["ngrams"], common)
        ]

    assert counted(7) == [f"d{n}" for n in range(7)]
    assert counted(5) == ["d6"]
    listed = {row["ngram"]: row["documents"] for row in common_ngrams(rows, texts, 5).to_pylist()}
    parts = famous.split()
    assert listed == {" ".join(parts[at : at + 13]): 7 for at in range(len(parts) - 12)}


@settings(deadline=None)
@given(_ANY)
@example("e\u0301t\u0301 A\u00adB, (x)–y ﬁ İ")
def test_spans_are_of_the_words(text: str) -> None:
    found, spans = words(text), word_spans(text)
    assert len(found) == len(spans)
    for word, (start, end) in zip(found, spans, strict=True):
        assert word in words(text[start:end])
    assert sorted(spans) == spans


def test_spans_are_exact_where_normalisation_keeps_lengths() -> None:
    text = "(Don't) “STOP” été_2024 中国的首都"
    assert [text[start:end] for start, end in word_spans(text)] == [
        "(Don't)", "STOP", "été", "2024", "中国", "的", "首都",
    ]  # fmt: skip


def test_masked_text_is_the_rest() -> None:
    assert masked("abcdefgh", [(5, 7), (1, 3), (2, 4)], "…") == "a…e…h"
    assert masked("abc", [], "…") == "abc"
    assert masked("abc", [(0, 3)], "") == ""


def test_real_questions_are_found_in_pages_that_quote_them() -> None:
    path = DATA / "gsm8k_test.jsonl.gz"
    if not path.exists():
        pytest.skip(f"{path} is not there: shared data is not part of the project")
    items = list(read_items(path, "gsm8k", ["question"]))[:300]
    table, coverage = sought_texts("gsm8k", items, Criteria(13, 8, 0.5, 0.9))
    assert coverage.too_short == 0
    index = TextIndex(table)
    pages = [
        f"Blog, day {n}. Try this one! {item.texts[0].upper()} Good luck."
        for n, item in enumerate(items)
    ]
    for item, found in zip(items, index.find(pages), strict=True):
        assert item.name in {one.sought.item for one in found}
    assert not any(index.find([" ".join(reversed(page.split())) for page in pages]))
