"""What a benchmark task is: which kind of question, and how records become prompts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from llm.final_answers import Parser

Kind = Literal["multiple_choice", "minimal_pairs", "cloze", "exact_match"]
# Names of the tasks made from validation text, see `held_out.py`.
NEXT_SENTENCE, WORD_ORDER = "next_sentence", "word_order"
HELD_OUT = (NEXT_SENTENCE, WORD_ORDER)


@dataclass(frozen=True)
class TaskFile:
    """A file of records, and the name it has in messages and in the names of items."""

    name: str
    path: Path


@dataclass(frozen=True)
class Definition:
    """A task. Templates are Jinja2 over the fields of a record; expressions are what stands within
    the braces of one.

    Attributes:
        name: before the name of each of its measures: "arc_easy/acc".
        files: of records, in this order.
        prompt: template of what stands before an answer; "" = nothing does.
        choices: of multiple choice, an expression for the list of possible answers.
        answer: of multiple choice, an expression for the place of the right one, from 0, or for
            its text.
        good, bad: of minimal pairs, templates of the sentence that is right and of the other.
        target: of cloze and exact match, template of the answer that is expected.
        delimiter: between a prompt and an answer; where the prompt is empty, before the answer.
        shots: records of `shot_files`, the first ones, that stand solved before each prompt.
        parser: of exact match, what is compared.
        stop: of exact match, texts before which an answer ends.
        max_new_tokens: of exact match, longest answer.
    """

    name: str
    kind: Kind
    files: tuple[TaskFile, ...]
    prompt: str
    choices: str
    answer: str
    good: str
    bad: str
    target: str
    delimiter: str
    shots: int
    shot_files: tuple[TaskFile, ...]
    parser: Parser
    stop: tuple[str, ...]
    max_new_tokens: int


def bare(name: str, kind: Kind) -> Definition:
    """A task of that kind without files and templates, for a caller that has items of its own or
    sets some fields."""
    return Definition(
        name=name,
        kind=kind,
        files=(),
        prompt="",
        choices="",
        answer="",
        good="",
        bad="",
        target="",
        delimiter=" ",
        shots=0,
        shot_files=(),
        parser="text",
        stop=(),
        max_new_tokens=8,
    )
