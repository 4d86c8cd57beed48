"""Which labelled texts train the classifier and which measure it.

Every choice hangs on a hash of the text or its id, never on its position, so other
files beside, another order or another worker count change nothing for a text.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import xxhash

from llm.corpus.quality.classifier import normalise
from llm.errors import ExpectedError

_SCALE = 1 << 64


class TooFewLabelsError(ExpectedError, ValueError):
    """A class has too few distinct texts to train on; gives the numbers."""


class OneClassError(ExpectedError, ValueError):
    """All labelled texts are of one class; nothing can be told apart."""


@dataclass(frozen=True)
class LabelledText:
    """A candidate: `id` (doc_id, or a hash of the text), its source's name, normalised text, and
    the text as it was where that was asked for, else "".
    """

    id: str
    source: str
    text: str
    whole: str


@dataclass(frozen=True)
class LeftOut:
    """A text left out, and why: "too_short" or "too_long"."""

    reason: str


def within(text: str, bounds: tuple[int, int]) -> str | LeftOut:
    """The normalised text, if its characters are within bounds (least, most; 0 = no bound)."""
    shortest, longest = bounds
    if len(text) < shortest:
        return LeftOut("too_short")
    if longest and len(text) > longest:
        return LeftOut("too_long")
    return normalise(text) or LeftOut("too_short")


class Sampler:
    """Collects the texts of one source: those in bounds, a fixed sample of them if too many.

    The sample is the `max_rows` texts of smallest hash of (seed, id).

    Args:
        source: its name.
        min_chars, max_chars: bounds on the characters of a text; 0 = none.
        max_rows: how many to keep at most; 0 = all.
        whole: whether texts are kept as they were, too.

    Attributes:
        bounds: least and most characters.
        rows: rows offered.
        removed, rejected: rows by the reason they are left out.
    """

    def __init__(
        self, source: str, min_chars: int, max_chars: int, max_rows: int, seed: int, whole: bool
    ) -> None:
        self.source = source
        self.rows = 0
        self.removed: Counter[str] = Counter()
        self.rejected: Counter[str] = Counter()
        self.bounds = (min_chars, max_chars)
        self.whole = whole
        self._limit, self._seed = max_rows, seed
        # A heap whose first entry is the kept text of the largest hash.
        self._kept: list[tuple[int, str, str, str]] = []

    def remove(self, reason: str) -> None:
        """Count a row that the source's condition or bounds leave out."""
        self.rows += 1
        self.removed[reason] += 1

    def reject(self, reason: str) -> None:
        """Count a row that cannot be used."""
        self.rows += 1
        self.rejected[reason] += 1

    def offer(self, identity: str | None, text: str) -> None:
        """Consider a text; `identity` of `None` stands for the hash of its normalised form."""
        found = within(text, self.bounds)
        if isinstance(found, LeftOut):
            self.remove(found.reason)
        else:
            self.take(identity, found, text if self.whole else "")

    def take(self, identity: str | None, line: str, whole: str) -> None:
        """Consider a normalised text that is within bounds, and the same as it was."""
        self.rows += 1
        identity = identity or xxhash.xxh3_128_hexdigest(line.encode())
        entry = (-_hash("sample", self._seed, identity), identity, line, whole)
        if self._limit and len(self._kept) >= self._limit:
            heapq.heappushpop(self._kept, entry)
            self.removed["sampled_out"] += 1
        else:
            heapq.heappush(self._kept, entry)

    @property
    def used(self) -> int:
        """Texts kept so far."""
        return len(self._kept)

    def texts(self) -> list[LabelledText]:
        """What was kept, in order of hash."""
        ordered = sorted(self._kept, reverse=True)
        return [LabelledText(identity, self.source, line, w) for _, identity, line, w in ordered]


@dataclass(frozen=True)
class Division:
    """Texts by use. Normalised texts are distinct across all of it.

    Attributes:
        train, validation: (is positive, text), in an order decided by hash.
        removed: texts left out: `duplicate` (of one of the same class), `also_positive`
            (a negative whose text is a positive too).
    """

    train: list[tuple[bool, LabelledText]]
    validation: list[tuple[bool, LabelledText]]
    removed: dict[str, int]


def divide(
    positives: Iterable[LabelledText],
    negatives: Iterable[LabelledText],
    validation_fraction: float,
    min_examples: int,
    seed: int,
) -> Division:
    """Drop duplicates, then set a share aside by hash of the text.

    Equal texts have equal hashes, so none can be on both sides.

    Raises:
        OneClassError: one class has no text at all.
        TooFewLabelsError: a class has fewer than `min_examples` texts to train on.
    """
    removed: Counter[str] = Counter()
    chosen: dict[str, tuple[bool, LabelledText]] = {}
    for positive, texts in ((True, positives), (False, negatives)):
        for item in texts:
            other = chosen.get(item.text)
            if other is None:
                chosen[item.text] = (positive, item)
            else:
                removed["duplicate" if other[0] == positive else "also_positive"] += 1
    order = sorted((_hash("order", seed, text), text) for text in chosen)
    train: list[tuple[bool, LabelledText]] = []
    validation: list[tuple[bool, LabelledText]] = []
    for _, text in order:
        aside = _hash("held out", seed, text) < validation_fraction * _SCALE
        (validation if aside else train).append(chosen[text])
    _check(train, validation, min_examples)
    return Division(train, validation, dict(sorted(removed.items())))


def _check(
    train: list[tuple[bool, LabelledText]],
    validation: list[tuple[bool, LabelledText]],
    min_examples: int,
) -> None:
    found = {name: sum(p is wanted for p, _ in train + validation) for name, wanted in _CLASSES}
    for name, _ in _CLASSES:
        if not found[name]:
            raise OneClassError(
                f"no {name} texts are left: {found['positive']} positive, "
                f"{found['negative']} negative. Check the conditions (where_field, url_pattern, "
                f"min_chars, max_chars) of the {name}s' sources, and that negatives are not all "
                "among the positives"
            )
    trained = {name: sum(p is wanted for p, _ in train) for name, wanted in _CLASSES}
    for name, count in trained.items():
        if count < min_examples:
            raise TooFewLabelsError(
                f"{count} distinct {name} texts to train on, min_examples is {min_examples}; "
                f"name more {name}s or lower min_examples"
            )


_CLASSES = (("positive", True), ("negative", False))


def _hash(purpose: str, seed: int, text: str) -> int:
    # The purpose keeps sampling, order and validation share independent of one another.
    return xxhash.xxh3_64_intdigest(f"{purpose}\0{seed}\0{text}".encode())
