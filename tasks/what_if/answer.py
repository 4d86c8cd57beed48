"""What would change sides, as people and programs read it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from tasks.panels.numbers import NOTHING, counted, number
from tasks.what_if.expected import Expected
from tasks.what_if.sides import Count, Side, WhatIf

_MARK = {"comes": "+", "goes": "-"}


def rows_of(found: WhatIf) -> list[dict[str, str]]:
    """Documents and tokens that come in and go, in all and by source, language and reason."""
    rows = [
        _row("all", "", found.comes.total, found.goes.total),
        *_by("source", found.comes.sources, found.goes.sources),
        *_by("language", found.comes.languages, found.goes.languages),
    ]
    rows += [
        _row("reason", reason, *(_reason(side, reason) for side in (found.comes, found.goes)))
        for reason in dict.fromkeys([*found.comes.reasons, *found.goes.reasons])
    ]
    return rows


def _by(what: str, comes: Any, goes: Any) -> list[dict[str, str]]:
    nothing = Count(0, 0)
    return [
        _row(what, name, comes.get(name, nothing), goes.get(name, nothing))
        for name in dict.fromkeys([*comes, *goes])
    ]


def _reason(side: Side, reason: str) -> Count:
    return Count(side.reasons.get(reason, 0), None)


def _row(what: str, name: str, comes: Count, goes: Count) -> dict[str, str]:
    return {
        "by": what,
        "": name,
        "come in": number(comes.documents),
        "tokens": NOTHING if comes.tokens is None else number(comes.tokens),
        "go": number(goes.documents),
        "tokens ": NOTHING if goes.tokens is None else number(goes.tokens),
    }


def examples_of(found: WhatIf) -> list[str]:
    """A few documents of either side, three lines each."""
    lines = []
    for which, side in (("comes", found.comes), ("goes", found.goes)):
        for each in side.examples:
            title = f"{each.title} " if each.title else ""
            why = f"{each.reason}: {each.detail}" if each.detail else each.reason
            lines.append(
                f"{_MARK[which]} {title}<{each.url or each.doc_id}>\n    {why}\n    {each.line}"
            )
    return lines


def in_words(found: WhatIf) -> str:
    """The answer in a sentence."""
    comes, goes = found.comes.total, found.goes.total
    tokens = ""
    if comes.tokens is not None and goes.tokens is not None:
        tokens = f", {comes.tokens - goes.tokens:+,} tokens (estimated)"
    otherwise = f"; {counted(found.otherwise, 'document')} removed for another reason" * bool(
        found.otherwise
    )
    return (
        f"{found.artifact.stage} would keep {number(found.kept_after)} documents, not "
        f"{number(found.kept_before)}: {number(comes.documents)} come in, "
        f"{number(goes.documents)} go{tokens}{otherwise}"
    )


def expected_in_words(expected: Expected | None) -> str:
    """What that is to do to bits per byte, and who says so."""
    if expected is None:
        return (
            "no experiment has measured what that does to bits per byte; "
            "`ingot experiment` with this change as a variant does"
        )
    change = expected.change
    ends = "" if change.low is None else f" [{change.low:+.3g}, {change.high:+.3g}]"
    sources = ", ".join(expected.sources)
    if not expected.between:
        return f"bits per byte {change.value:+.3g}{ends}, as measured ({sources})"
    low, high = expected.between
    return (
        f"bits per byte about {change.value:+.3g}{ends}, on the line between {low:g} and {high:g} "
        f"({sources})"
    )


def as_record(found: WhatIf, expected: Expected | None) -> dict[str, Any]:
    """The answer for programs: JSON-able."""
    return {
        "stage": found.artifact.stage,
        "artifact": found.artifact.folder,
        "kept_before": found.kept_before,
        "kept_after": found.kept_after,
        "removed_otherwise": found.otherwise,
        "comes": asdict(found.comes),
        "goes": asdict(found.goes),
        "expected_bits_per_byte": None if expected is None else asdict(expected),
    }
