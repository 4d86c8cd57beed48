"""Benchmark tasks of a recipe: settings that are wrong, identity, and answers as an output."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks.engine.errors import ExternalInputError, TrainerError
from tasks.panels.panels import Table
from tasks.stages.evaluate import externals, panels
from tasks.stages.evaluate_others import model_records, model_snapshots
from tasks.stages.evaluate_tasks import TASKS, task_records, task_snapshots
from tests.llm.evaluation.tiny_models import model_folder, tiny_model
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
        task_snapshots([path], TASKS)
    assert "quiz.yaml" in str(raised.value)


def test_files_of_settings_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ExternalInputError, match=r"evaluate\.tasks: .*none\.yaml cannot be read"):
        task_snapshots([str(tmp_path / "none.yaml")], TASKS)
    (tmp_path / "list.yaml").write_text("- a\n")
    with pytest.raises(ExternalInputError, match="it holds a mapping of fields"):
        task_snapshots([str(tmp_path / "list.yaml")], TASKS)
    (tmp_path / "twice.yaml").write_text("kind: cloze\nkind: cloze\n")
    with pytest.raises(ExternalInputError, match="'kind' is there twice"):
        task_snapshots([str(tmp_path / "twice.yaml")], TASKS)
    paths = [quiz(tmp_path / "a"), quiz(tmp_path / "b")]
    with pytest.raises(ExternalInputError, match="two tasks are called 'quiz'"):
        task_snapshots(paths, TASKS)
    with pytest.raises(ExternalInputError, match="a task has the name of its file"):
        task_snapshots([quiz(tmp_path / "c", "my quiz.yaml")], TASKS)


def test_identity_is_that_of_settings_and_records_wherever_they_lie(tmp_path: Path) -> None:
    first, second = quiz(tmp_path / "a"), quiz(tmp_path / "b")
    (one,) = task_snapshots([first], TASKS).values()
    (other,) = task_snapshots([second], TASKS).values()
    assert one.data_id == other.data_id
    (tmp_path / "b" / "quiz.jsonl").write_text("{}\n")
    assert task_snapshots([second], TASKS)["task:quiz"].data_id != one.data_id
    assert task_snapshots([quiz(tmp_path / "a", prompt="{{q}} ")], TASKS)["task:quiz"] != one
    (record,) = task_records(task_snapshots([first], TASKS), TASKS)
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


@pytest.mark.long
def test_a_task_of_lm_eval_beside_our_own_and_a_model_of_others(tmp_path: Path) -> None:
    quiz(tmp_path / "set")
    theirs = {
        "task": "theirs",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": "quiz.jsonl"}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "q",
        "doc_to_choice": "options",
        "doc_to_target": "right",
        "metric_list": [{"metric": "acc"}],
    }
    (tmp_path / "set" / "theirs.yaml").write_text(yaml.safe_dump(theirs))
    other = model_folder(tmp_path / "other", tiny_model(96, 5))
    config = EVALUATE.model_copy(
        update={
            "tasks": [str(tmp_path / "set" / "quiz.yaml")],
            "lm_eval_files": [str(tmp_path / "set" / "theirs.yaml")],
            "models": [f"rival={other}"],
        }
    )
    home = tmp_path / "home"
    artifact = built(home, dedup=STAND_IN, pretrain=STAND_IN, evaluate=config)["evaluate"].artifact
    rows = artifact.data("scores").table().to_pylist()
    scores = {(row["model"], row["metric"]): row["value"] for row in rows}
    for model in ("base", "rival"):
        assert scores[model, "theirs/acc"] == scores[model, "quiz/acc"]
        assert (model, "bits_per_byte") in scores
    inputs = set(artifact.manifest.externals)
    assert inputs == {"task:quiz", "lm_eval:theirs.yaml", "model:rival"}
    # The folder of a task of lm-eval is what identifies it, and the files of a model are.
    first = externals(config)
    (tmp_path / "set" / "more.py").write_text("x = 1\n")
    (other / "config.json").write_text("{}")
    second = externals(config)
    changed = {name for name in first if first[name].data_id != second[name].data_id}
    assert changed == {"lm_eval:theirs.yaml", "model:rival"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"models": ["nobody/nothing"]}, "first: hf download nobody/nothing"),
        ({"models": ["tests"]}, r"tests is no model: there is no .*tests/config\.json"),
        ({"lm_eval_files": ["none.yaml"]}, r"none\.yaml is no file that ends in"),
    ],
)
def test_what_is_not_there_is_told_before_anything_is_built(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ExternalInputError, match=message):
        externals(EVALUATE.model_copy(update=changes))


def test_a_model_may_not_have_the_name_of_another(tmp_path: Path) -> None:
    other = model_folder(tmp_path / "other", tiny_model(96, 5))
    with pytest.raises(ExternalInputError, match="another model is called 'other'"):
        model_snapshots([str(other), f"other={other}"])
    found = model_snapshots([f"base={other}"])
    assert model_records(found, ["sft"]) == [{"name": "base", "folder": str(other)}]
    with pytest.raises(ExternalInputError, match="a model of the recipe is called 'base'"):
        model_records(found, ["base"])


def test_without_lm_eval_its_tasks_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ExternalInputError, match=r"lm-eval is not installed; .*\.\[eval\]"):
        externals(EVALUATE.model_copy(update={"lm_eval_tasks": ["arc_easy"]}))
    assert externals(EVALUATE) == {}
