"""Rewards on answers whose worth is plain, and the sum of several."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from llm.alignment import reward_model
from llm.alignment.reward_model import RewardModel
from llm.alignment.rewards import verifiable
from llm.alignment.rewards.code import code
from llm.alignment.rewards.model import model
from llm.alignment.rewards.rollout import Reward, RewardSettingError, Rollout
from llm.alignment.rewards.rules import PartSettings
from llm.alignment.rewards.weighted import (
    NonFiniteRewardError,
    Part,
    WeightedReward,
    weighted_reward,
)
from llm.model.config_file import TokenizerMismatchError
from llm.model.folder import load
from llm.process.confined import ConfinementError, run_confined
from tests.llm.alignment.tiny_run import model_folder, quiet

CPU = torch.device("cpu")
PLAIN = PartSettings("exact", "right", 1.0, "", "", 0, 0, 1.0, 256)


def said(answer: str, expected: str = "", tokens: int = 5, finished: bool = True) -> Rollout:
    return Rollout("a question", answer, expected, tokens, finished, (1, 2, 3))


def given(reward: Reward, answer: str, expected: str = "", **how: int) -> float:
    (found,) = reward([said(answer, expected, **how)])
    return found


@pytest.mark.parametrize(
    ("reward", "expected", "right", "wrong"),
    [
        (verifiable.exact(), "four", [" four\n"], ["Four", "four.", ""]),
        (
            verifiable.number(),
            "2 + 2 is 4\n#### 4",
            ["so #### 4", "#### 4.0", "#### $4 each"],
            ["4", "#### 5", "####", "#### 3\n#### 14"],
        ),
        (verifiable.letter(), "B", ["B. because", "The answer is (B)"], ["A", "b", ""]),
        (verifiable.pattern(r"\bcats?\b"), "", ["a cat", "cats!"], ["concatenate", "Cat"]),
        (verifiable.form(r"<a>.*</a>"), "", ["<a>x\ny</a>\n"], ["<a>x</a> and", "a"]),
        (
            verifiable.json_schema(
                '{"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}'
            ),
            "",
            ['{"n": 3}', 'Here:\n```json\n{"n": 3}\n```\nDone.'],
            ['{"n": "3"}', "{n: 3}", "[]", "[" * 100_000],
        ),
    ],
    ids=["exact", "number", "letter", "pattern", "form", "json_schema"],
)
def test_right_and_wrong(reward: Reward, expected: str, right: list[str], wrong: list[str]) -> None:
    assert [given(reward, answer, expected) for answer in right] == [1.0] * len(right)
    assert [given(reward, answer, expected) for answer in wrong] == [0.0] * len(wrong)


def test_an_answer_that_was_cut_off_has_no_form() -> None:
    reward = verifiable.form(".*")
    assert [given(reward, "x", finished=finished) for finished in (True, False)] == [1.0, 0.0]


def test_length_falls_off_on_both_sides() -> None:
    reward = verifiable.length(4, 10)
    found = {tokens: given(reward, "x", tokens=tokens) for tokens in (0, 1, 4, 10, 15, 20, 99)}
    assert found == {0: 0.0, 1: 0.25, 4: 1.0, 10: 1.0, 15: 0.5, 20: 0.0, 99: 0.0}


def test_programs_are_judged_by_their_checks(tmp_path: Path) -> None:
    try:
        run_confined("", 5.0, 256 << 20)
    except ConfinementError as lacking:
        pytest.skip(str(lacking))
    checks = "assert double(4) == 8\nassert double(-1) == -2"
    reward = code(2.0, 256 << 20)
    answers = {
        "def double(x):\n    return 2 * x": 1.0,
        "Like this:\n```python\ndef double(x):\n    return x + x\n```\nThat is all.": 1.0,
        "def double(x):\n    return x * x": 0.0,
        "import os\nos._exit(0)": 0.0,
        "import os\nos.fork()\ndef double(x): return 2 * x": 0.0,
        f"open({str(tmp_path / 'here')!r}, 'w')\ndef double(x): return 2 * x": 0.0,
        "import time\ntime.sleep(9)\ndef double(x): return 2 * x": 0.0,
        "  ": 0.0,
    }
    assert {answer: given(reward, answer, checks) for answer in answers} == answers
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "pattern", "expression": "("}, r"'right': '\(' is no regular expression"),
        ({"kind": "json_schema", "structure": "{"}, "the JSON schema is no JSON"),
        (
            {"kind": "json_schema", "structure": '{"type": "whole"}'},
            "no JSON schema: 'whole' is not",
        ),
        ({"kind": "length", "minimum": 5, "maximum": 4}, "at least 5 and at most 4 tokens"),
        ({"kind": "model"}, "there is no reward model"),
    ],
)
def test_settings_that_mean_nothing(change: dict[str, object], message: str) -> None:
    part = PartSettings(**{**vars(PLAIN), **change})
    with pytest.raises(RewardSettingError, match=message):
        weighted_reward([part], Path(), None, CPU, 512)


def test_names_are_their_own() -> None:
    with pytest.raises(RewardSettingError, match="named right, right; give one at least"):
        weighted_reward([PLAIN, PLAIN], Path(), None, CPU, 512)


def test_parts_are_told_before_their_weights() -> None:
    short = PartSettings(
        **{**vars(PLAIN), "kind": "length", "name": "short", "weight": 0.5} | {"maximum": 5}
    )
    reward = weighted_reward([PLAIN, short], Path(), None, CPU, 512)
    found = reward.parts([said("yes", "yes"), said("no", "yes", tokens=10)])
    assert found.tolist() == [[1.0, 1.0], [0.0, 0.0]]
    assert reward.names == ["right", "short"]
    assert (found @ reward.weights).tolist() == [1.5, 0.0]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_reward_that_is_no_number(value: float) -> None:
    parts = [Part("fine", 1.0, lambda r: [1.0] * len(r)), Part("odd", 1.0, lambda r: [0.0, value])]
    with pytest.raises(NonFiniteRewardError, match=r"'odd' is (nan|inf) for an answer to 'a quest"):
        WeightedReward(parts).parts([said("x"), said("y")])


def test_a_reward_model_judges_the_conversation(tmp_path: Path) -> None:
    policy = model_folder(tmp_path)
    made = RewardModel(load(policy), 5)
    reward_model.save(made, tmp_path / "reward", policy)
    rows = [(5, 6, 7), (8, 9), (10, *range(20, 220))]  # the last is longer than the context
    rollouts = [Rollout("", "", "", 1, True, row) for row in rows]
    found = model(tmp_path / "reward", policy, CPU, 512)(rollouts)
    hidden = made.transformer.hidden
    expected = reward_model.score(made, hidden, [row[-128:] for row in rows], 512, quiet)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    text = (policy / "tokenizer.json").read_text()
    (policy / "tokenizer.json").write_text(text + " ")
    with pytest.raises(TokenizerMismatchError, match="its ids would mean other tokens"):
        model(tmp_path / "reward", policy, CPU, 512)
