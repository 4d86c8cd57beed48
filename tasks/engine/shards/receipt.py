"""The receipt a finished shard leaves.

A receipt is what resume, repair, takeover and refresh are made of: a shard of
equal id in any earlier attempt, whose files still have the recorded hashes, is
adopted instead of built (`tasks/engine/shards/earlier_receipts.py`).
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from tasks.engine.errors import OutputError
from tasks.engine.shards.intermediate import Intermediate
from tasks.engine.store.manifest import File


class Receipt(BaseModel):
    """What one finished shard wrote and counted.

    Attributes:
        code: identity of code and libraries that built it, see `tasks.engine.run.code.identity`.
        files: by output; paths relative to the output's folder.
        reasons: by output, rows by their `reason` column, where it has one.
        intermediate: what was kept for a later map; stored beside that (`AttemptFiles`), not in
            the receipt, which outlives it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    shard_id: str
    code: str = ""
    unit: str
    rows_in: int
    files: dict[str, list[File]]
    reasons: dict[str, dict[str, int]]
    notes: dict[str, int | float | list[str]]
    seconds: float
    intermediate: Intermediate | None = None


def add_fact(
    notes: dict[str, int | float | list[str]], name: str, value: int | float | list[str]
) -> None:
    """Sum numbers, join lists.

    Raises:
        OutputError: one shard noted a number under a name where another noted a list.
    """
    old = notes.get(name)
    lists = isinstance(value, list)
    if old is None:
        notes[name] = value
    elif isinstance(old, list) is lists:
        notes[name] = old + value  # type: ignore[operator]
    else:
        raise OutputError(f"note {name!r} is a list in one place and a number in another")
