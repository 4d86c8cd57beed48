"""How a text is written, counted, and weighed together with a classifier's score."""

from __future__ import annotations

import numpy as np
import pytest

from llm.corpus.quality.blend import FEATURES, columns, fit
from llm.corpus.quality.style import STYLE, style


def shares(text: str) -> dict[str, float]:
    (found,) = style([text])
    return dict(zip(STYLE, found.tolist(), strict=True))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ab, 12! x:y;", {"upper_case": 1, "digit": 2, "clause": 2, "exclamation": 1,
                          "separator": 1}),
        ("Чисто, Ясно！", {"upper_case": 2, "clause": 1, "exclamation": 1}),
        ("今天、明天。٣", {"clause": 1, "digit": 1}),
        ("\U0001f600 \ud800", {}),
        ("", {}),
    ],
)  # fmt: skip
def test_kinds_of_characters(text: str, expected: dict[str, int]) -> None:
    found = shares(text)
    del found["distinct_word_fraction"]
    wanted = {name: expected.get(name.removesuffix("_fraction"), 0) for name in found}
    assert found == pytest.approx({k: v / max(len(text), 1) for k, v in wanted.items()})


def test_words_that_come_back() -> None:
    assert shares("one two, Two three")["distinct_word_fraction"] == 0.75
    assert shares("...")["distinct_word_fraction"] == 1.0
    many = " ".join(f"w{number}" for number in range(200))
    assert shares(f"{many} w1 w1 w1")["distinct_word_fraction"] == 1.0  # beyond the beginning


def test_what_tells_the_classes_is_weighed() -> None:
    draw = np.random.default_rng(0)
    texts = [
        " ".join(
            draw.choice(["Home", "Shop!", "Cart", "Sale!"] if bad else ["we", "saw", "it"], 40)
        )
        for bad in (False, True) * 60
    ]
    labels = [False, True] * 60
    chance = draw.random(len(texts)).tolist()
    made = columns(chance, texts)
    assert made.shape == (120, 1 + len(FEATURES))
    blend = fit(made, labels)
    scores = np.array(blend.score(chance, texts))
    assert scores[1::2].min() > scores[::2].max()
    weights = dict(zip(["score", *FEATURES], blend.weights, strict=True))
    assert weights["exclamation_fraction"] > 10 * abs(weights["score"])
    assert weights["upper_case_fraction"] > 10 * abs(weights["score"])
    # A text's score is its own, whatever stands beside it.
    assert blend.score(chance[:3], texts[:3]) == scores[:3].tolist()
