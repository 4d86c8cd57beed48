"""What a judge reads from outside the store, and how many calls it will take."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from llm.corpus.decontaminate.items import EvaluationFileError
from llm.evaluation.judge.files import JudgedFileError, read_answers, read_pairs
from tasks.engine.errors import ExternalInputError
from tasks.engine.identity.snapshot import Item, Snapshot, snapshot_files

_ANSWERS, _PAIRS = "answers:", "pairs"
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
# Of a call, beside the texts: the instructions, and a question of some lines.
_INSTRUCTIONS, _QUESTION = 300, 200
_CHARACTERS_A_TOKEN = 4
_MILLION = 1_000_000


class Calls(Protocol):
    """What decides how many calls there are: the stage's config."""

    compare: bool
    grade: bool
    max_prompts: int
    max_preferences: int
    new_tokens: int
    max_reply_tokens: int
    price_prompt: float
    price_reply: float
    currency: str
    model: str

    @property
    def criteria(self) -> Sequence[str]:
        """What verdicts are asked by."""


def judged_snapshots(answers: Sequence[str], pairs: Sequence[str]) -> dict[str, Snapshot]:
    """The files as external inputs; that of a model's answers carries the model's name.

    Raises:
        ExternalInputError: there is no such file, or a model has no name or one that is taken.
    """
    found: dict[str, Snapshot] = {}
    for text in answers:
        name, equals, place = text.partition("=")
        if not equals or not _NAME.fullmatch(name):
            raise ExternalInputError(
                f"judge.answers: {text}: write NAME=FILE; a model is called by letters, digits, "
                "., - and _"
            )
        if _ANSWERS + name in found:
            raise ExternalInputError(f"judge.answers: {text}: another model is called {name!r}")
        found[_ANSWERS + name] = snapshot_files([place], "judge.answers")
        if len(found[_ANSWERS + name].items) != 1:
            raise ExternalInputError(f"judge.answers: {text}: name one file of this model's")
    if pairs:
        found[_PAIRS] = snapshot_files(pairs, "judge.pairs")
    return found


def answer_files(external: Mapping[str, Snapshot], taken: Sequence[str]) -> list[dict[str, str]]:
    """Files of answers as run.json holds them: the model's name, and the path.

    Args:
        taken: names that models of the recipe have.

    Raises:
        ExternalInputError: a name is taken.
    """
    found = []
    for name, item in _answer_items(external):
        if name in taken:
            raise ExternalInputError(
                f"judge.answers: a model of the recipe is called {name!r}; write OTHER_NAME=FILE"
            )
        found.append({"name": name, "path": item.path})
    return found


def pair_files(external: Mapping[str, Snapshot]) -> list[dict[str, str]]:
    """Files of pairs as run.json holds them: what each is called, and its path."""
    return [{"name": item.name, "path": item.path} for item in _pair_items(external)]


def foretold(
    config: Calls,
    models: Sequence[str],
    preferences: bool,
    external: Mapping[str, Snapshot],
) -> list[str]:
    """The most calls there can be and, where there are prices, about what they cost.

    Args:
        models: of the recipe, that answer prompts.
        preferences: whether the recipe has any.

    Raises:
        ExternalInputError: a file of answers or pairs is none: told before anything is built.
    """
    try:
        given = [read_answers(Path(item.path), item.name) for _, item in _answer_items(external)]
        pairs = [
            pair
            for item in _pair_items(external)
            for pair in read_pairs(Path(item.path), item.name)
        ]
    except (EvaluationFileError, JudgedFileError) as error:
        raise ExternalInputError(f"judge: {error}") from error
    prompts = max((len(rows) for rows in given), default=config.max_prompts)
    names = len(models) + len(given)
    compared = max(0, names - 1) * prompts if config.compare else 0
    labelled = config.max_preferences if preferences else 0
    orders = 2 * (compared + labelled + len(pairs))
    graded = names * prompts if config.grade else 0
    calls = len(config.criteria) * (orders + graded)
    text = f"at most {calls:,} calls to {config.model}, less those known from before"
    if not (config.price_prompt or config.price_reply):
        return [text]
    own = 2 * config.new_tokens
    known = [len(pair.prompt) + sum(map(len, pair.answers)) for pair in pairs]
    known += [2 * len(row.text) + len(row.prompt) for rows in given for row in rows]
    longest = max([own, *(length // _CHARACTERS_A_TOKEN for length in known)])
    sent = calls * (_INSTRUCTIONS + _QUESTION + longest)
    received = calls * config.max_reply_tokens
    cost = (config.price_prompt * sent + config.price_reply * received) / _MILLION
    return [f"{text}; about {cost:.2f} {config.currency} at most"]


def _answer_items(external: Mapping[str, Snapshot]) -> list[tuple[str, Item]]:
    return [
        (name.removeprefix(_ANSWERS), snapshot.items[0])
        for name, snapshot in external.items()
        if name.startswith(_ANSWERS)
    ]


def _pair_items(external: Mapping[str, Snapshot]) -> Sequence[Item]:
    return external[_PAIRS].items if _PAIRS in external else ()
