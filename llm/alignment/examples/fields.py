"""A record of the user's that knows which of its fields were looked at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_MAX_NAMES = 100  # of a file, each counted by itself; some files have a field a row
OTHERS = "(others)"


class Fields(Mapping[str, Any]):
    """A record whose fields are ticked off as they are read, those of objects in lists too.

    Attributes:
        unread: names of fields that hold something nobody has read yet: "id", "messages[].name".
    """

    def __init__(
        self, record: Mapping[str, Any], unread: set[str] | None = None, prefix: str = ""
    ) -> None:
        self._record, self._prefix = record, prefix
        self.unread: set[str] = set() if unread is None else unread
        self.unread |= {f"{prefix}{name}" for name in record if self.has(name)}

    def has(self, name: str) -> bool:
        """Whether the field holds something. This does not count as reading it."""
        # Parquet gives every row every column: a null there is a field the row does not have.
        return self.peek(name) is not None

    def peek(self, name: str) -> Any:
        """What the field holds, if anything. This does not count as reading it."""
        return self._record.get(name)

    def __getitem__(self, name: str) -> Any:
        value = self._record[name]
        path = f"{self._prefix}{name}"
        self.unread.discard(path)
        if isinstance(value, Mapping):
            return Fields(value, self.unread, f"{path}.")
        if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
            inner = f"{path}[]."
            return [Fields(v, self.unread, inner) if isinstance(v, Mapping) else v for v in value]
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._record)

    def __len__(self) -> int:
        return len(self._record)


def count(unread: set[str], rows: Counter[str]) -> None:
    """Add a row's unread fields to the count of rows by field."""
    for spelled in sorted(unread):
        name = spelled.encode("utf-8", "replace").decode()  # a lone surrogate is no text
        rows[name if name in rows or len(rows) < _MAX_NAMES else OTHERS] += 1
