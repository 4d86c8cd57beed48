"""A field of a paper: what it says, who says it, and what that was read from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.engine.errors import IngotError
from tasks.papers.known import Evidence
from tasks.settings_files.field_errors import did_you_mean

DERIVED, GIVEN, ASKED, UNKNOWN = "derived", "given", "asked", "unknown"
TO_BE_SAID = {
    ASKED: "(to be said by a person)",
    UNKNOWN: "(not known of these data; to be said by a person)",
}


class PapersAnswersError(IngotError):
    """A file of answers has a field that no paper has, or a value of another kind; names both."""


@dataclass(frozen=True)
class Field:
    """One field.

    Attributes:
        key: what a file of answers calls it, such as "provider.name".
        section: number and title of the section it is in.
        value: a text, or rows of a table (mappings of the same keys); `None` where nothing is
            known.
        derivable: provenance can say it; else only a person knows.
        who: "derived" from artifacts or "given" by a person; without a value "asked" of a person,
            or "unknown" where other data would have said it.
        evidence: outputs it was read from.
    """

    key: str
    section: str
    label: str
    value: str | Sequence[Mapping[str, Any]] | None
    derivable: bool
    who: str
    evidence: Sequence[Evidence] = ()


def derived(
    key: str,
    section: str,
    label: str,
    value: str | Sequence[Mapping[str, Any]] | None,
    evidence: Sequence[Evidence] = (),
) -> Field:
    """A field that provenance says; unknown where it has no value here."""
    who = UNKNOWN if value is None else DERIVED
    return Field(key, section, label, value, True, who, evidence)


def asked(key: str, section: str, label: str) -> Field:
    """A field that only a person can say."""
    return Field(key, section, label, None, False, ASKED)


def with_answers(fields: Sequence[Field], answers: Mapping[str, str], where: str) -> list[Field]:
    """Fields with what a person says: theirs stands where both say something.

    Args:
        answers: text by key.
        where: the file they are from, for messages.

    Raises:
        PapersAnswersError: a key is no field's.
    """
    keys = [field.key for field in fields]
    for key in answers:
        if key not in keys:
            raise PapersAnswersError(
                f"{where}: {key}: no field of that name{did_you_mean(key, keys)}; the JSON beside "
                "the paper lists all of them"
            )
    return [
        Field(one.key, one.section, one.label, answers[one.key], one.derivable, GIVEN, one.evidence)
        if one.key in answers
        else one
        for one in fields
    ]


def filled_share(fields: Sequence[Field]) -> float:
    """Of the fields that provenance can say, those that say something."""
    known = [field for field in fields if field.derivable]
    return sum(field.value is not None for field in known) / len(known)


def tally(fields: Sequence[Field]) -> dict[str, int]:
    """How many fields are derived, given, asked and unknown."""
    counts = Counter(field.who for field in fields)
    return {who: counts[who] for who in (DERIVED, GIVEN, ASKED, UNKNOWN)}


def share(part: int, whole: int) -> str:
    """In percent."""
    return f"{part / whole:.1%}" if whole else "0.0%"


def yes(value: bool) -> str:
    """In words."""
    return "Yes." if value else "No."
