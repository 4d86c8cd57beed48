"""What a judge is to compare: answers to the same prompts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from llm.errors import ExpectedError

Label = Literal["1", "2", "tie", ""]
Turns = Sequence[Mapping[str, Any]]  # messages: role and content


class ModelsDifferError(ExpectedError, ValueError):
    """Two models that are to be compared did not answer the same prompts; shows one of them."""


class UnknownReferenceError(ExpectedError, LookupError):
    """The model that others are to be compared with is not there; lists those that are."""


@dataclass(frozen=True)
class Answer:
    """What a model said to a prompt.

    Attributes:
        item: names the prompt, the same for all models.
    """

    item: str
    prompt: str
    text: str


@dataclass(frozen=True)
class Comparison:
    """Two answers to one prompt.

    Attributes:
        model, against: who gave them; "" where nobody says.
        label: the better one by a person, "" where none was asked.
        source: of the label: the file or table it comes from; else "".
    """

    item: str
    prompt: str
    answers: tuple[str, str]
    model: str
    against: str
    label: Label
    source: str


def as_text(turns: Turns) -> str:
    """A conversation for a judge: the question alone where nothing else was said."""
    if len(turns) == 1 and turns[0]["role"] == "user":
        return str(turns[0]["content"])
    return "\n\n".join(f"{turn['role']}: {turn['content']}" for turn in turns)


def between(answers: Mapping[str, Sequence[Answer]], against: str) -> Iterator[Comparison]:
    """Each model's answers with those of the model before it, or of one that all others meet.

    Args:
        answers: by model, in order.
        against: "" = the model before.

    Raises:
        UnknownReferenceError, ModelsDifferError.
    """
    names = list(answers)
    if against and against not in answers:
        raise UnknownReferenceError(
            f"judge.against: there is no model {against!r}; there are {', '.join(names)}"
        )
    pairs = [(against, name) for name in names if name != against] if against else pairwise(names)
    for before, model in pairs:
        _require_same_prompts(before, answers[before], model, answers[model])
        known = {one.item: one for one in answers[before]}
        for one in answers[model]:
            texts = (one.text, known[one.item].text)
            yield Comparison(one.item, one.prompt, texts, model, before, "", "")


def _require_same_prompts(
    before: str, theirs: Sequence[Answer], model: str, own: Sequence[Answer]
) -> None:
    sides = ({one.item: one.prompt for one in side} for side in (theirs, own))
    known, given = sides
    if known == given:
        return
    item = min(item for item in known.keys() | given if known.get(item) != given.get(item))
    lacks = "no prompt"
    raise ModelsDifferError(
        f"{before} and {model} did not answer the same prompts: of {len(known)} and {len(given)}, "
        f"{item} is {known.get(item, lacks)[:100]!r} for {before} and "
        f"{given.get(item, lacks)[:100]!r} for {model}. Have both answer the same ones; the output "
        "`answers` of judge lists those it asks"
    )
