"""Files of the user's that a judge reads: answers of other models, and pairs that people labelled.

JSON lines or a JSON list, plain or compressed. What is amiss in a row is told by file, line and
field: a row left out would be an answer that counts for nobody.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llm.corpus.decontaminate.items import read_records
from llm.errors import ExpectedError
from llm.evaluation.judge.comparisons import Answer, Comparison, Label

_LABELS: Mapping[str, Label] = {"1": "1", "2": "2", "tie": "tie"}


class JudgedFileError(ExpectedError, ValueError):
    """A row of a file of answers or pairs is none; names file, line and field."""


def item_of(prompt: str) -> str:
    """The name of a prompt: 32 hex digits of its SHA-256, the same whoever answers it."""
    return hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def read_answers(path: Path, name: str) -> list[Answer]:
    """A model's answers: rows with `prompt` and `answer`.

    Raises:
        EvaluationFileError: the file cannot be read as what its name says.
        JudgedFileError: a row lacks a field, a prompt stands twice, or there is no row.
    """
    found: dict[str, Answer] = {}
    for where, record in read_records(path, name):
        prompt = _text(record, "prompt", where)
        if item_of(prompt) in found:
            raise JudgedFileError(f"{where}: prompt {prompt[:80]!r} stands in the file twice")
        found[item_of(prompt)] = Answer(item_of(prompt), prompt, _text(record, "answer", where))
    if not found:
        raise JudgedFileError(f'{name}: no row; a row is {{"prompt": ..., "answer": ...}}')
    return list(found.values())


def read_pairs(path: Path, name: str) -> list[Comparison]:
    """Pairs of answers: rows with `prompt`, `answer_1`, `answer_2`, and, where known, `label` (1, 2
    or tie) and `model_1`, `model_2`.

    Raises:
        EvaluationFileError, JudgedFileError: as `read_answers`.
    """
    found = []
    for where, record in read_records(path, name):
        prompt = _text(record, "prompt", where)
        answers = (_text(record, "answer_1", where), _text(record, "answer_2", where))
        model, against = (record.get(field) or "" for field in ("model_1", "model_2"))
        named = isinstance(model, str) and isinstance(against, str)
        if not named or bool(model) != bool(against):
            raise JudgedFileError(f"{where}: model_1 and model_2 are two names, or not there")
        label = _label(record.get("label"), where)
        found.append(
            Comparison(where, prompt, answers, model, against, label, name if label else "")
        )
    if not found:
        raise JudgedFileError(f"{name}: no row; a row has prompt, answer_1 and answer_2")
    return found


def _text(record: Mapping[str, Any], field: str, where: str) -> str:
    value = record.get(field)
    if not isinstance(value, str):
        what = f"{value!r:.80}" if field in record else "missing"
        raise JudgedFileError(
            f"{where}: {field} is {what}; it is a text (the row has {', '.join(map(str, record))})"
        )
    return value


def _label(value: object, where: str) -> Label:
    if value is None or value == "":
        return ""
    label = _LABELS.get(str(value).lower()) if not isinstance(value, bool) else None
    if label is None:
        raise JudgedFileError(f"{where}: label is {value!r:.80}; it is 1, 2 or tie")
    return label
