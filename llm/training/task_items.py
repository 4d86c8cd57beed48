"""Items of tasks that a run is measured on as it goes: choices, as tokens behind their prompts.

The trainer knows neither texts nor templates: whoever starts it makes the file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from llm.errors import ExpectedError

Kind = Literal["multiple_choice", "minimal_pairs"]
_TOKENS = pa.list_(pa.int32())
# A row a choice; those of an item stand together, in the order of the choices.
TASK_ITEMS = pa.schema(
    [
        pa.field("task", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("item", pa.string(), nullable=False),
        pa.field("prompt", _TOKENS, nullable=False),
        pa.field("continuation", _TOKENS, nullable=False),
        pa.field("characters", pa.int64(), nullable=False),
        pa.field("right", pa.bool_(), nullable=False),
    ]
)


class TaskItemsError(ExpectedError, ValueError):
    """A file of task items does not fit the run; names it."""


@dataclass(frozen=True)
class Choice:
    """One of an item's continuations.

    Attributes:
        tokens: prompt and continuation; `scored` of them, the last ones, are the continuation's.
        characters: of the continuation's text.
    """

    tokens: Sequence[int]
    scored: int
    characters: int
    right: bool


@dataclass(frozen=True)
class TaskItems:
    """A task: its items, each its choices; of minimal pairs the right one first."""

    name: str
    kind: Kind
    items: Sequence[Sequence[Choice]]


def read(path: Path, vocabulary_size: int, context: int) -> list[TaskItems]:
    """The tasks in a file of `TASK_ITEMS`, in its order.

    Raises:
        TaskItemsError: it cannot be read, or its tokens are of another tokenizer or longer than the
            context.
    """
    try:
        table = pq.read_table(path, schema=TASK_ITEMS)
    except (OSError, pa.ArrowException) as error:
        raise TaskItemsError(f"{path}: no readable file of task items: {error}") from error
    kinds: dict[str, Kind] = {}
    found: dict[str, dict[str, list[Choice]]] = {}
    for row in table.to_pylist():
        choice = _choice(row)
        if not 0 <= min(choice.tokens) <= max(choice.tokens) < vocabulary_size:
            raise TaskItemsError(
                f"{path}: {row['task']}, {row['item']}: tokens outside the vocabulary of "
                f"{vocabulary_size}: made with another tokenizer; make the file again"
            )
        # The last token is predicted and not read.
        if len(choice.tokens) - 1 > context:
            raise TaskItemsError(
                f"{path}: {row['task']}, {row['item']}: {len(choice.tokens)} tokens do not fit the "
                f"context of {context}; make the file again"
            )
        kinds[row["task"]] = row["kind"]
        found.setdefault(row["task"], {}).setdefault(row["item"], []).append(choice)
    return [TaskItems(name, kinds[name], list(items.values())) for name, items in found.items()]


def _choice(row: Mapping[str, Any]) -> Choice:
    tokens = [*row["prompt"], *row["continuation"]]
    return Choice(tokens, len(row["continuation"]), row["characters"], row["right"])
