"""Samples, duplicates and the validation share hang on content alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm.corpus.quality.labels import (
    LabelledText,
    OneClassError,
    Sampler,
    TooFewLabelsError,
    divide,
)


def sampled(texts: list[str], rows: int, seed: int = 1) -> list[str]:
    sampler = Sampler("s", 1, 0, rows, seed, False)
    for text in texts:
        sampler.offer(None, text)
    assert sampler.rows == sampler.used + sum(sampler.removed.values())
    return [item.text for item in sampler.texts()]


def made(texts: list[str], source: str = "s") -> list[LabelledText]:
    return [LabelledText(f"{source}-{text}", source, text, "") for text in texts]


@given(st.lists(st.text(min_size=1).filter(str.strip), max_size=40), st.randoms())
def test_a_sample_does_not_depend_on_order(texts: list[str], random) -> None:
    shuffled = list(texts)
    random.shuffle(shuffled)
    assert sampled(texts, 5) == sampled(shuffled, 5)


def test_a_larger_sample_holds_the_smaller_and_the_seed_matters() -> None:
    texts = [f"text {n}" for n in range(500)]
    assert set(sampled(texts, 50)) < set(sampled(texts, 100))
    assert set(sampled(texts, 50)) != set(sampled(texts, 50, seed=2))


def test_bounds_and_counts() -> None:
    sampler = Sampler("s", 3, 5, 2, 1, False)
    for text in ("ab", "abc", "abcde", "abcdef", "    ", "efgh"):
        sampler.offer(None, text)
    sampler.remove("not_selected")
    sampler.reject("no_text")
    assert sampler.rows == 8
    assert dict(sampler.removed) == {
        "too_short": 2, "too_long": 1, "sampled_out": 1, "not_selected": 1,
    }  # fmt: skip
    assert dict(sampler.rejected) == {"no_text": 1}
    assert sampler.used == 2


@given(st.lists(st.integers(0, 200), min_size=1), st.lists(st.integers(0, 200), min_size=1))
def test_no_text_is_on_two_sides(good: list[int], bad: list[int]) -> None:
    good_texts, bad_texts = [f"t{n}" for n in good], [f"t{n}" for n in bad]
    try:
        found = divide(made(good_texts), made(bad_texts, "b"), 0.3, 0, 7)
    except OneClassError:
        assert set(bad_texts) <= set(good_texts)
        return
    texts = [item.text for _, item in found.train + found.validation]
    assert len(texts) == len(set(texts))
    assert set(texts) == set(good_texts) | set(bad_texts)
    labels = {item.text: label for label, item in found.train + found.validation}
    assert all(labels[text] == (text in set(good_texts)) for text in labels)
    assert len(texts) + sum(found.removed.values()) == len(good) + len(bad)


def test_overlap_is_counted_and_the_split_is_by_text() -> None:
    good, bad = [f"g{n}" for n in range(400)], [f"b{n}" for n in range(400)]
    found = divide(made([*good, "g0"]), made([*bad, "g1", "b3"]), 0.25, 1, 1)
    assert found.removed == {"also_positive": 1, "duplicate": 2}
    assert 0.19 < len(found.validation) / 800 < 0.31
    more = divide(made([*good, "another"]), made(bad[:200]), 0.25, 1, 1)
    held = {item.text for _, item in found.validation}
    assert {item.text for _, item in more.validation} - {"another"} <= held


def test_too_little_is_refused_with_the_numbers() -> None:
    with pytest.raises(OneClassError, match="no negative texts"):
        divide(made(["a"]), made(["a"]), 0.1, 1, 1)
    with pytest.raises(TooFewLabelsError, match=r"min_examples is 30"):
        divide(made([f"a{n}" for n in range(90)]), made(["b"]), 0.1, 30, 1)
