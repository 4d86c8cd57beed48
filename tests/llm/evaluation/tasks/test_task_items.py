"""Records to items by templates, and what is said of records that are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.evaluation_sets import DATA, SETS, missing, own_task
from llm.corpus.decontaminate.items import EvaluationFileError
from llm.evaluation.tasks.definition import TaskFile
from llm.evaluation.tasks.items import TaskItemError, read_items
from llm.evaluation.tasks.template import (
    TaskTemplateError,
    check_expression,
    check_template,
    fill,
)
from tests.llm.evaluation.tasks.task_files import rows, task

QUIZ = [
    {"q": "Two and two?", "options": {"text": ["four", "five"]}, "right": "A"},
    {"q": "Is <b> bold?", "options": {"text": ["no", "yes", "maybe"]}, "right": "B"},
]
CHOICE: dict[str, Any] = {
    "prompt": "Q: {{q}}\nA:",
    "choices": "options.text",
    "answer": "'ABC'.index(right)",
}


def test_templates_and_expressions_over_a_record(tmp_path: Path) -> None:
    file = rows(tmp_path / "quiz.jsonl", QUIZ)
    first, second = read_items(task(files=(file,), **CHOICE), 0)
    assert (first.name, first.prompt) == ("quiz.jsonl:1", "Q: Two and two?\nA:")
    assert second.prompt == "Q: Is <b> bold?\nA:"  # nothing is escaped
    assert (second.choices, second.expected) == (("no", "yes", "maybe"), 1)
    assert read_items(task(files=(file,), **CHOICE), 1) == [first]
    assert fill("{{q}}\n", {"q": "x"}) == "x\n"


def test_solved_records_stand_before_a_prompt(tmp_path: Path) -> None:
    file = rows(tmp_path / "quiz.jsonl", QUIZ)
    shots = rows(tmp_path / "dev.jsonl", QUIZ[::-1])
    (item,) = read_items(task(files=(file,), shots=1, shot_files=(shots,), **CHOICE), 1)
    assert item.prompt == "Q: Is <b> bold?\nA: yes\n\nQ: Two and two?\nA:"
    with pytest.raises(TaskItemError, match="shots is 3, and shot_files hold 2 records"):
        read_items(task(files=(file,), shots=3, shot_files=(shots,), **CHOICE), 1)


@pytest.mark.parametrize(
    ("changes", "record", "message"),
    [
        ({"prompt": "{{question}}"}, {}, r"'question' is undefined; the record has q, options"),
        ({"choices": "options"}, {}, r"choices is \{'text'.*; it is a list of texts"),
        ({}, {"options": {"text": ["four"]}}, "choices has 1; it takes two to choose"),
        ({}, {"options": {"text": ["four", ""]}}, "an answer is an empty text"),
        ({"answer": "right"}, {"right": 2}, "answer is 2; it is a place from 0 to 1, or the text"),
        ({"answer": "right"}, {"right": True}, "answer is True; it is a place"),
        ({"answer": "right"}, {"right": "six"}, "answer is 'six'"),
        ({"answer": "right.text"}, {}, "has no attribute 'text'"),
        (
            {"kind": "exact_match", "target": "{{q}}", "parser": "number"},
            {},
            "target is 'Two and two.', in which there is no number",
        ),
        ({"prompt": "{{ q.__class__.__mro__ }}"}, {}, "unsafe"),
    ],
)
def test_a_record_that_is_no_item_is_named(
    tmp_path: Path, changes: dict[str, Any], record: dict[str, Any], message: str
) -> None:
    file = rows(tmp_path / "quiz.jsonl", [QUIZ[0] | record])
    wrong = task(files=(file,), **{**CHOICE, **changes})
    with pytest.raises(TaskItemError, match=rf"task quiz, quiz\.jsonl:1: .*{message}"):
        read_items(wrong, 0)


@pytest.mark.parametrize("right", [1, "1", "five"])
def test_an_answer_is_a_place_or_a_text(tmp_path: Path, right: Any) -> None:
    file = rows(tmp_path / "quiz.jsonl", [QUIZ[0] | {"right": right}])
    (item,) = read_items(task(files=(file,), **CHOICE | {"answer": "right"}), 0)
    assert item.expected == 1


def test_files_that_are_none(tmp_path: Path) -> None:
    file = rows(tmp_path / "quiz.jsonl", [["a list"]])
    with pytest.raises(EvaluationFileError, match=r"quiz\.jsonl:1: a list instead of an object"):
        read_items(task(files=(file,), **CHOICE), 0)
    (tmp_path / "quiz.csv").write_text("q\nx\n")
    with pytest.raises(EvaluationFileError, match=r"quiz\.csv: items with fields are JSON"):
        read_items(task(files=(TaskFile("quiz.csv", tmp_path / "quiz.csv"),), **CHOICE), 0)
    empty = rows(tmp_path / "quiz.jsonl", [])
    with pytest.raises(TaskItemError, match="task quiz: no item in its files"):
        read_items(task(files=(empty,), **CHOICE), 0)


def test_what_is_no_template() -> None:
    with pytest.raises(TaskTemplateError, match="is no Jinja2 template"):
        check_template("{{ question")
    with pytest.raises(TaskTemplateError, match="write it without braces"):
        check_expression("{{ choices }}")
    check_template("{% for x in xs %}{{x}}{% endfor %}")
    check_expression("[good, bad]")


@pytest.mark.parametrize("name", SETS)
def test_sets_others_published(name: str) -> None:
    if missing([name]):
        pytest.skip("shared/data/eval is not beside the checkout")
    items = read_items(own_task(name, DATA / SETS[name].file), 0)
    counts = {"arc_easy": 2376, "copa": 100, "lambada": 5153}
    assert len(items) == counts.get(name, 1000)
    assert len({item.name for item in items}) == len(items)
