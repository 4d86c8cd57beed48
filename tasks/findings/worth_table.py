"""What variants are worth, as people read it: tables, a sentence, and how to read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llm.evaluation.measure import BITS_PER_BYTE
from tasks.comparison.comparing import CHANGE, change_text, p_text, signed, smallest_text
from tasks.findings.result import Gain, Result
from tasks.panels.numbers import NOTHING, counted, number
from tasks.panels.panels import Cell, Panel, Table

# Columns about what a variant trains on.
_TEXT = ("variant", "documents", "+/-", "tokens", "+/- ")


def rows_of(found: Result) -> list[dict[str, str]]:
    """The table of variants by bits per byte, as texts."""
    base = found.variants[0]
    rows = []
    for each in found.variants:
        gain = each.gain
        row = {
            "variant": each.variant,
            "bits per byte": f"{each.bits_per_byte:.4f}",
            CHANGE: change_text(gain.difference) if gain else NOTHING,
            "verdict": "same model" if each.same else gain.difference.verdict if gain else "",
            "between seeds": _spread(gain),
            "p": p_text(gain.difference.corrected_p) if gain else NOTHING,
            "could show": smallest_text(gain.difference) if gain else NOTHING,
            "documents": number(each.documents),
            "+/-": _more(each.documents - base.documents, each is base),
            "tokens": number(each.tokens),
            "+/- ": _more(each.tokens - base.tokens, each is base),
        }
        if len(found.seeds) < 2:
            del row["between seeds"]
        rows.append(row)
    return rows


def _more(count: int, is_base: bool) -> str:
    return NOTHING if is_base else f"{count:+,}" if count else "0"


def _spread(gain: Gain | None) -> str:
    spread = gain.between_seeds if gain else None
    return NOTHING if spread is None else f"± {spread:.3g}"


def task_rows(found: Result) -> list[dict[str, str]]:
    """Everything else that variants were measured by, as texts."""
    return [
        {
            "measure": gain.difference.metric,
            "variant": each.variant,
            "base": number(gain.difference.before),
            "variant's": number(gain.difference.after),
            CHANGE: change_text(gain.difference),
            "verdict": gain.difference.verdict,
            "p": p_text(gain.difference.corrected_p),
        }
        for each in found.variants
        for gain in each.gains
        if gain.difference.metric != BITS_PER_BYTE
    ]


def in_words(found: Result) -> str:
    """The verdicts by bits per byte, in a sentence."""
    said = []
    for each in found.variants[1:]:
        for gain in each.gains:
            if gain.difference.metric == BITS_PER_BYTE and gain.difference.is_significant:
                change = signed(gain.difference.change.value)
                said.append(f"{each.variant} is {gain.difference.verdict} ({change})")
    return "; ".join(said) or "no variant differs from the base by more than these items can show"


def note(found: Result) -> str:
    """How the table is read."""
    seeds = len(found.seeds)
    over = (
        f" Means over {counted(seeds, 'seed')}; between seeds: the standard deviation of the "
        "change. The intervals hold for other documents of this kind and for other seeds."
        if seeds > 1
        else " One seed: the intervals are about other documents of this kind, and say nothing of "
        "how much another seed would change."
    )
    left_out = (
        f" {counted(found.left_out, 'document')} left out, since a variant trains on "
        f"{'it' if found.left_out == 1 else 'them'} or on near-duplicates."
        if found.left_out
        else ""
    )
    return (
        f"Each variant less the base, on {counted(found.items, 'validation document')} of the base "
        f"whatever the variant removes.{left_out}{over} Intervals by a bootstrap of pairs; p "
        "corrected for the number of variants (Holm); other measures are corrected together. "
        "Documents and tokens: of the training split."
    )


def panels(found: Result) -> list[Panel]:
    """The experiment for pages, which have no room for as many columns as a terminal."""
    rows = rows_of(found)
    text = [{name: row[name] for name in _TEXT} for row in rows]
    worth = [{name: row[name] for name in row if name not in _TEXT[1:]} for row in rows]
    return [
        _table("Variants", worth, note(found)),
        _table("Training text of the variants", text),
        *(_table("Other measures", rows, note(found)) for rows in [task_rows(found)] if rows),
    ]


def _table(title: str, rows: Sequence[Mapping[str, str]], said: str = "") -> Table:
    lines: list[list[Cell]] = [list(row.values()) for row in rows]
    return Table(title, list(rows[0]), lines, said)
