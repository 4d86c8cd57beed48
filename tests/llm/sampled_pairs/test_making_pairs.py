"""Pairs of a tiny model's own answers: which are set against each other, and which prompts give
none."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from llm.alignment import reward_model
from llm.alignment.examples.tables import INSTRUCTIONS
from llm.alignment.reward_model import RewardModel
from llm.alignment.rewards.weighted import NonFiniteRewardError
from llm.evaluation.judge.asking import TooManyCallsError
from llm.model.config_file import TokenizerMismatchError
from llm.model.folder import load
from llm.process.run_file import from_record
from llm.sampled_pairs.choosing import best_and_worst
from llm.sampled_pairs.drawing import Drawing, Sampled, sampled, seed_of
from llm.sampled_pairs.making import NoPairsError, make
from llm.sampled_pairs.run_file import Run, draw_digest
from llm.tokens.chat import ChatEncoder
from tests.llm.alignment.test_launched import ignore, launched
from tests.llm.alignment.tiny_run import Listener, reward_part
from tests.llm.evaluation.judge.stand_in_judge import KEY, Asked, running_judge
from tests.llm.sampled_pairs.answering import (
    PROMPTS,
    answering_model,
    judge_part,
    questions,
    record,
)


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("given")
    return answering_model(folder), questions(folder / "asked.parquet")


def made(
    folder: Path, given: tuple[Path, Path], key: str = "", **changes: Any
) -> dict[str, list[dict[str, Any]]]:
    """The tables of a run, by name."""
    run = from_record(Run, record(folder, *given, **changes), "test")
    make(run, key, Listener())  # type: ignore[arg-type]
    return {
        path.stem: pq.read_table(path).to_pylist()
        for path in (folder / "results").glob("*.parquet")
    }


def test_the_best_stands_against_the_worst(tmp_path: Path, given: tuple[Path, Path]) -> None:
    tables = made(tmp_path, given)
    pairs = tables["preferences"]
    assert len(pairs) > PROMPTS / 3
    for pair in pairs:
        assert "please" in pair["chosen"][0]["content"]
        assert "please" not in pair["rejected"][0]["content"]
        number = int(pair["prompt"][0]["content"].removeprefix("Ask ").rstrip("."))
        assert pair["parent_doc_ids"] == [f"page {number}"]
        assert pair["split"] == ("train" if number % 4 else "validation")
        assert pair["source"] == "pairs"
    # Each prompt gave a pair or is told with a reason; all of its answers are there to be read.
    counts = json.loads((tmp_path / "results" / "counts.json").read_text())
    assert len(pairs) + sum(counts["rejected"].values()) == PROMPTS
    assert counts["removed"] == {}
    assert Counter(row["reason"] for row in tables["rejected"]) == counts["rejected"]
    samples = tables["samples"]
    assert len(samples) == 6 * PROMPTS
    roles = Counter(row["role"] for row in samples)
    assert roles["chosen"] == roles["rejected"] == len(pairs)
    for row in samples:
        assert row["reward"] == ("please" in row["answer"])
        assert row["parts"] == [{"name": "pattern", "value": row["reward"]}]


def test_answers_are_a_function_of_seed_and_prompt(given: tuple[Path, Path]) -> None:
    model, chat = load(given[0]).eval(), ChatEncoder(given[0])
    prompts = [
        {
            "doc_id": str(number),
            "prompt": "",
            "expected": "",
            "prompt_tokens": chat.prompt([{"role": "user", "content": f"Ask {number}."}]),
        }
        for number in (3, 5, 3)
    ]
    prompts[2]["doc_id"] = "again"

    def answers(rows: list[dict[str, Any]], seed: int, place: Path) -> dict[str, list[str]]:
        how = Drawing(samples=8, new_tokens=12, temperature=1.0, top_p=1.0, seed=seed)
        found: dict[str, list[str]] = {}
        for unit in sampled(model, chat, rows, how, None, place, lambda done: None):
            for one in unit:
                found.setdefault(one.doc_id, []).append(one.answer)
        return found

    folder = given[0].parent / "units"
    together = answers(prompts, 0, folder / "a")
    assert together["3"] == together["again"] == answers(prompts[:1], 0, folder / "b")["3"]
    assert together["3"] != together["5"]
    assert len(set(together["3"])) > 1
    assert answers(prompts, 1, folder / "c") != together
    assert seed_of(0, [1, 2]) != seed_of(0, [2, 1])


def answer(text: str, reward: float, finished: bool = True) -> Sampled:
    return Sampled("a", 0, text, 3, finished, reward, [])


@pytest.mark.parametrize(
    ("answers", "grades", "gap", "expected"),
    [
        ([("a", 1), ("b", 3), ("c", 2)], None, 0.0, (1, 0)),
        # Of equal ones the first.
        ([("a", 1), ("b", 3), ("c", 3), ("d", 1)], None, 0.0, (1, 0)),
        ([("a", 1), ("b", 1)], None, 0.0, "tie"),
        ([("a", 1), ("b", 1.2)], None, 0.5, "tie"),
        ([("a", 1), ("b", 1.5)], None, 0.5, (1, 0)),
        ([("a", 1), (" a\n", 2)], None, 0.0, "tie"),
        # Cut off, or blank: neither can be learned from.
        ([("a", 1), ("b", 9, False), ("c", 2)], None, 0.0, (2, 0)),
        ([("a", 1), (" ", 9)], None, 0.0, "unfinished"),
        ([("a", 1), ("b", 1), ("c", 1)], {0: 0.0, 1: 1.0, 2: 0.5}, 0.0, (1, 0)),
        ([("a", 9), ("b", 1), ("c", 2)], {1: 0.0, 2: 0.0}, 0.0, (2, 1)),
        ([("a", 9), ("b", 1)], {1: 0.0}, 0.0, "no_verdict"),
    ],
)
def test_which_answers_make_a_pair(
    answers: list[Any], grades: Any, gap: float, expected: Any
) -> None:
    found = best_and_worst([answer(*one) for one in answers], grades, gap)
    if isinstance(expected, str):
        assert (found.best, found.worst, found.reason) == (None, None, expected)
    else:
        assert (found.best, found.worst, found.reason) == (*expected, "")


def test_prompts_that_are_left_out(tmp_path: Path, given: tuple[Path, Path]) -> None:
    rows = pq.read_table(given[1]).to_pylist()
    twice = {**rows[3], "doc_id": "f" * 32}
    long = {**rows[5], "doc_id": "e" * 32, "messages": [dict(one) for one in rows[5]["messages"]]}
    long["messages"][0]["content"] = "Ask again. " * 60
    path = tmp_path / "asked.parquet"
    pq.write_table(pa.Table.from_pylist([*rows, twice, long], schema=INSTRUCTIONS), path)
    tables = made(tmp_path, (given[0], path), max_prompts=10)
    reasons = Counter(row["reason"] for row in tables["removed"])
    assert reasons == {"repeated_prompt": 1, "prompt_too_long": 1, "cap": PROMPTS - 10}
    assert len(tables["preferences"]) + len(tables["rejected"]) == 10
    ids = [row["doc_id"] for name in ("removed", "rejected") for row in tables[name]]
    assert len(set(ids)) == len(ids)


def test_where_no_answer_is_better_there_is_no_pair(
    tmp_path: Path, given: tuple[Path, Path]
) -> None:
    parts = [reward_part("pattern", expression=".*")]
    with pytest.raises(NoPairsError, match=r"gave a pair: rejected .*'tie'"):
        made(tmp_path, given, rewards=parts)
    assert not (tmp_path / "results").exists()


def shorter_is_better(asked: Asked) -> str:
    return asked.says("9" if len(asked.answers[0]) < 11 else "2")


def test_a_judge_ranks_by_grades_and_is_asked_once(
    tmp_path: Path, given: tuple[Path, Path]
) -> None:
    with running_judge(shorter_is_better) as server:
        told = judge_part(weight=1.0, base_url=server.address)
        tables = made(tmp_path, given, KEY, rewards=[], judge=told)
        calls = len(server.calls)
        distinct = {
            (row["doc_id"], row["answer"])
            for row in tables["samples"]
            if row["finished"] and row["answer"].strip()
        }
        assert calls == len(distinct)
        for pair in tables["preferences"]:
            assert len(pair["chosen"][0]["content"]) < 11 <= len(pair["rejected"][0]["content"])
        grades = {row["parts"][0]["value"] for row in tables["samples"] if row["parts"]}
        assert grades <= {8 / 9, 1 / 9}
        assert made(tmp_path, given, KEY, rewards=[], judge=told) == tables
        assert len(server.calls) == calls
        told["max_calls"] = 3
        with pytest.raises(TooManyCallsError, match=r"max_calls is 3; .* lower samples"):
            made(tmp_path / "new", given, KEY, rewards=[], judge=told)


def reward_folder(folder: Path, model: Path, **changes: float) -> Path:
    found = RewardModel(load(model), 1)
    with torch.no_grad():
        found.score.weight.mul_(changes.get("times", 1.0))
    reward_model.save(found, folder, model)
    return folder


def test_a_reward_model_that_is_broken_or_anothers(
    tmp_path: Path, given: tuple[Path, Path]
) -> None:
    parts = [reward_part("model", name="preferred")]
    sound = reward_folder(tmp_path / "sound", given[0])
    tables = made(tmp_path / "one", given, rewards=parts, reward_model=str(sound))
    for pair in tables["preferences"]:
        assert pair["chosen"] != pair["rejected"]
    broken = reward_folder(tmp_path / "broken", given[0], times=float("nan"))
    with pytest.raises(NonFiniteRewardError, match=r"reward 'preferred' is nan for an answer to"):
        made(tmp_path / "two", given, rewards=parts, reward_model=str(broken))
    config = json.loads((sound / "config.json").read_text())
    (sound / "config.json").write_text(json.dumps(config | {"tokenizer_sha256": "0" * 64}))
    with pytest.raises(TokenizerMismatchError):
        made(tmp_path / "three", given, rewards=parts, reward_model=str(sound))


def test_what_is_drawn_serves_other_ways_to_choose(given: tuple[Path, Path]) -> None:
    place = given[0].parent
    one = from_record(Run, record(place, *given), "test")
    for changes, same in (
        ({"min_gap": 0.5, "threads": 2, "max_prompts": 3}, True),
        ({"judge": judge_part(weight=1.0)}, True),
        ({"seed": 1}, False),
        ({"temperature": 0.5}, False),
        ({"rewards": [reward_part("exact")]}, False),
    ):
        other = from_record(Run, record(place, *given, **changes), "test")
        assert (draw_digest(one) == draw_digest(other)) is same, changes


@pytest.mark.long
def test_killed_it_goes_on_behind_the_last_unit(tmp_path: Path, given: tuple[Path, Path]) -> None:
    path = questions(tmp_path / "asked.parquet", 80)

    def started(name: str) -> dict[str, Any]:
        return record(tmp_path / name, given[0], path, samples=8)

    def kill(event: dict[str, Any], process: Any) -> None:
        while len(list((tmp_path / "cut" / "scratch").glob("units-*/*.json"))) < 2:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)

    module = "llm.sampled_pairs"
    code, _ = launched(started("whole"), tmp_path / "whole", ignore, module)
    assert code == 0
    code, _ = launched(started("cut"), tmp_path / "cut", kill, module)
    assert code == -signal.SIGKILL
    kept = {p: p.stat().st_mtime_ns for p in (tmp_path / "cut" / "scratch").rglob("*.json")}
    assert 2 <= len(kept) < 5
    code, _ = launched(started("cut"), tmp_path / "cut", ignore, module)
    assert code == 0
    assert all(path.stat().st_mtime_ns == when for path, when in kept.items())
    for table in (tmp_path / "whole" / "results").iterdir():
        assert table.read_bytes() == (tmp_path / "cut" / "results" / table.name).read_bytes()
