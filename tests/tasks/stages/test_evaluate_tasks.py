"""Benchmark tasks of a recipe: settings that are wrong, identity, and answers as an output."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks.engine.errors import ExternalInputError, TrainerError
from tasks.panels.panels import Table
from tasks.stages.evaluate import panels
from tasks.stages.evaluate_tasks import task_records, task_snapshots
from tests.tasks.stages.test_evaluate_and_export_stages import EVALUATE
from tests.tasks.stand_in_models import StandInConfig, built

STAND_IN = StandInConfig()
QUIZ: dict[str, Any] = {
    "kind": "multiple_choice",
    "files": ["quiz.jsonl"],
    "prompt": "{{q}}",
    "choices": "options",
    "answer": "right",
}
RECORDS = [
    {"q": "def f1(x):", "options": ["return x", "import os"], "right": 0},
    {"q": "def f2(x):", "options": ["import os", "return x", "pass"], "right": 1},
]


def quiz(folder: Path, name: str = "quiz.yaml", **changes: Any) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "quiz.jsonl").write_text("".join(f"{json.dumps(record)}\n" for record in RECORDS))
    (folder / name).write_text(yaml.safe_dump({**QUIZ, **changes}))
    return str(folder / name)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "essay"}, r"kind: Input should be 'multiple_choice'.*\(found 'essay'\)"),
        ({"choise": "x"}, r"choise: no such field; did you mean 'choices'\?"),
        ({"answer": ""}, "answer: missing; multiple_choice needs it"),
        ({"prompt": ""}, "prompt: missing; multiple_choice needs it"),
        ({"target": "x"}, "target: multiple_choice has no such field; remove it"),
        ({"prompt": "{{q"}, "prompt: '{{q' is no Jinja2 template"),
        ({"choices": "{{options}}"}, "choices: .* write it without braces"),
        ({"shots": 2}, "shots and shot_files: one needs the other"),
        ({"files": ["quizz.jsonl"]}, r"quiz\.yaml: files: .*quizz\.jsonl' matches no file"),
        ({"files": []}, "files: List should have at least 1 item"),
    ],
)
def test_settings_that_are_wrong(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = quiz(tmp_path, **changes)
    with pytest.raises(ExternalInputError, match=message) as raised:
        task_snapshots([path])
    assert "quiz.yaml" in str(raised.value)


def test_files_of_settings_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ExternalInputError, match=r"evaluate\.tasks: .*none\.yaml cannot be read"):
        task_snapshots([str(tmp_path / "none.yaml")])
    (tmp_path / "list.yaml").write_text("- a\n")
    with pytest.raises(ExternalInputError, match="it holds a mapping of fields"):
        task_snapshots([str(tmp_path / "list.yaml")])
    (tmp_path / "twice.yaml").write_text("kind: cloze\nkind: cloze\n")
    with pytest.raises(ExternalInputError, match="'kind' is there twice"):
        task_snapshots([str(tmp_path / "twice.yaml")])
    paths = [quiz(tmp_path / "a"), quiz(tmp_path / "b")]
    with pytest.raises(ExternalInputError, match="two tasks are called 'quiz'"):
        task_snapshots(paths)
    with pytest.raises(ExternalInputError, match="a task has the name of its file"):
        task_snapshots([quiz(tmp_path / "c", "my quiz.yaml")])


def test_identity_is_that_of_settings_and_records_wherever_they_lie(tmp_path: Path) -> None:
    first, second = quiz(tmp_path / "a"), quiz(tmp_path / "b")
    (one,) = task_snapshots([first]).values()
    (other,) = task_snapshots([second]).values()
    assert one.data_id == other.data_id
    (tmp_path / "b" / "quiz.jsonl").write_text("{}\n")
    assert task_snapshots([second])["task:quiz"].data_id != one.data_id
    assert task_snapshots([quiz(tmp_path / "a", prompt="{{q}} ")])["task:quiz"] != one
    (record,) = task_records(task_snapshots([first]))
    assert record["name"] == "quiz"
    assert record["files"] == [{"name": "quiz.jsonl", "path": str(tmp_path / "a" / "quiz.jsonl")}]


def test_answers_are_an_output(tmp_path: Path) -> None:
    config = EVALUATE.model_copy(update={"tasks": [quiz(tmp_path)]})
    done = built(
        tmp_path / "home",
        dedup=STAND_IN,
        pretrain=STAND_IN,
        sft=StandInConfig(seed=1),
        evaluate=config,
    )
    artifact = done["evaluate"].artifact
    rows = artifact.data("answers").table().to_pylist()
    assert [(row["model"], row["item"]) for row in rows] == [
        (model, f"quiz.jsonl:{line}") for model in ("base", "sft") for line in (1, 2)
    ]
    scores = {
        (row["model"], row["metric"]): row for row in artifact.data("scores").table().to_pylist()
    }
    for model in ("base", "sft"):
        own = [row for row in rows if row["model"] == model]
        right = [row["given"] == row["expected"] for row in own]
        found = scores[model, "quiz/acc"]
        assert (found["value"], found["n"]) == (sum(right) / 2, 2)
        for row in own:
            best = max(row["logprobs"])
            assert row["choices"][row["logprobs"].index(best)] == row["given"]
    assert ("sft", "quiz/acc_change") in scores
    (table,) = [panel for panel in panels(artifact) if panel.title == "Tasks"]
    assert isinstance(table, Table)
    assert table.rows == [["quiz", "multiple choice", 2, pytest.approx((1 / 2 + 1 / 3) / 2)]]


def test_a_record_that_is_no_item_names_the_file(tmp_path: Path) -> None:
    config = EVALUATE.model_copy(update={"tasks": [quiz(tmp_path, choices="opts")]})
    with pytest.raises(TrainerError, match=r"TaskItemError: task quiz, quiz\.jsonl:1: 'opts'"):
        built(tmp_path / "home", dedup=STAND_IN, pretrain=STAND_IN, evaluate=config)
