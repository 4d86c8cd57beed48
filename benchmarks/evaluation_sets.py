"""Public sets of questions as our own tasks and as tasks of lm-eval, on the same records.

The files are those that ../shared/data/eval holds where it is beside the checkout; none of their
texts are in the project.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from llm.evaluation.tasks.definition import Definition, TaskFile, bare

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "eval"


@dataclass(frozen=True)
class QuestionSet:
    """A file of records, our task on it, and lm-eval's."""

    file: str
    ours: Mapping[str, Any]
    theirs: Mapping[str, Any]


def _choices(prompt: str) -> tuple[dict[str, Any], dict[str, Any]]:
    ours = {"kind": "multiple_choice", "prompt": prompt, "choices": "choices", "answer": "gold"}
    theirs = {
        "output_type": "multiple_choice",
        "doc_to_text": prompt,
        "doc_to_choice": "choices",
        "doc_to_target": "gold",
        "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}],
    }
    return ours, theirs


def _blimp(name: str) -> QuestionSet:
    return QuestionSet(
        f"blimp/{name}.jsonl.gz",
        {"kind": "minimal_pairs", "good": "{{sentence_good}}", "bad": "{{sentence_bad}}"},
        {
            "output_type": "multiple_choice",
            "doc_to_text": "",
            "doc_to_choice": "{{[sentence_good, sentence_bad]}}",
            "doc_to_target": 0,
            "metric_list": [{"metric": "acc"}],
        },
    )


SETS = {
    "arc_easy": QuestionSet("arc_easy.jsonl.gz", *_choices("{{query}}\nAnswer:")),
    "copa": QuestionSet("copa.jsonl.gz", *_choices("{{query}}")),
    "lambada": QuestionSet(
        "lambada_openai.jsonl.gz",
        {"kind": "cloze", "prompt": "{{context}}", "target": "{{continuation}}"},
        {
            "output_type": "loglikelihood",
            "doc_to_text": "{{context}}",
            "doc_to_target": " {{continuation}}",
            "metric_list": [{"metric": "perplexity"}, {"metric": "acc"}],
        },
    ),
    "blimp_passive_1": _blimp("passive_1"),
    "blimp_anaphor_number_agreement": _blimp("anaphor_number_agreement"),
}


def own_task(name: str, path: Path) -> Definition:
    """Our task on a file of the set's records."""
    file = TaskFile(path.name, path)
    return replace(bare(name, "cloze"), files=(file,), **SETS[name].ours)


def write_records(folder: Path, name: str, file: str, items: int) -> Path:
    """The first records of a published file."""
    path = folder / f"{name}.jsonl"
    with gzip.open(DATA / file, "rt", encoding="utf-8") as lines:
        path.write_text("".join(islice(lines, items)), encoding="utf-8")
    return path


def write_harness_task(folder: Path, name: str, settings: Mapping[str, Any]) -> Path:
    """lm-eval's task on `<name>.jsonl` beside it."""
    record = {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": f"{name}.jsonl"}},
        "test_split": "test",
        **settings,
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(record), encoding="utf-8")
    return path


def missing(names: Sequence[str]) -> list[str]:
    """Those sets whose files are not on this machine."""
    return [name for name in names if not (DATA / SETS[name].file).is_file()]
