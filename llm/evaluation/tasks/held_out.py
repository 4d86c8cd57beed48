"""Two tasks made from validation text by rule, so that any corpus has some: no training document
holds their items, and no model had a part in making them.

next_sentence (multiple choice): which of four sentences goes on with a document. The others are of
other documents and about as long, so that whoever draws is right once in four times.
word_order (minimal pairs): a sentence, and the same with two neighbouring words in each other's
place. Both have the same words and tokens, so that whoever draws is right every second time.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from llm.evaluation.tasks.answers import answer
from llm.evaluation.tasks.definition import NEXT_SENTENCE, WORD_ORDER, Definition, bare
from llm.evaluation.tasks.items import Item
from llm.evaluation.tasks.subject import Subject
from llm.evaluation.tasks.suite import Begin, TaskOutcome

_CHOICES = 4
_NEAREST = 10  # sentences of like length, shorter and longer, that other choices are drawn from
_CONTEXT = 300  # characters before the sentence that is asked for, whole sentences
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
_PARAGRAPH = re.compile(r"\n\s*\n")
_WORD = re.compile(r"[a-z]+")
_SHORTEST, _LONGEST, _FEWEST_WORDS = 40, 200, 7
_LETTERS = 0.9  # share of letters and spaces; tables, code and signatures have fewer


@dataclass(frozen=True)
class _Sentence:
    """A sentence of prose that others stand before.

    Attributes:
        place: its number in the document.
        before: the end of what stands before it in its paragraph.
    """

    doc_id: str
    place: int
    before: str
    text: str

    @property
    def name(self) -> str:
        return f"{self.doc_id}:{self.place}"


class HeldOutTasks:
    """A `Suite` of these two.

    Args:
        doc_ids, texts: validation documents.
        limit: items of each; fewer where the documents have no more.
        seed: of the draws.
    """

    def __init__(self, doc_ids: Sequence[str], texts: Sequence[str], limit: int, seed: int) -> None:
        sentences = [
            sentence
            for doc_id, text in zip(doc_ids, texts, strict=True)
            for sentence in _sentences(doc_id, text)
        ]
        draw = random.Random(seed)
        chosen = _spread(sentences, limit, draw)
        self.tasks: list[tuple[Definition, list[Item]]] = [
            (bare(NEXT_SENTENCE, "multiple_choice"), list(_next_sentence(chosen, sentences, draw))),
            (bare(WORD_ORDER, "minimal_pairs"), list(_word_order(chosen, draw))),
        ]

    def ask(self, subject: Subject, batch_tokens: int, begin: Begin) -> Iterator[TaskOutcome]:
        for task, items in self.tasks:
            if items:
                outcome = answer(subject, task, items, batch_tokens, begin(f"item of {task.name}"))
                yield TaskOutcome(task.name, task.kind, outcome)


def _sentences(doc_id: str, text: str) -> Iterator[_Sentence]:
    """Sentences of prose with another before them in their paragraph."""
    place = 0
    for paragraph in _PARAGRAPH.split(text):
        parts = _SENTENCE_END.split(" ".join(paragraph.split()))
        for number, sentence in enumerate(parts):
            place += 1
            if number and _is_prose(sentence):
                yield _Sentence(doc_id, place, _end_of(parts[:number]), sentence)


def _is_prose(sentence: str) -> bool:
    letters = sum(character.isalpha() or character == " " for character in sentence)
    return (
        _SHORTEST <= len(sentence) <= _LONGEST
        and len(sentence.split()) >= _FEWEST_WORDS
        and letters >= _LETTERS * len(sentence)
    )


def _end_of(sentences: Sequence[str]) -> str:
    """The last of these sentences, as many as `_CONTEXT` has room for; one at least."""
    kept: list[str] = []
    for sentence in reversed(sentences):
        if kept and len(sentence) + sum(map(len, kept)) + len(kept) > _CONTEXT:
            break
        kept.insert(0, sentence)
    return " ".join(kept)


def _spread(sentences: Sequence[_Sentence], limit: int, draw: random.Random) -> list[_Sentence]:
    """As many sentences as asked for, of as many documents as there are: items of one document
    say less than as many of several."""
    by_document: dict[str, list[_Sentence]] = {}
    for sentence in draw.sample(sentences, len(sentences)):
        by_document.setdefault(sentence.doc_id, []).append(sentence)
    found: list[_Sentence] = []
    while by_document and len(found) < limit:
        found += [rest.pop() for rest in by_document.values()]
        by_document = {doc_id: rest for doc_id, rest in by_document.items() if rest}
    return found[:limit]


def _next_sentence(
    chosen: Sequence[_Sentence], sentences: Sequence[_Sentence], draw: random.Random
) -> Iterator[Item]:
    by_length = sorted(sentences, key=lambda sentence: (len(sentence.text), sentence.name))
    places = {sentence.name: place for place, sentence in enumerate(by_length)}
    for sentence in chosen:
        place = places[sentence.name]
        # As often the shortest as the second, third or longest: length tells nothing. Drawn from
        # both sides alike, the right one would be in the middle, and the shortest 1 in 10 times.
        shorter = draw.randrange(_CHOICES)
        below = _nearest(sentence, reversed(by_length[:place]))
        above = _nearest(sentence, by_length[place + 1 :])
        longer = _CHOICES - 1 - shorter
        if len(below) < shorter or len(above) < longer:
            continue
        choices = [*draw.sample(below, shorter), *draw.sample(above, longer)]
        if len({*choices, sentence.text}) < _CHOICES:
            continue
        draw.shuffle(choices)
        expected = draw.randrange(_CHOICES)
        choices.insert(expected, sentence.text)
        yield Item(sentence.name, sentence.before, tuple(choices), expected)


def _nearest(sentence: _Sentence, others: Iterable[_Sentence]) -> list[str]:
    """The first texts of others that stand in another document."""
    elsewhere = (other.text for other in others if other.doc_id != sentence.doc_id)
    different = dict.fromkeys(islice((t for t in elsewhere if t != sentence.text), _NEAREST))
    return list(different)


def _word_order(chosen: Sequence[_Sentence], draw: random.Random) -> Iterator[Item]:
    for sentence in chosen:
        words = sentence.text.split(" ")
        # Neither the first word nor one with a comma or a full stop: only the order may tell.
        places = [
            at
            for at in range(1, len(words) - 1)
            if words[at] != words[at + 1]
            and _WORD.fullmatch(words[at])
            and _WORD.fullmatch(words[at + 1])
        ]
        if not places:
            continue
        at = draw.choice(places)
        swapped = [*words[:at], words[at + 1], words[at], *words[at + 2 :]]
        yield Item(sentence.name, "", (sentence.text, " ".join(swapped)), 0)
