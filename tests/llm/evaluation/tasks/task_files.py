"""Tasks of a test: definitions with every field set, and files of records."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llm.evaluation.tasks.definition import Definition, TaskFile

EVALUATION_SETS = Path(__file__).resolve().parents[4].parent / "shared" / "data" / "eval"
BLANK: dict[str, Any] = {
    "name": "quiz",
    "kind": "multiple_choice",
    "files": (),
    "prompt": "",
    "choices": "",
    "answer": "",
    "good": "",
    "bad": "",
    "target": "",
    "delimiter": " ",
    "shots": 0,
    "shot_files": (),
    "parser": "text",
    "stop": (),
    "max_new_tokens": 8,
}
# As lm-eval asks them.
SETS: dict[str, tuple[str, dict[str, Any]]] = {
    "arc_easy": (
        "arc_easy.jsonl.gz",
        {
            "kind": "multiple_choice",
            "prompt": "{{query}}\nAnswer:",
            "choices": "choices",
            "answer": "gold",
        },
    ),
    "copa": (
        "copa.jsonl.gz",
        {
            "kind": "multiple_choice",
            "prompt": "{{query}}",
            "choices": "choices",
            "answer": "gold",
        },
    ),
    "lambada": (
        "lambada_openai.jsonl.gz",
        {"kind": "cloze", "prompt": "{{context}}", "target": "{{continuation}}"},
    ),
    "blimp_passive_1": (
        "blimp/passive_1.jsonl.gz",
        {"kind": "minimal_pairs", "good": "{{sentence_good}}", "bad": "{{sentence_bad}}"},
    ),
}


def rows(path: Path, records: Sequence[Any]) -> TaskFile:
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records), encoding="utf-8")
    return TaskFile(path.name, path)


def task(**fields: Any) -> Definition:
    return Definition(**{**BLANK, **fields})
