"""Rows of Arrow batches as Python values, whatever is in them.

A Parquet file may say "string" of bytes that are no UTF-8, and hold dates of no calendar; a row
is not lost for it, nor are its neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

_TICKS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_DAY = 86_400
_MIN = {pa.int64(): -(2**63), pa.int32(): -(2**31)}
_MAX = {pa.int64(): 2**63 - 1, pa.int32(): 2**31 - 1}
_YEAR_1, _YEAR_10000 = -62_135_596_800, 253_402_300_800  # seconds since 1970

_MICRO = {"ns": "us"}
_LONGEST = 999_999_999 * _DAY  # seconds of a timedelta
# What Arrow raises where Python has no such value; a time zone that is not known is a KeyError.
_NO_VALUE = (ValueError, OverflowError, KeyError)


@dataclass(frozen=True, slots=True)
class NotUtf8:
    """A string that is none; `start` is its first byte that does not fit."""

    raw: bytes
    start: int

    def __str__(self) -> str:
        return self.raw.decode("utf-8", "replace")


def python_rows(batch: pa.RecordBatch) -> Iterator[dict[str, Any]]:
    """The rows of a batch: text as `str` (or `NotUtf8`, also for a list or struct that holds one),
    times as `datetime` in UTC or without a zone, days as `date`, in whole microseconds; what Python
    has no value for, such as times outside the years 1 to 9999, as `None`."""
    names = batch.schema.names
    columns = [_values(column) for column in batch.columns]
    for row in zip(*columns, strict=True):
        yield dict(zip(names, row, strict=True))


def _values(column: pa.Array) -> list[Any]:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    column = _with_dates_of_people(column)
    plain = _without_nanoseconds(column.type)
    if plain != column.type:
        column = column.cast(plain, safe=False)
    try:
        values: list[Any] = column.to_pylist()
    except _NO_VALUE as error:
        if not (isinstance(error, UnicodeDecodeError) and _is_text(column.type)):
            return [_decodable(scalar) for scalar in column]
        wide = column.cast(pa.large_binary()).to_pylist()
        return [None if value is None else _decode(value) for value in wide]
    return values


def _decodable(scalar: pa.Scalar) -> Any:
    try:
        return _python(scalar)
    except UnicodeDecodeError as error:  # of a text somewhere in it
        return NotUtf8(error.object, error.start)


def _python(scalar: pa.Scalar) -> Any:
    """The value of a scalar with times in it, or beside it, that Python has none for."""
    try:
        return scalar.as_py()
    except UnicodeDecodeError:
        raise
    except _NO_VALUE:
        kind = scalar.type
        if pa.types.is_map(kind):
            return [(_python(pair["key"]), _python(pair["value"])) for pair in scalar.values]
        if pa.types.is_struct(kind):
            return {name: _python(value) for name, value in scalar.items()}
        if isinstance(scalar, (pa.ListScalar, pa.ListViewScalar, pa.LargeListViewScalar)):
            return [_python(value) for value in scalar.values]
        if pa.types.is_dictionary(kind):
            return _python(scalar.value)
        if pa.types.is_temporal(kind):
            return _with_dates_of_people(pa.repeat(scalar, 1))[0].as_py()
        raise


def _is_text(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _decode(raw: bytes) -> str | NotUtf8:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        return NotUtf8(raw, error.start)


def _without_nanoseconds(kind: pa.DataType) -> pa.DataType:
    """A nested type with microseconds for nanoseconds, which Python does not know, and UTC for
    every zone, known or not."""
    types = pa.types
    if types.is_struct(kind):
        return pa.struct([_plain_field(field) for field in kind])
    if types.is_map(kind):
        return pa.map_(_plain_field(kind.key_field), _plain_field(kind.item_field))
    if types.is_fixed_size_list(kind):
        return pa.list_(_plain_field(kind.value_field), kind.list_size)
    if types.is_large_list(kind):
        return pa.large_list(_plain_field(kind.value_field))
    if types.is_list(kind):
        return pa.list_(_plain_field(kind.value_field))
    if types.is_timestamp(kind):
        return pa.timestamp(_MICRO.get(kind.unit, kind.unit), "UTC" if kind.tz else None)
    if types.is_time64(kind):
        return pa.time64("us")
    if types.is_duration(kind):
        return pa.duration(_MICRO.get(kind.unit, kind.unit))
    return kind


def _plain_field(field: pa.Field) -> pa.Field:
    return field.with_type(_without_nanoseconds(field.type))


def _with_dates_of_people(column: pa.Array) -> pa.Array:
    """The column with nulls for dates outside the years 1 to 9999, and for longer times than a
    `timedelta` has, which Python has no values for: most are of another unit than the column says.
    Timestamps become UTC's, else a zone could push the last second of those years out of them."""
    import pyarrow.compute as pc  # not before: see llm/rows.py

    kind = column.type
    if pa.types.is_timestamp(kind):
        a_unit = _TICKS[kind.unit]
        plain = pa.timestamp(kind.unit, "UTC" if kind.tz else None)
        ticks, bounds = pa.int64(), (_YEAR_1 * a_unit, _YEAR_10000 * a_unit)
    elif pa.types.is_duration(kind):
        plain, ticks = kind, pa.int64()
        bounds = (-_LONGEST * _TICKS[kind.unit], _LONGEST * _TICKS[kind.unit])
    elif pa.types.is_date(kind):
        plain = pa.date32()
        ticks, bounds = pa.int32(), (_YEAR_1 // _DAY, _YEAR_10000 // _DAY)
    else:
        return column
    if pa.types.is_date64(kind):
        column = pc.divide(column.cast(pa.int64()), _DAY * 1000).cast(pa.int32(), safe=False)
    count = column.cast(ticks)
    first, beyond = (min(max(bound, _MIN[ticks]), _MAX[ticks]) for bound in bounds)
    sound = pc.and_(pc.greater_equal(count, first), pc.less(count, beyond))
    return pc.if_else(sound, count, pa.scalar(None, ticks)).cast(plain)
