"""Which examples stay: one of every content, no validation prompt in training, and the caps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import xxhash

from llm.alignment.examples.tables import INSTRUCTION, Example, Kind
from llm.tables import VALIDATION

_OF_FILES, _OF_VALIDATION, _OF_TRAINING = "of files", "validation", "train"


@dataclass(frozen=True)
class Caps:
    """How many examples stay.

    Attributes:
        instructions, preferences: made of documents of the training split.
        validation: of either, made of documents of the validation split.
        from_files: of either, of both splits together; none = all.
        seed: of the order in which they are taken.
    """

    instructions: int
    preferences: int
    validation: int
    from_files: int | None
    seed: int

    def of(self, kind: Kind, group: str) -> int | None:
        """How many of a kind may stay in a group; none = all."""
        if group == _OF_FILES:
            return self.from_files
        if group == _OF_VALIDATION:
            return self.validation
        return self.instructions if kind == INSTRUCTION else self.preferences


@dataclass(frozen=True)
class Removal:
    """Why a sound example is left out."""

    reason: str
    value: float | None
    threshold: float | None
    detail: str


@dataclass(frozen=True, slots=True)
class _Entry:
    """Of an example what decides over it: some hundred bytes, whatever its length."""

    kind: Kind
    validation: bool
    parents: tuple[str, ...]
    doc_id: str
    same: int
    opening: int


class ExampleSelector:
    """Every example there is, in the order they are added."""

    def __init__(self) -> None:
        self._entries: list[_Entry] = []

    def add(self, example: Example) -> None:
        """Remember what decides over an example; its text is not kept."""
        opening = xxhash.xxh3_128_intdigest(example.opening().encode())
        validation = example.split == VALIDATION
        self._entries.append(
            _Entry(
                example.kind, validation, example.parents, example.doc_id, example.same(), opening
            )
        )

    def decide(self, caps: Caps) -> list[Removal | None]:
        """For each example, in order of adding, why it goes, or `None`.

        Duplicates go first (kind and content are equal; one for validation stays before one
        to train on), then training examples that begin like one for validation, then what
        exceeds the caps.
        The order of adding decides over nothing.
        """
        removals: dict[int, Removal] = {}
        self._remove_duplicates(removals)
        self._remove_validation_prompts(removals)
        self._apply_caps(caps, removals)
        return [removals.get(place) for place in range(len(self._entries))]

    def _remove_duplicates(self, removals: dict[int, Removal]) -> None:
        entries = self._entries
        kept: dict[int, str] = {}
        for place in sorted(range(len(entries)), key=lambda place: _rank(entries[place])):
            entry = entries[place]
            first = kept.setdefault(entry.same, "")
            if first:
                removals[place] = Removal("duplicate", None, None, f"of {first}")
            else:
                kept[entry.same] = entry.doc_id

    def _remove_validation_prompts(self, removals: dict[int, Removal]) -> None:
        held: dict[int, str] = {}
        for _, entry in self._remaining(removals):
            if entry.validation:
                held[entry.opening] = min(entry.doc_id, held.get(entry.opening, entry.doc_id))
        for place, entry in list(self._remaining(removals)):
            if not entry.validation and entry.opening in held:
                detail = f"begins like {held[entry.opening]}, which is for validation"
                removals[place] = Removal("validation_prompt", None, None, detail)

    def _apply_caps(self, caps: Caps, removals: dict[int, Removal]) -> None:
        groups: dict[tuple[Kind, str], list[int]] = {}
        for place, entry in self._remaining(removals):
            groups.setdefault((entry.kind, _group(entry)), []).append(place)
        for (kind, group), places in groups.items():
            limit = caps.of(kind, group)
            if limit is None:
                continue
            order = _shuffle({place: self._entries[place].doc_id for place in places}, caps.seed)
            for place in order[limit:]:
                detail = f"{len(places)} {kind}s, the first {limit} by hash stay"
                removals[place] = Removal("cap", float(len(places)), float(limit), detail)

    def _remaining(self, removals: Mapping[int, Removal]) -> Iterable[tuple[int, _Entry]]:
        return ((at, entry) for at, entry in enumerate(self._entries) if at not in removals)


def _group(entry: _Entry) -> str:
    if not entry.parents:
        return _OF_FILES
    return _OF_VALIDATION if entry.validation else _OF_TRAINING


def _rank(entry: _Entry) -> tuple[bool, str, tuple[str, ...]]:
    return not entry.validation, entry.doc_id, entry.parents


def _shuffle(ids: Mapping[int, str], seed: int) -> list[int]:
    """Places in an order that depends on seed and ids alone."""

    def point(place: int) -> tuple[int, str]:
        return xxhash.xxh3_64_intdigest(f"{seed}:cap:{ids[place]}".encode()), ids[place]

    return sorted(ids, key=point)
