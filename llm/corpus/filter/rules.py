"""Keeping documents by rules over their attributes.

A rule looks at one column. Rules apply in order: a document is removed for the first
one it fails, and how many fail each rule at all is counted beside. A null (and a NaN)
passes: a metric that does not exist for a document is no evidence against it. A rule of
a group looks at the documents of that group alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from llm.errors import ExpectedError

KEPT = -1


class UnknownColumnError(ExpectedError, ValueError):
    """A rule names a column the attributes do not have; lists those they have."""


class ColumnTypeError(ExpectedError, ValueError):
    """A rule compares a text column with numbers, or a number column with texts."""


@dataclass(frozen=True)
class Rule:
    """One condition documents must meet.

    Attributes:
        name: the reason recorded for a removed document.
        column: of the attributes; booleans count as 0 and 1.
        minimum, maximum: inclusive bounds of what is kept; `None` = none.
        allowed: values kept of a text column; empty = no such condition.
        keep_fraction: keep this share of all rows, those of highest value; `None` = no such
            condition.
        group: the only one whose rows it looks at, as a place among the groups; `None` = all rows.
    """

    name: str
    column: str
    minimum: float | None
    maximum: float | None
    allowed: tuple[str, ...]
    keep_fraction: float | None
    group: int | None


@dataclass(frozen=True)
class Cutoff:
    """The worst row a `keep_fraction` keeps: its value, and its doc_id to break ties."""

    value: float
    doc_id: str


@dataclass(frozen=True)
class Judgement:
    """What the rules say about some rows.

    Attributes:
        first: int64 (rows,): index of the first rule a row fails, `KEPT` if none.
        value, threshold: float64 (rows,): measured and required, NaN where kept or text.
        detail: the failed comparison in words, `None` where kept.
        failed_first, failed, null: rows by rule, in order of rules.
    """

    first: NDArray[np.int64]
    value: NDArray[np.float64]
    threshold: NDArray[np.float64]
    detail: list[str | None]
    failed_first: list[int]
    failed: list[int]
    null: list[int]


def check_rules(rules: Sequence[Rule], schema: pa.Schema) -> None:
    """Make sure every rule fits the attributes.

    Raises:
        UnknownColumnError: a rule's column does not exist.
        ColumnTypeError: bounds on a text column, or `allowed` on a number column.
    """
    for rule in rules:
        if rule.column not in schema.names:
            raise UnknownColumnError(
                f"rule {rule.name!r}: no column {rule.column!r} in the attributes; "
                f"they have {', '.join(schema.names)}"
            )
        kind = schema.field(rule.column).type
        textual = pa.types.is_string(kind) or pa.types.is_large_string(kind)
        if textual != bool(rule.allowed):
            need = "allowed" if textual else "minimum, maximum or keep_fraction"
            raise ColumnTypeError(
                f"rule {rule.name!r}: column {rule.column!r} is of type {kind}; use {need}"
            )


def find_cutoff(
    tables: Callable[[], Iterable[pa.Table]], column: str, fraction: float
) -> Cutoff | None:
    """The row at which the best `fraction` of all rows ends.

    Of n rows with a value, ceil(fraction * n) are kept; among equal values the smaller doc_id
    comes first. `None` when no row has a value.

    Args:
        tables: called twice, yields tables with `doc_id` and `column`; only the values are
            held in memory, and the doc_ids of rows that tie at the cut.
    """
    pieces = [_numbers(table.column(column)) for table in tables()]
    values = np.concatenate([np.empty(0), *pieces])
    values = values[~np.isnan(values)]
    if not values.size:
        return None
    # The product of a decimal share and a count may lie a hair above a whole number.
    kept = max(1, min(values.size, math.ceil(fraction * values.size - 1e-9)))
    place = values.size - kept
    cut = float(np.partition(values, place)[place])
    room = kept - int((values > cut).sum())
    tied: list[str] = []
    for table in tables():
        equal = pa.array(_numbers(table.column(column)) == cut)
        tied += table.column("doc_id").filter(equal).to_pylist()
    return Cutoff(cut, sorted(tied)[room - 1])


def judge(
    attributes: pa.Table,
    rules: Sequence[Rule],
    cutoffs: Mapping[str, Cutoff],
    groups: NDArray[np.int64],
) -> Judgement:
    """Apply `rules` to rows of attributes.

    Args:
        attributes: `doc_id` and every column the rules name.
        groups: int64 (rows,): the group of each.
        cutoffs: by rule name, of each `keep_fraction` rule that has one.
    """
    rows = attributes.num_rows
    first = np.full(rows, KEPT, dtype=np.int64)
    value, threshold = np.full(rows, np.nan), np.full(rows, np.nan)
    detail: list[str | None] = [None] * rows
    failed_first, failed, null = [], [], []
    for index, rule in enumerate(rules):
        column = attributes.column(rule.column)
        asked = np.ones(rows, dtype=bool) if rule.group is None else groups == rule.group
        if rule.allowed:
            fails, missing = _not_allowed(column, rule.allowed)
            measured = limits = np.full(rows, np.nan)
        else:
            measured = _numbers(column)
            missing = np.isnan(measured)
            ids = attributes.column("doc_id")
            fails, limits = _out_of_bounds(measured, ids, rule, cutoffs.get(rule.name))
        fails &= asked
        new = fails & (first == KEPT)
        first[new] = index
        value[new], threshold[new] = measured[new], limits[new]
        for row in np.flatnonzero(new).tolist():
            detail[row] = _describe(rule, column[row].as_py(), measured[row], limits[row])
        failed_first.append(int(new.sum()))
        failed.append(int(fails.sum()))
        null.append(int((missing & asked).sum()))
    return Judgement(first, value, threshold, detail, failed_first, failed, null)


def _numbers(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """A number or boolean column as float64, null as NaN."""
    numbers = column.cast(pa.int8()) if pa.types.is_boolean(column.type) else column
    array = numbers.cast(pa.float64()).fill_null(float("nan"))
    return np.asarray(array.to_numpy(), dtype=np.float64)


def _not_allowed(
    column: pa.ChunkedArray, allowed: Sequence[str]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which rows fail, and which have no value."""
    import pyarrow.compute as pc

    among = np.asarray(pc.is_in(column, value_set=pa.array(allowed, pa.string())), dtype=bool)
    missing = np.asarray(column.is_null(), dtype=bool)
    return ~among & ~missing, missing


def _out_of_bounds(
    values: NDArray[np.float64], ids: pa.ChunkedArray, rule: Rule, cutoff: Cutoff | None
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Which rows fail (comparisons with NaN are false, so those pass), and the bound they fail."""
    limits = np.full(len(values), np.nan)
    fails = np.zeros(len(values), dtype=bool)
    if cutoff is not None:
        import pyarrow.compute as pc

        later = np.asarray(pc.greater(ids, cutoff.doc_id), dtype=bool)
        fails = (values < cutoff.value) | ((values == cutoff.value) & later)
        limits[fails] = cutoff.value
    for bound, outside in (
        (rule.maximum, np.greater),
        (rule.minimum, np.less),
    ):
        if bound is not None:
            beyond = outside(values, bound)
            limits[beyond] = bound
            fails |= beyond
    return fails, limits


def _describe(rule: Rule, raw: object, value: float, limit: float) -> str:
    if rule.allowed:
        return f"{rule.column} is {raw}, allowed: {', '.join(rule.allowed)}"
    if value == limit:
        return f"{rule.column} {value:.6g} ties with the cut, later doc_id"
    return f"{rule.column} {value:.6g} {'<' if value < limit else '>'} {limit:.6g}"
