"""Examples made of a page of documentation: questions with answers, and pairs of answers.

The answer to a question about a definition is the prose of its docstring. The answer a pair
rejects is that of another definition on the same page: the same voice and about the same length,
so that what tells the two apart is what they say, not how.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import xxhash

from llm.alignment.examples.tables import (
    INSTRUCTION,
    PREFERENCE,
    Dropped,
    Example,
    Kind,
    Message,
    Outcome,
)
from llm.corpus.identity import doc_id
from llm.pydocs.answers import answer, question
from llm.pydocs.pages import Definition, definitions

_WORD = re.compile(r"\w+")
_KINDS: tuple[Kind, ...] = (INSTRUCTION, PREFERENCE)


@dataclass(frozen=True)
class Document:
    """A document that is a page of documentation.

    Attributes:
        module: dotted name of the module it is about.
    """

    doc_id: str
    url: str
    module: str
    text: str
    source: str
    split: str


@dataclass(frozen=True)
class PairSettings:
    """How examples are made.

    Attributes:
        min_chars, max_chars: of an answer.
        tolerance: by what share of the chosen answer's length the rejected one may differ.
        max_overlap: Jaccard index of their words from which two answers are too alike.
        max_uses: pairs of a page in which one answer is the rejected one.
        seed: of wordings and of the choice of rejected answers.
    """

    min_chars: int
    max_chars: int
    tolerance: float
    max_overlap: float
    max_uses: int
    seed: int


@dataclass(frozen=True)
class _Usable:
    definition: Definition
    question: str
    answer: str
    words: frozenset[str]


def examples_of(document: Document, settings: PairSettings) -> Iterator[Outcome]:
    """An instruction and a preference, or why there is none, for every definition of a page."""
    found = definitions(document.module, document.text)
    headings = Counter(definition.name for definition in found)
    usable: list[_Usable] = []
    for place, definition in enumerate(found):
        text = answer(definition, settings.max_chars)
        if headings[definition.name] > 1:
            # One of them is a name in running text, and the page does not say which.
            yield from _drop(document, definition, place, "ambiguous_heading", None, None)
        elif not definition.paragraphs:
            yield from _drop(document, definition, place, "undocumented", None, None)
        elif text is None:
            yield from _drop(document, definition, place, "no_prose", None, None)
        elif len(text) < settings.min_chars:
            limit = settings.min_chars
            yield from _drop(document, definition, place, "short", len(text), limit)
        else:
            words = frozenset(_WORD.findall(text.lower()))
            usable.append(_Usable(definition, question(definition, settings.seed), text, words))
    for item in usable:
        turns = (Message("user", item.question), Message("assistant", item.answer))
        yield _example(document, INSTRUCTION, (turns,))
    for item, other in zip(usable, _siblings(usable, settings), strict=True):
        prompt, chosen = (Message("user", item.question),), (Message("assistant", item.answer),)
        if other is None:
            identity = _identity(document, PREFERENCE, item.definition.name, 0)
            detail = _where(document, item.definition)
            yield Dropped(
                PREFERENCE,
                document.source,
                document.split,
                identity,
                False,
                "no_sibling",
                None,
                None,
                detail,
            )
        else:
            rejected = (Message("assistant", other.answer),)
            yield _example(document, PREFERENCE, (prompt, chosen, rejected))


def _siblings(usable: Sequence[_Usable], settings: PairSettings) -> list[_Usable | None]:
    """For each definition the one whose answer its pair rejects."""
    chosen: list[_Usable | None] = [None] * len(usable)
    uses: Counter[str] = Counter()
    by_length = sorted(usable, key=lambda item: (len(item.answer), item.definition.name))
    order = sorted(range(len(usable)), key=lambda at: _point(usable[at], None, settings.seed))
    for at in order:
        item = usable[at]
        length = len(item.answer)
        fitting = [
            other
            for other in by_length
            if abs(len(other.answer) - length) <= settings.tolerance * length
            and other is not item
            and uses[other.definition.name] < settings.max_uses
        ]
        for other in sorted(fitting, key=lambda other: _point(item, other, settings.seed)):
            if _overlap(item, other) < settings.max_overlap:
                chosen[at] = other
                uses[other.definition.name] += 1
                break
    return chosen


def _point(item: _Usable, other: _Usable | None, seed: int) -> tuple[int, str]:
    second = other.definition.name if other else ""
    key = f"{seed}:sibling:{item.definition.name}:{second}"
    return xxhash.xxh3_64_intdigest(key.encode()), second


def _overlap(item: _Usable, other: _Usable) -> float:
    if item.answer == other.answer:
        return 1.0
    return len(item.words & other.words) / max(1, len(item.words | other.words))


def _example(document: Document, kind: Kind, turns: tuple[tuple[Message, ...], ...]) -> Example:
    return Example(kind, document.source, document.split, (document.doc_id,), turns, document.url)


def _drop(
    document: Document,
    definition: Definition,
    place: int,
    reason: str,
    value: float | None,
    threshold: float | None,
) -> Iterator[Dropped]:
    """Both candidates of a definition that has no usable answer."""
    for kind in _KINDS:
        identity = _identity(document, kind, definition.name, place)
        yield Dropped(
            kind,
            document.source,
            document.split,
            identity,
            False,
            reason,
            value,
            threshold,
            _where(document, definition),
        )


def _identity(document: Document, kind: Kind, name: str, place: int) -> str:
    """Of a candidate without content; `place` tells headings of one name apart."""
    return doc_id(document.source, f"{kind}:{place}", f"{document.doc_id}:{name}".encode())


def _where(document: Document, definition: Definition) -> str:
    return f"{document.url}: {definition.name}{definition.signature}"
