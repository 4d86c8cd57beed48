"""What is shown of an artifact, as the JSON it is kept in: read back exactly as it was written.

JSON knows no float that is not finite: such a one is written as `{"float": "nan"}`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from llm.errors import ExpectedError
from tasks.panels.panels import (
    Curve,
    Flow,
    Graph,
    Histogram,
    Sample,
    Samples,
    StageView,
    Stream,
    Table,
)

# Raised when the meaning of what is written changes.
VERSION = 1

_NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
_KINDS: Mapping[str, type] = {
    kind.__name__.lower(): kind for kind in (Table, Curve, Histogram, Samples, Graph, Flow)
}
_Reader = Callable[[Any, str], Any]


class PanelsFormatError(ExpectedError, ValueError):
    """It is not what this version writes; says where."""


def dumps(view: StageView) -> bytes:
    """A view as JSON.

    Raises:
        PanelsFormatError: a panel holds something other than the plain values it may hold.
    """
    record = {
        "version": VERSION,
        "description": view.description,
        "config": _plain(view.config, "config"),
        "panels": [
            {"kind": type(panel).__name__.lower(), **_plain(panel, f"panels[{index}]")}
            for index, panel in enumerate(view.panels)
        ],
    }
    written = json.dumps(record, allow_nan=False).encode()
    loads(written)  # what cannot be read back is refused while its stage can still be mended
    return written


def loads(written: bytes) -> StageView:
    """The view that was written; its sequences are tuples.

    Raises:
        PanelsFormatError: it is of another version, or malformed.
    """
    try:
        record = json.loads(written, parse_constant=_no_constant)
    except ValueError as error:
        raise PanelsFormatError(f"not JSON: {error}") from error
    if not isinstance(record, dict) or record.get("version") != VERSION:
        version = record.get("version") if isinstance(record, dict) else None
        raise PanelsFormatError(f"version {version!r}; this is version {VERSION}")
    _only(record, {"version", "description", "config", "panels"}, "")
    return StageView(
        _text(record["description"], "description"),
        _one(Table)(record["config"], "config"),
        _each(_panel)(record["panels"], "panels"),
    )


def _plain(value: Any, where: str) -> Any:
    """A value as what JSON can hold."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"float": str(float(value))}
    if is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name), f"{where}.{f.name}") for f in fields(value)}
    if isinstance(value, Mapping):
        for name in value:
            _text(name, f"a name in {where}")
        return {name: _plain(item, f"{where}[{name!r}]") for name, item in value.items()}
    if isinstance(value, Sequence):
        return [_plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
    raise PanelsFormatError(f"{where}: {type(value).__name__} is no plain value")


def _no_constant(name: str) -> None:
    raise PanelsFormatError(f"{name} is not JSON")


def _only(record: Any, names: set[str], where: str) -> None:
    if not isinstance(record, dict) or record.keys() != names:
        raise PanelsFormatError(f"{where or 'it'} must have exactly {', '.join(sorted(names))}")


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise PanelsFormatError(f"{where}: {type(value).__name__}, not a text")
    return value


def _flag(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise PanelsFormatError(f"{where}: {type(value).__name__}, not true or false")
    return value


def _number(value: Any, where: str) -> float:
    if isinstance(value, dict) and value.keys() == {"float"}:
        value = _NOT_FINITE.get(_text(value["float"], where))
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise PanelsFormatError(f"{where}: {type(value).__name__}, not a number")
    return value


def _cell(value: Any, where: str) -> Any:
    return value if value is None or isinstance(value, (str, bool)) else _number(value, where)


def _each(item: _Reader) -> _Reader:
    def read(value: Any, where: str) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise PanelsFormatError(f"{where}: {type(value).__name__}, not a list")
        return tuple(item(one, f"{where}[{index}]") for index, one in enumerate(value))

    return read


def _tuple_of(*items: _Reader) -> _Reader:
    def read(value: Any, where: str) -> tuple[Any, ...]:
        if not isinstance(value, list) or len(value) != len(items):
            raise PanelsFormatError(f"{where} must be a list of {len(items)}")
        return tuple(item(one, where) for item, one in zip(items, value, strict=True))

    return read


def _by_name(item: _Reader) -> _Reader:
    def read(value: Any, where: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise PanelsFormatError(f"{where}: {type(value).__name__}, not an object")
        return {name: item(one, f"{where}[{name!r}]") for name, one in value.items()}

    return read


def _one(kind: type) -> _Reader:
    def read(value: Any, where: str) -> Any:
        readers = _FIELDS[kind]
        _only(value, set(readers), where)
        return kind(
            **{name: item(value[name], f"{where}.{name}") for name, item in readers.items()}
        )

    return read


def _panel(value: Any, where: str) -> Any:
    name = _text(value.get("kind") if isinstance(value, dict) else None, f"{where}.kind")
    if name not in _KINDS:
        raise PanelsFormatError(f"{where}: {name!r} is none of {', '.join(_KINDS)}")
    return _one(_KINDS[name])({key: item for key, item in value.items() if key != "kind"}, where)


_FIELDS: Mapping[type, Mapping[str, _Reader]] = {
    Table: {
        "title": _text,
        "columns": _each(_text),
        "rows": _each(_each(_cell)),
        "note": _text,
    },
    Curve: {
        "title": _text,
        "x_label": _text,
        "y_label": _text,
        "series": _by_name(_each(_tuple_of(_number, _number))),
        "log_x": _flag,
        "log_y": _flag,
        "note": _text,
    },
    Histogram: {
        "title": _text,
        "x_label": _text,
        "edges": _each(_number),
        "counts": _by_name(_each(_number)),
        "note": _text,
    },
    Sample: {"heading": _text, "text": _text, "facts": _by_name(_cell)},
    Samples: {"title": _text, "items": _each(_one(Sample)), "note": _text},
    Graph: {
        "title": _text,
        "nodes": _by_name(_text),
        "edges": _each(_tuple_of(_text, _text, _text)),
        "note": _text,
    },
    Stream: {
        "source": _text,
        "target": _text,
        "count": _number,
        "kind": _text,
        "words": _text,
    },
    Flow: {
        "title": _text,
        "unit": _text,
        "streams": _each(_one(Stream)),
        "note": _text,
    },
}
