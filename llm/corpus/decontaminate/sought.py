"""What is looked for: the texts of evaluation items, and when one counts as found.

Brown et al. 2020, "Language Models are Few-Shot Learners", appendix C, take documents for
contaminated that share 13 words in a row with an item. Two things are different here. A long text
is found only where a share of it is there: thirteen words of a passage of three hundred are a
quotation. And a text of ten words or more is also found where nearly all its words are together,
since one word changed in the middle of twenty-five leaves no thirteen in a row.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from llm.corpus.decontaminate.items import EvaluationItem
from llm.corpus.decontaminate.tables import SOUGHT
from llm.corpus.decontaminate.word_keys import words

# From so many words on a text is looked for with changes by itself: of fewer, one changed word may
# leave no five in a row, and make another question of it.
SHORTEST_EDITED = 10
# So many other texts of an item, its choices, have to stand beside a shorter one with one changed.
FEWEST_BESIDE = 2
# What so large a share of at least so many texts begins or ends with is their form ("Question:",
# instructions), and is left off.
_FORM_SHARE, _FORM_TEXTS = 0.9, 20
_TELLING = 13  # words of a long text that have to be different

Words = Sequence[str]


@dataclass(frozen=True)
class Criteria:
    """When a text counts as found.

    Attributes:
        ngram: words in a row that have to be there.
        shortest: texts of fewer words than `ngram` are looked for as a whole from this many on.
        share: of a text's words that have to stand in runs.
        edited_share: of its words, close together in any order, that do without such a run.
    """

    ngram: int
    shortest: int
    share: float
    edited_share: float


@dataclass(frozen=True)
class Coverage:
    """Of one evaluation set: its items, how many of them have no text that can be looked for,
    texts looked for, and what was taken for the form of its texts and left off."""

    items: int
    too_short: int
    texts: int
    forms: list[str]


@dataclass(frozen=True)
class _Form:
    """What the texts of one place begin and end with."""

    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    def taken_off(self, text: Words) -> tuple[str, ...]:
        found = tuple(text)
        if self.before and found[: len(self.before)] == self.before:
            found = found[len(self.before) :]
        if self.after and found[-len(self.after) :] == self.after:
            found = found[: -len(self.after)]
        return found


def sought_texts(
    evaluation_set: str, items: Iterable[EvaluationItem], criteria: Criteria
) -> tuple[pa.Table, Coverage]:
    """The texts of items that are long enough, each once.

    Returns:
        A table of `SOUGHT`; a text that several items have is the first one's. An item none of
        whose texts is long enough counts as `too_short`.
    """
    listed = [(item.name, [words(text) for text in item.texts]) for item in items]
    forms = _forms([texts for _, texts in listed])
    first: dict[tuple[str, ...], tuple[str, int, list[tuple[str, ...]]]] = {}
    too_short = 0
    for name, texts in listed:
        bare = [forms.get(place, _Form()).taken_off(text) for place, text in enumerate(texts)]
        usable = [
            len(own) >= min(criteria.ngram, criteria.shortest) and is_telling(own) for own in bare
        ]
        for place, own in enumerate(bare):
            if usable[place]:
                others = [text for text in (*bare[:place], *bare[place + 1 :]) if text]
                first.setdefault(own, (name, place, others))
        too_short += not any(usable)
    rows = [
        {
            "evaluation_set": evaluation_set,
            "item": name,
            "place": place,
            "text": " ".join(own),
            "words": len(own),
            **_needed(len(own), len(others), criteria),
            "beside": "\n".join(map(" ".join, others)),
        }
        for own, (name, place, others) in first.items()
    ]
    told = [" ".join([*form.before, "…", *form.after]) for form in forms.values()]
    coverage = Coverage(len(listed), too_short, len(rows), told)
    return pa.Table.from_pylist(rows, schema=SOUGHT), coverage


def is_telling(found: Words) -> bool:
    """Whether words can tell where they are from: half of them have letters and are not the same
    ones again. Figures counted up, or one word over and over, are found anywhere."""
    different = {word for word in found if not word.isdecimal()}
    return 2 * len(different) >= min(len(found), _TELLING)


def _needed(length: int, others: int, criteria: Criteria) -> dict[str, int]:
    run = min(criteria.ngram, length)
    edited = _at_least(criteria.edited_share, length)
    if length < SHORTEST_EDITED and others >= FEWEST_BESIDE and criteria.edited_share < 1:
        edited = length - 1
    elif length < SHORTEST_EDITED or edited == length:
        edited = 0
    covered = max(run, _at_least(criteria.share, length))
    return {"run": run, "covered": covered, "edited": edited}


def _at_least(share: float, length: int) -> int:
    return math.ceil(share * length - 1e-9)  # 0.9 of 10 is 9, not 9.000000000000002


def _forms(items: Sequence[Sequence[Words]]) -> dict[int, _Form]:
    """The form of the texts of each place that have one."""
    forms = {}
    for place in range(max(map(len, items), default=0)):
        # Texts that are the same are one: answers are often of a few kinds.
        texts = list(dict.fromkeys(tuple(item[place]) for item in items if len(item) > place))
        before = _alike(texts)
        rest = [_Form(before).taken_off(text)[::-1] for text in texts]
        form = _Form(before, _alike(rest)[::-1])
        if form != _Form():
            forms[place] = form
    return forms


def _alike(texts: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The words that nearly all texts begin with."""
    enough = max(_FORM_TEXTS, _FORM_SHARE * len(texts))
    alike: tuple[str, ...] = ()
    while True:
        at = len(alike)
        counts = Counter(text[at] for text in texts if len(text) > at)
        word, count = max(counts.items(), key=lambda counted: counted[1], default=("", 0))
        if count < enough:
            return alike
        texts = [text for text in texts if len(text) > at and text[at] == word]
        alike = (*alike, word)
