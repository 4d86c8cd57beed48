"""judge through the engine: models that answer, files, the plan, kills, and a key in no file."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from llm.evaluation.items import direction, read_measures
from tasks.engine.config import StageConfig
from tasks.engine.errors import ExternalInputError, TrainerError
from tasks.engine.run.build import build
from tasks.engine.run.chain import chain
from tasks.engine.run.execute import BuildResult
from tasks.engine.run.plan import Planner, Selection
from tasks.engine.stage.stage import registry
from tasks.engine.store.store import Store
from tasks.panels.panels import Table
from tasks.stages import judge
from tasks.stages.judge import JudgeConfig, panels
from tests.llm.evaluation.judge.stand_in_judge import (
    KEY,
    MODEL,
    Asked,
    StandInJudge,
    running_judge,
)
from tests.tasks import stand_in_models
from tests.tasks.stand_in_models import StandInConfig

VARIABLE = "INGOT_TEST_JUDGE_KEY"
STAGES = registry(
    stage
    for stage in (*stand_in_models.STAGES.values(), judge.STAGE)
    if stage.name not in ("evaluate", "export")
)
MODELS = {
    "pretrain": StandInConfig(),
    "examples": StandInConfig(),
    "sft": StandInConfig(seed=1),
}


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, KEY)


def first_is_longer(asked: Asked) -> str:
    """Prefers the longer answer; people's choice has no part in it."""
    lengths = [len(text) for text in asked.answers]
    if len(lengths) == 1:
        return asked.says("7")
    return asked.says(
        "tie" if lengths[0] == lengths[1] else "1" if lengths[0] > lengths[1] else "2"
    )


def settings(server: StandInJudge, **changes: Any) -> JudgeConfig:
    return JudgeConfig(
        **{
            "model": MODEL,
            "base_url": server.address,
            "key_variable": VARIABLE,
            "criteria": ["helpfulness"],
            "max_prompts": 3,
            "new_tokens": 4,
            "resamples": 100,
            "threads": 1,
            "device": "cpu",
            "first_wait": 0.01,
            "tries": 2,
            **changes,
        }
    )


def planner(home: Path, configs: dict[str, StageConfig], force: bool = False) -> Planner:
    wired = chain(STAGES, configs)
    selection = Selection(force=("judge",) if force else ())
    return Planner(wired, configs, "test", Store(str(home)), selection)


def judged(home: Path, config: JudgeConfig, force: bool = False, **others: Any) -> BuildResult:
    return build(planner(home, {**others, "judge": config}, force))["judge"]


def test_models_are_compared_and_graded(tmp_path: Path) -> None:
    with running_judge(first_is_longer) as server:
        config = settings(server, grade=True, max_preferences=4, price_prompt=2.0, price_reply=8.0)
        done = judged(tmp_path, config, **MODELS)
        calls = len(server.calls)
        again = judged(tmp_path, config, force=True, **MODELS)
        assert len(server.calls) == calls  # a forced run asks nothing either
    artifact = done.artifact
    answers = artifact.data("answers").table().to_pylist()
    assert [row["model"] for row in answers] == ["base"] * 3 + ["sft"] * 3
    assert len({(row["item"], row["prompt"]) for row in answers}) == 3
    facts, totals = artifact.facts, artifact.manifest.totals
    # 3 pairs and 4 labelled ones in both orders, 6 grades.
    assert (facts["asked"], totals.rows_in, totals.kept) == (20, 20, 20)
    assert facts["calls"] == calls <= 20
    assert facts["cost"]["amount"] == pytest.approx((calls * 100 * 2 + calls * 10 * 8) / 1e6)
    scores = {(r["model"], r["metric"]): r for r in artifact.data("scores").table().to_pylist()}
    assert set(scores) >= {
        ("sft", "win_rate/helpfulness"),
        ("sft", "lc_win_rate/helpfulness"),
        ("preferences", "agreement/helpfulness"),
        ("base", "grade/helpfulness"),
    }
    texts = {(row["model"], row["item"]): row["answer"] for row in answers}
    longer = [
        (len(texts["sft", item]) > len(texts["base", item]))
        + (len(texts["sft", item]) == len(texts["base", item])) / 2
        for item in sorted({row["item"] for row in answers})
    ]
    assert scores["sft", "win_rate/helpfulness"]["value"] == pytest.approx(sum(longer) / 3)
    assert scores["base", "grade/helpfulness"]["value"] == 7.0
    measures = read_measures(artifact.data("items").table())
    assert list(measures) == ["base", "sft"]
    grades = measures["sft"]["grade/helpfulness"]
    assert set(grades.ids) == {row["item"] for row in answers}
    assert grades.value == 7.0
    assert direction(grades) == 1
    assert again.artifact.facts["calls"] == 0
    assert again.artifact.facts["cost"]["amount"] == 0
    assert again.artifact.data("verdicts").data_id == artifact.data("verdicts").data_id
    table, spent, *_ = panels(artifact)
    assert isinstance(table, Table)
    assert table.rows[0][:3] == ["win_rate/helpfulness", "sft", "base"]
    assert isinstance(spent, Table)
    assert ["calls of this run", calls] in spent.rows
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in kept if KEY.encode() in path.read_bytes()]


def rows(path: Path, *records: object) -> str:
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records))
    return str(path)


def pair(**changes: Any) -> dict[str, Any]:
    return {"prompt": "Why?", "answer_1": "So.", "answer_2": "I say so.", **changes}


def test_files_alone(tmp_path: Path) -> None:
    pairs = rows(tmp_path / "p.jsonl", pair(label=2), pair(prompt="How?", label=1))
    files = [
        f"{name}={rows(tmp_path / f'{name}.jsonl', {'prompt': 'Q', 'answer': text})}"
        for name, text in (("ours", "long enough"), ("theirs", "short"))
    ]
    with running_judge(first_is_longer) as server:
        config = settings(server, pairs=[pairs], answers=files)
        (row,) = planner(tmp_path / "home", {"judge": config}).plan()
        assert row.reasons[-1] == "at most 6 calls to stand-in, less those known from before"
        found = judged(tmp_path / "home", config).artifact.data("scores").table().to_pylist()
    values = {(row["model"], row["against"], row["metric"]): row["value"] for row in found}
    assert values["theirs", "ours", "win_rate/helpfulness"] == 0
    assert values["p.jsonl", "people", "agreement/helpfulness"] == 0.5


def test_the_plan_says_calls_cost_and_a_key_that_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configs = {**MODELS, "judge": JudgeConfig(model="m", key_variable=VARIABLE, price_reply=10.0)}
    monkeypatch.delenv(VARIABLE)
    row = planner(tmp_path, configs).plan()[-1]
    # 3 criteria, 50 prompts, 2 orders; 400 tokens of reply each.
    assert row.reasons[-2:] == (
        "at most 300 calls to m, less those known from before; about 1.20 USD at most",
        f"the variable {VARIABLE} is not set",
    )


def test_a_key_that_is_missing_or_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running_judge(first_is_longer) as server:
        config = settings(server, pairs=[rows(tmp_path / "p.jsonl", pair())])
        monkeypatch.setenv(VARIABLE, "sk-wrong")
        with pytest.raises(TrainerError, match=r"refuses the key \(401: wrong key: Bearer \*\*\*"):
            judged(tmp_path / "home", config)
        monkeypatch.delenv(VARIABLE)
        with pytest.raises(TrainerError, match=f"the variable {VARIABLE} is not set; set it"):
            judged(tmp_path / "home", config)
    kept = [path for path in (tmp_path / "home").rglob("*") if path.is_file()]
    assert not [path for path in kept if b"sk-wrong" in path.read_bytes()]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"answers": ["a.jsonl"]}, r"judge\.answers: a\.jsonl: write NAME=FILE"),
        ({"answers": ["a=none.jsonl"]}, r"judge\.answers: .*none\.jsonl' matches no file"),
        ({"pairs": ["p.jsonl"]}, r"judge: p\.jsonl:1: answer_2 is missing"),
        ({"answers": ["a=p.jsonl"]}, r"judge: p\.jsonl:1: answer is missing"),
    ],
)
def test_files_that_are_none_are_told_of_by_the_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], message: str
) -> None:
    monkeypatch.setenv("INGOT_ROOT", str(tmp_path))
    rows(tmp_path / "p.jsonl", {"prompt": "Why?", "answer_1": "So."})
    with pytest.raises(ExternalInputError, match=message):
        planner(tmp_path / "home", {"judge": JudgeConfig(**fields)}).plan()


@pytest.mark.parametrize(
    "url", ["ftp://x/v1", "https://user:secret@host/v1", "https://host/v1?key=secret", "host/v1"]
)
def test_an_address_holds_no_secret(url: str) -> None:
    with pytest.raises(ValidationError, match="base_url"):
        JudgeConfig(base_url=url)


_RUN = """
import sys
from pathlib import Path
from tests.tasks.stages.test_judge_stage import JudgeConfig, judged
judged(Path(sys.argv[1]), JudgeConfig.model_validate_json(sys.argv[2]))
"""


def test_after_a_kill_nothing_is_asked_twice(tmp_path: Path) -> None:
    pairs = [pair(prompt=f"Question {number}?") for number in range(12)]

    def slow(asked: Asked) -> str:
        time.sleep(0.15)
        return first_is_longer(asked)

    with running_judge(slow) as server:
        config = settings(server, pairs=[rows(tmp_path / "p.jsonl", *pairs)], concurrency=1)
        command = [sys.executable, "-c", _RUN, str(tmp_path / "home"), config.model_dump_json()]
        process = subprocess.Popen(command, env={**os.environ})
        deadline = time.monotonic() + 60
        while len(server.calls) < 5 and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        time.sleep(0.5)
        before = len(server.calls)
        assert 5 <= before < 24
        server.rule = first_is_longer
        found = judged(tmp_path / "home", config).artifact
        # The one call under way when it was killed had no reply yet.
        assert len(server.calls) in (24, 25)
    assert found.facts["asked"] == 24
    assert found.facts["calls"] == len(server.calls) - before
