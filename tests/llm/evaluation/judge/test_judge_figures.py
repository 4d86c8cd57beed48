"""Win rates at equal length, agreement, verdicts and files: known answers."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize

from llm.evaluation.judge.agreement import agreement
from llm.evaluation.judge.endpoint import retry_after
from llm.evaluation.judge.files import JudgedFileError, read_answers, read_pairs
from llm.evaluation.judge.outcomes import outcome
from llm.evaluation.judge.verdict import MalformedVerdictError, verdict
from llm.evaluation.judge.win_rate import length_controlled, win_rate


def test_length_controlled_rate_is_the_optimum_of_its_likelihood() -> None:
    random = np.random.default_rng(1)
    longer = random.normal(80, 200, 300)
    wins = random.choice([0.0, 0.5, 1.0], 300, p=[0.3, 0.2, 0.5])
    x = np.tanh(longer / longer.std())

    def loss(parameters: np.ndarray) -> float:
        z = parameters[0] + parameters[1] * x
        return float((np.logaddexp(0, z) - wins * z).sum() + parameters[1] ** 2 / 200)

    best = minimize(loss, np.zeros(2), tol=1e-12).x[0]
    found = length_controlled(wins, longer, 200, 0)
    assert found.value == pytest.approx(1 / (1 + np.exp(-best)), abs=1e-6)
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.value < found.high


def test_what_length_alone_wins_is_none_at_equal_length() -> None:
    """Two models as good as each other, of which one writes longer, before a judge who likes that.

    How much longer, and whether it wins, is drawn from the very model that is fitted.
    """
    random = np.random.default_rng(0)
    longer = random.normal(200, 200, 4000)
    chance = 1 / (1 + np.exp(-2 * np.tanh(longer / longer.std())))
    wins = (random.random(4000) < chance).astype(float)
    assert win_rate(wins, 100, 0).value > 0.7
    found = length_controlled(wins, longer, 100, 0)
    assert found.value == pytest.approx(0.5, abs=0.04)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.5 < found.high


@pytest.mark.parametrize("wins", [[1.0, 0.5, 0.0, 1.0], [1.0, 1.0, 1.0], [0.0, 0.0]])
def test_at_equal_length_both_rates_are_one(wins: list[float]) -> None:
    array = np.array(wins)
    same = np.full(len(wins), 7.0) * 0
    assert length_controlled(array, same, 100, 0).value == pytest.approx(array.mean())


def test_rate_of_one_pair() -> None:
    assert length_controlled(np.array([1.0]), np.array([30.0]), 100, 0).value == 1.0


def test_kappa_against_a_table_worked_by_hand() -> None:
    """The textbook table of 50 proposals: 20 both yes, 15 both no, 5 and 10 apart: kappa 0.4."""
    judged = ["1"] * 20 + ["1"] * 5 + ["2"] * 10 + ["2"] * 15
    people = ["1"] * 20 + ["2"] * 5 + ["1"] * 10 + ["2"] * 15
    found = agreement(judged, people, 500, 0)
    assert found["agreement"].value == pytest.approx(0.7)
    assert found["kappa"].value == pytest.approx(0.4)
    assert found["kappa"].low is not None
    assert found["kappa"].low < 0.4


def test_kappa_is_missing_where_chance_agrees_too() -> None:
    assert set(agreement(["1", "1"], ["1", "1"], 100, 0)) == {"agreement"}


@pytest.mark.parametrize(
    ("forward", "backward", "wanted"),
    [
        ("1", "2", 1.0),
        ("2", "1", 0.0),
        ("tie", "tie", 0.5),
        ("1", "1", 0.5),
        ("2", "2", 0.5),
        ("1", "tie", 0.5),
        ("tie", "1", 0.5),
    ],
)
def test_outcome_of_both_orders(forward: str, backward: str, wanted: float) -> None:
    assert outcome(forward, backward) == wanted


@pytest.mark.parametrize(
    ("reply", "wanted"),
    [
        ("VERDICT ab12 1", "1"),
        ("Why.\n\n**VERDICT ab12: 2**\n", "2"),
        ("verdict [ab12] (TIE).", "tie"),
        ("The answer says VERDICT 1.\nVERDICT ffff 1\nVERDICT ab12 2", "2"),
    ],
)
def test_verdicts_that_are_one(reply: str, wanted: str) -> None:
    assert verdict(reply, "ab12", ("1", "2", "tie")) == wanted


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("", "empty"),
        (" \n** \n", "empty"),
        ("VERDICT 1", "no_verdict"),
        ("VERDICT ab12 1\nThat is all.", "no_verdict"),
        ("VERDICT ab12 1\nVERDICT ab12 2", "contradictory"),
        ("VERDICT ab12 3", "unknown_verdict"),
        ("VERDICT ab12 1|2|tie", "no_verdict"),
    ],
)
def test_verdicts_that_are_none(reply: str, reason: str) -> None:
    with pytest.raises(MalformedVerdictError) as raised:
        verdict(reply, "ab12", ("1", "2", "tie"))
    assert raised.value.reason == reason


def test_retry_after() -> None:
    assert retry_after("7") == 7.0
    assert retry_after("") is None
    assert retry_after("soon") is None
    assert retry_after("-3") == 0.0
    assert retry_after("nan") is None
    moment = datetime.now(UTC) + timedelta(seconds=30)
    assert retry_after(format_datetime(moment, usegmt=True)) == pytest.approx(30, abs=2)


def rows(path: Path, *records: object) -> Path:
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records))
    return path


def test_files_of_answers_and_pairs(tmp_path: Path) -> None:
    (answer,) = read_answers(rows(tmp_path / "a.jsonl", {"prompt": "p", "answer": ""}), "a.jsonl")
    assert (answer.prompt, answer.text) == ("p", "")
    pair = {"prompt": "p", "answer_1": "a", "answer_2": "b"}
    first, second, third = read_pairs(
        rows(
            tmp_path / "p.jsonl",
            pair | {"label": 1},
            pair | {"label": "TIE", "model_1": "x", "model_2": "y"},
            pair,
        ),
        "p.jsonl",
    )
    assert (first.label, first.source, first.item) == ("1", "p.jsonl", "p.jsonl:1")
    assert (second.label, second.model, second.against) == ("tie", "x", "y")
    assert (third.label, third.source) == ("", "")


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"prompt": "p", "answer_1": "a"}, r"p\.jsonl:2: answer_2 is missing"),
        ({"prompt": 3, "answer_1": "a", "answer_2": "b"}, "prompt is 3; it is a text"),
        ({"prompt": "p", "answer_1": "a", "answer_2": "b", "label": "A"}, "label is 'A'; it is 1"),
        (
            {"prompt": "p", "answer_1": "a", "answer_2": "b", "label": True},
            "label is True; it is 1, 2",
        ),
        (
            {"prompt": "p", "answer_1": "a", "answer_2": "b", "model_1": "x"},
            "model_1 and model_2 are two names, or not there",
        ),
    ],
)
def test_rows_that_are_no_pair(tmp_path: Path, record: object, message: str) -> None:
    good = {"prompt": "p", "answer_1": "a", "answer_2": "b"}
    with pytest.raises(JudgedFileError, match=message):
        read_pairs(rows(tmp_path / "p.jsonl", good, record), "p.jsonl")


def test_files_of_answers_that_are_none(tmp_path: Path) -> None:
    twice = rows(tmp_path / "a.jsonl", *[{"prompt": "p", "answer": "x"}] * 2)
    with pytest.raises(JudgedFileError, match=r"a\.jsonl:2: prompt 'p' stands in the file twice"):
        read_answers(twice, "a.jsonl")
