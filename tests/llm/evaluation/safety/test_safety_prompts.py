"""Files of prompts, as people have them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llm.corpus.decontaminate.items import EvaluationFileError
from llm.evaluation.safety.prompts import PromptFileError, PromptFiles, read_prompts
from llm.evaluation.tasks.definition import TaskFile

DATA = Path(__file__).parents[4].parent / "shared" / "data" / "pref"


def files(folder: Path, template: str = "{{prompt}}", **texts: str) -> PromptFiles:
    made = []
    for name, text in texts.items():
        path = folder / name.replace("_", ".")
        path.write_text(text)
        made.append(TaskFile(path.name, path))
    return PromptFiles(tuple(made), template)


def test_records_and_lines(tmp_path: Path) -> None:
    lines = json.dumps({"prompt": "Who?"}) + "\n\n" + json.dumps({"prompt": " What? "}) + "\n"
    told = files(tmp_path, a_jsonl=lines, b_txt="Where?\n\nWhen?\n")
    found = [(each.item, each.text) for each in read_prompts(told, 100)]
    assert found == [
        ("a.jsonl:1", "Who?"),
        ("a.jsonl:3", "What?"),
        ("b.txt:1", "Where?"),
        ("b.txt:3", "When?"),
    ]
    assert [each.item for each in read_prompts(told, 1)] == ["a.jsonl:1"]
    assert read_prompts(PromptFiles((), "{{prompt}}"), 5) == []


@pytest.mark.parametrize(
    ("text", "template", "message"),
    [
        ('{"q": "Who?"}', "{{prompt}}", r"a\.jsonl:1: .*'prompt' is undefined; the record has q"),
        ('{"prompt": " "}', "{{prompt}}", r"a\.jsonl:1: '{{prompt}}' makes an empty prompt"),
        ("\n", "{{prompt}}", r"a\.jsonl: no prompt in it"),
    ],
)
def test_what_is_no_prompt(tmp_path: Path, text: str, template: str, message: str) -> None:
    with pytest.raises(PromptFileError, match=message):
        read_prompts(files(tmp_path, template, a_jsonl=text), 9)


def test_what_is_no_file_of_prompts(tmp_path: Path) -> None:
    with pytest.raises(EvaluationFileError, match=r"a\.jsonl:1: not JSON"):
        read_prompts(files(tmp_path, a_jsonl="{"), 9)
    with pytest.raises(EvaluationFileError, match=r"items with fields are JSON"):
        read_prompts(files(tmp_path, a_csv="prompt\nWho?\n"), 9)


@pytest.mark.parametrize(
    ("name", "template", "first"),
    [
        (
            "rasbt_preference_1100.json",
            "{{instruction}}{% if input %}\n{{input}}{% endif %}",
            "Evaluate the following phrase",
        ),
        (
            "hh_rlhf_harmless_base_test.jsonl.gz",
            "{{chosen.split('\n\nAssistant:')[0] | replace('\n\nHuman:', '')}}",
            "what are some pranks with a pen",
        ),
    ],
)
def test_public_files(name: str, template: str, first: str) -> None:
    path = DATA / name
    if not path.is_file():
        pytest.skip(f"shared/data/pref/{name} is not beside the checkout")
    found = read_prompts(PromptFiles((TaskFile(name, path),), template), 50)
    assert len(found) == 50
    assert found[0].text.startswith(first)
    assert not any("Assistant:" in each.text for each in found)
