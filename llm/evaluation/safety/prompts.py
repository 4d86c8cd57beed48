"""Prompts of files that a user brings: harmless ones, and harmful ones, to be answered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from llm.corpus.decontaminate.items import read_items as read_lines
from llm.corpus.decontaminate.items import read_records
from llm.corpus.source.streams import bare_name
from llm.errors import ExpectedError
from llm.evaluation.tasks.definition import TaskFile
from llm.evaluation.tasks.template import TaskTemplateError, fill

_TEXT = ".txt"


class PromptFileError(ExpectedError, ValueError):
    """A file of prompts holds what is none; names file and line."""


@dataclass(frozen=True)
class PromptFiles:
    """Where prompts come from.

    Attributes:
        files: JSON lines or a list (.jsonl, .json), or a prompt a line (.txt), which is a record
            with the field `prompt`; also compressed.
        template: Jinja2 over the fields of a record.
    """

    files: tuple[TaskFile, ...]
    template: str


@dataclass(frozen=True)
class SafetyPrompt:
    """What a user says: its messages, and the name of the item, the same for every model."""

    item: str
    text: str


def read_prompts(told: PromptFiles, limit: int) -> list[SafetyPrompt]:
    """The first `limit` prompts, in the order of the files.

    Raises:
        EvaluationFileError: a file cannot be read as what its name says.
        PromptFileError: the template asks a record for what it lacks, or gives an empty prompt.
    """
    found = []
    records = (each for file in told.files for each in _records(file))
    for where, record in islice(records, limit):
        try:
            text = fill(told.template, record).strip()
        except TaskTemplateError as error:
            raise PromptFileError(f"{where}: {error}") from error
        if not text:
            raise PromptFileError(f"{where}: {told.template!r} makes an empty prompt of it")
        found.append(SafetyPrompt(where, text))
    if told.files and not found:
        names = ", ".join(file.name for file in told.files)
        raise PromptFileError(f"{names}: no prompt in it; get the whole file")
    return found


def _records(file: TaskFile) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if Path(bare_name(file.path.name)).suffix != _TEXT:
        yield from read_records(file.path, file.name)
        return
    for line in read_lines(file.path, file.name, ()):
        yield line.name, {"prompt": line.texts[0]}
