"""What a change is to do to bits per byte, by experiments of known results."""

from __future__ import annotations

from typing import Any

import pytest

from llm.evaluation.bootstrap import Estimate
from tasks.findings.record import Measured
from tasks.what_if.answer import expected_in_words
from tasks.what_if.expected import expected


def rules(minimum: float, *more: str) -> dict[str, Any]:
    listed = [{"column": "word_count", "minimum": minimum, "name": ""}]
    return {"rules": listed + [{"column": name, "maximum": 1.0, "name": ""} for name in more]}


def tried(name: str, after: Any, value: float, before: Any = None, **other: Any) -> Measured:
    base = {"filter": before or rules(20, "x"), "pretrain": {"layers": 2}}
    change = Estimate(value, value - 0.01, value + 0.01, 50)
    return Measured("trial", name, base, {**base, "filter": after, **other}, change, "better")


KNOWN = [
    tried("forty", rules(40, "x"), -0.04),
    tried("without x", rules(20), 0.02),
    tried("wide", rules(30, "x"), -0.9, pretrain={"layers": 4}),
    tried("elsewhere", rules(30, "x"), -0.7, before=rules(10, "x")),
    tried("both", rules(30), -0.5),
]
NOW = rules(20, "x")


def test_a_variant_of_this_very_change_says_it() -> None:
    found = expected("filter", NOW, rules(40.0, "x"), KNOWN)
    assert found is not None
    assert found.change == KNOWN[0].change
    assert found.between == ()
    said = expected_in_words(found)
    assert said == "bits per byte -0.04 [-0.05, -0.03], as measured (trial: forty)"
    without = expected("filter", NOW, rules(20), KNOWN)
    assert without is not None
    assert without.sources == ("trial: without x",)
    assert expected("filter", NOW, rules(30), KNOWN) is not None


def test_between_two_values_the_line_says_it() -> None:
    found = expected("filter", NOW, rules(25, "x"), KNOWN)
    assert found is not None
    assert found.between == (20, 40)
    assert found.change.value == pytest.approx(-0.01)
    assert (found.change.low, found.change.high) == (pytest.approx(-0.0125), pytest.approx(-0.0075))
    assert "on the line between 20 and 40 (trial: forty)" in expected_in_words(found)
    more = [*KNOWN, tried("thirty", rules(30, "x"), -0.06)]
    nearer = expected("filter", NOW, rules(35, "x"), more)
    assert nearer is not None
    assert nearer.between == (30, 40)
    assert nearer.change.value == pytest.approx(-0.05)


@pytest.mark.parametrize(
    "after", [rules(50, "x"), rules(10, "x"), rules(25), rules(20, "x", "y"), rules(20, "y")]
)
def test_what_nobody_measured_is_not_made_up(after: dict[str, Any]) -> None:
    assert expected("filter", NOW, after, KNOWN) is None
    assert "no experiment has measured" in expected_in_words(None)
