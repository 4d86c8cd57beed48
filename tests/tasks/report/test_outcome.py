"""What the guide opens with, from evaluations and trainings that are written down here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pyarrow as pa

from tasks.panels.panels import Curve, Samples, StageView, Table
from tasks.report.funnel import Step
from tasks.report.outcome import Price, models, panels, tiles

SCORES = [
    {"model": model, "metric": metric, "value": value, "low": low, "high": high, "n": 9}
    for model, metric, value, low, high in [
        ("base", "bits_per_byte", 1.3, 1.2, 1.4),
        ("base", "quiz/acc", 0.5, 0.4, 0.6),
        ("base", "toxic_words", 0.0, 0.0, 0.1),
        ("base", "chosen_logprob", -5.0, -5.1, -4.9),
        ("sft", "bits_per_byte", 1.4, 1.3, 1.5),
        ("sft", "bits_per_byte_change", 0.1, 0.0, 0.2),
        ("xz -9e", "bits_per_byte", 2.0, None, None),
    ]
]
SAMPLES = [
    {"model": "base", "prompt": "Return the", "completion": "value"},
    {"model": "base", "prompt": "Why?", "completion": "Why? Why?"},
    {"model": "base", "prompt": "How?", "completion": "How?"},
    {"model": "sft", "prompt": "Why?", "completion": "So."},
    {"model": "sft", "prompt": "How?", "completion": "Thus."},
]
TRAINED = {"parameters": 1_312_384, "tokens": 4_472_832, "device": "cpu", "threads": 2}


class Made:
    """An artifact as far as the outcome looks at it."""

    def __init__(
        self,
        seconds: float,
        facts: Mapping[str, Any],
        outputs: Mapping[str, Sequence[Mapping[str, Any]]] = {},
        tokens: int = 0,
    ) -> None:
        self.facts, self._outputs = facts, outputs
        self.manifest = SimpleNamespace(
            outputs=dict.fromkeys(outputs),
            timings=SimpleNamespace(seconds=seconds),
            totals=SimpleNamespace(unit="token" if tokens else "row", kept=tokens),
        )

    def data(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(table=lambda: pa.Table.from_pylist(self._outputs[name]))


EVALUATED = Made(
    60.0, {"tasks": {"quiz": {"chance": 0.25}}}, {"scores": SCORES, "samples": SAMPLES}
)
PRETRAINED = Made(3540.0, {"training": TRAINED})


def test_scores_with_intervals_in_words_and_one_question_to_all() -> None:
    loss = Curve("Loss", "step", "nats a token", {"train": [(1, 8.3), (2, 4.0)]})
    view = StageView("Reads.", Table("Config", [], []), [Curve("Other", "x", "y", {}), loss])
    scores, answers, curve = panels({"evaluate": EVALUATED}, {"pretrain": view})  # type: ignore[dict-item]
    told = models({"evaluate": EVALUATED}, {"pretrain": view})  # type: ignore[dict-item]
    assert told == [("base", "Reads.")]
    assert isinstance(scores, Table)
    assert list(scores.columns) == ["measure", "base", "sft", "xz -9e", "what it says"]
    first, second = scores.rows
    assert list(first[:4]) == [
        "bits per byte", "1.300 [1.200, 1.400]", "1.400 [1.300, 1.500]", "2.000",
    ]  # fmt: skip
    assert list(second[:4]) == ["quiz/acc", "0.500 [0.400, 0.600]", None, None]
    assert str(second[4]).endswith("guessing gives 0.25.")
    assert isinstance(answers, Samples)
    assert answers.title == "Asked: Why?", "the first question that both answered"
    assert [(item.heading, item.text) for item in answers.items] == [
        ("base", "Why? Why?"), ("sft", "So."),
    ]  # fmt: skip
    assert isinstance(curve, Curve)
    assert curve.series == loss.series


def test_minutes_and_what_they_cost() -> None:
    steps = [Step("source", 100, None, 90, {"kind": 10}, {}), Step("dedup", 90, 90, 80, {}, {})]
    artifacts = {"pretrain": PRETRAINED, "evaluate": EVALUATED}
    free = tiles(artifacts, steps, Price(0.0, "USD"))  # type: ignore[arg-type]
    assert free[:3] == [
        ("1,312,384", "parameters"),
        ("4,472,832", "tokens learned from"),
        ("80", "documents, of 100 records"),
    ]
    assert free[3][0] == "1 h 00 min"
    assert "2 threads" in free[3][1]
    paid = tiles(artifacts, steps, Price(2.5, "EUR"))  # type: ignore[arg-type]
    assert paid == [*free, ("2.50 EUR", "at 2.5 EUR an hour")]


def test_data_alone_has_no_models_to_tell_of() -> None:
    packed = Made(5.0, {}, tokens=1234)
    assert panels({"pack": packed}, {}) == []  # type: ignore[dict-item]
    assert tiles({"pack": packed}, [], Price(0.0, "USD"))[0] == ("1,234", "tokens")  # type: ignore[dict-item]
