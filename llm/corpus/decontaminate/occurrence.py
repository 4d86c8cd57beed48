"""One sought text in one document, word by word: which of its words stand there, and where."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, takewhile
from operator import itemgetter

from llm.corpus.decontaminate.sought import FEWEST_BESIDE, SHORTEST_EDITED, is_telling

WHOLE, NGRAM, EDITED = "whole", "ngram", "edited"
# Words a text may be longer in a document: what was put in, and the letters before choices.
_SLACK, _SLACK_SHARE = 4, 0.2
_CHOICES_SHARE = 0.75


@dataclass(frozen=True)
class SoughtText:
    """A row of `SOUGHT`, cut into words."""

    evaluation_set: str
    item: str
    place: int
    words: tuple[str, ...]
    run: int
    covered: int
    edited: int
    beside: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Occurrence:
    """A text found in a document.

    Attributes:
        rule: WHOLE: all its words in a row; NGRAM: an n-gram, and enough of it in runs; EDITED:
            nearly all its words close together.
        share: of its words that stand there, by the rule.
        start, end: from which word of the document to which.
        ngrams: where in the text the n-grams begin that the document has; of a text as short as an
            n-gram that was found, [0].
    """

    sought: SoughtText
    rule: str
    share: float
    start: int
    end: int
    ngrams: tuple[int, ...]


Seed = tuple[int, int]  # a word of the document and one of the text from which on some are the same


def occurrences(
    sought: SoughtText, document: Sequence[str], seeds: Iterable[Seed], size: int
) -> Iterator[Occurrence]:
    """Where a text stands in a document, the place with most of it first; places do not overlap.

    Args:
        document: its words.
        seeds: all places where `size` words in a row are the same.
    """
    left = sorted(seeds)
    reach = reach_of(len(sought.words)) - size
    taken: list[Occurrence] = []
    while left:
        first, last = _densest(left, reach)
        before, near, behind = left[:first], left[first:last], left[last:]
        # A stretch that is cut in two may be no n-gram any more on either side.
        cut = {*_going_on(reversed(before), near, -1), *_going_on(behind, near[::-1], 1)}
        left = [seed for seed in before + behind if seed not in cut]
        found = _occurrence(sought, document, sorted([*cut, *near]), size)
        # What is nearly whole may be beside the seeds by which it was looked for.
        if found and all(found.start >= one.end or found.end <= one.start for one in taken):
            taken.append(found)
            left = [s for s in left if s[0] + size <= found.start or s[0] >= found.end]
            yield found


def reach_of(length: int) -> int:
    """Words of a document that a text of that many words is looked for within."""
    return length + max(_SLACK, int(_SLACK_SHARE * length))


def _densest(seeds: Sequence[Seed], reach: int) -> tuple[int, int]:
    """The slice around the shortest stretch, of at most `reach` words, that has most different
    words of the text: whatever is within reach of both its ends."""
    inside: Counter[int] = Counter()
    begin, end, most, first = 0, 0, 0, 0
    for word, own in seeds:
        inside[own] += 1
        while seeds[first][0] < word - reach or inside[seeds[first][1]] > 1:
            gone = seeds[first][1]
            inside[gone] -= 1
            if not inside[gone]:
                del inside[gone]
            first += 1
        if len(inside) > most:
            begin, end, most = seeds[first][0], word, len(inside)
    places = itemgetter(0)
    return bisect_left(seeds, end - reach, key=places), bisect_right(
        seeds, begin + reach, key=places
    )


def _going_on(outside: Iterable[Seed], inside: Sequence[Seed], step: int) -> list[Seed]:
    """The seeds outside by which stretches of the text go on that begin inside.

    Args:
        outside, inside: from the end of the slice between them; `step`: which way words go there.
    """
    edge = inside[0][0]
    going = {own - word for word, own in takewhile(lambda seed: seed[0] == edge, inside)}
    found: list[Seed] = []
    for word, seeds in groupby(outside, key=itemgetter(0)):
        edge += step
        more = [seed for seed in seeds if seed[1] - seed[0] in going] if word == edge else []
        if not more:
            break
        going = {own - word for word, own in more}
        found += more
    return found


def _occurrence(
    sought: SoughtText, document: Sequence[str], seeds: Sequence[Seed], size: int
) -> Occurrence | None:
    length = len(sought.words)
    covered = {own + offset for _, own in seeds for offset in range(size)}
    runs = list(_runs(seeds, size))
    ngrams = sorted(
        {
            own + offset
            for own, words in runs
            for offset in range(words - sought.run + 1)
            if is_telling(sought.words[own + offset : own + offset + sought.run])
        }
    )
    if ngrams and len(covered) >= sought.covered:
        rule = WHOLE if any(words == length for _, words in runs) else NGRAM
        start, end = seeds[0][0], seeds[-1][0] + size
        return Occurrence(sought, rule, len(covered) / length, start, end, tuple(ngrams))
    if sought.edited:
        reach = reach_of(length)
        region = range(max(0, seeds[0][0] - reach), min(len(document), seeds[-1][0] + reach + size))
        same, start, end = _fullest(sought.words, document, region, reach)
        if same >= sought.edited and _has_choices(sought, document, start, end):
            known = tuple(ngrams) if length > sought.run else (0,)
            return Occurrence(sought, EDITED, same / length, start, end, known)
    return None


def _has_choices(sought: SoughtText, document: Sequence[str], start: int, end: int) -> bool:
    """Of a short text: whether three quarters of the item's others stand around these words."""
    if len(sought.words) >= SHORTEST_EDITED:
        return True
    reach = sum(reach_of(len(text)) for text in sought.beside)
    around = f" {' '.join(document[max(0, start - reach) : end + reach])} "
    there = sum(f" {' '.join(text)} " in around for text in sought.beside)
    return there >= max(FEWEST_BESIDE, _CHOICES_SHARE * len(sought.beside))


def _runs(seeds: Sequence[Seed], size: int) -> Iterator[tuple[int, int]]:
    """(first word of the text, words) of each longest stretch that is the same in the document."""
    known = set(seeds)
    for word, own in seeds:
        if (word - 1, own - 1) not in known:
            step = 1
            while (word + step, own + step) in known:
                step += 1
            yield own, step - 1 + size


def _fullest(
    text: Sequence[str], document: Sequence[str], region: range, reach: int
) -> tuple[int, int, int]:
    """Most words of the text that are together within `reach` words of the document, in whatever
    order, and from which word to which."""
    wanted, have = Counter(text), Counter[str]()
    same, best = 0, (0, 0, 0)
    for end in region:
        word = document[end]
        have[word] += 1
        same += have[word] <= wanted[word]
        start = end - reach
        if start >= region.start:
            gone = document[start]
            same -= have[gone] <= wanted[gone]
            have[gone] -= 1
        if same > best[0]:
            best = (same, max(region.start, start + 1), end + 1)
    same, start, end = best
    while start < end and not wanted[document[start]]:
        start += 1
    return same, start, end
