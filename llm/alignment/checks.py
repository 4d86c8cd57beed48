"""Checks before training, each for a fault that leaves the loss looking healthy.

| fault | seen in |
|---|---|
| rows cut in silence, answers and all | TRL issues 2400, 6548 |
| the end of a turn never learned | TRL issues 1623, 3091 |
| rows with nothing to learn, an all-zero mask | transformers issue 34172 |
| the trainer learning from other tokens than these | TRL issue 6105 |
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from llm.alignment.data import Limit, Rows
from llm.errors import ExpectedError
from llm.tables import TRAIN


class NoRowsError(ExpectedError, ValueError):
    """No row is left to train on."""


class TruncatedRowsError(ExpectedError, ValueError):
    """More rows are longer than `max_length` than allowed."""


class NothingSupervisedError(ExpectedError, ValueError):
    """A row has no token to learn."""


class TurnEndError(ExpectedError, ValueError):
    """A row that was not cut does not end with a supervised end of turn."""


class ContextError(ExpectedError, ValueError):
    """Rows may be longer than the model's context."""


class TrainerDataError(ExpectedError, RuntimeError):
    """What the trainer is about to learn is not what was rendered."""


def check_context(max_length: int, context: int) -> None:
    """Raises:
    ContextError: `max_length` exceeds the context the model was made for.
    """
    if max_length > context:
        raise ContextError(
            f"max_length {max_length} exceeds the model's context of {context} tokens; lower it"
        )


def check_rows(rows: Rows, max_truncated: float, limit: Limit) -> int:
    """How many rows are longer than the limit, those removed for it included.

    Raises:
        TruncatedRowsError, NoRowsError
    """
    cut: int = pc.sum(rows.used.column("truncated"), min_count=0).as_py()
    too_long: int = cut + rows.removed.num_rows
    everything = rows.used.num_rows + rows.removed.num_rows
    if limit.cut and too_long > max_truncated * everything:
        raise TruncatedRowsError(
            f"{too_long} of {everything} rows ({too_long / everything:.1%}) are longer than "
            f"max_length ({limit.tokens} tokens); max_truncated allows {max_truncated:.1%}. "
            f"{cut} would lose the end of their answer, {rows.removed.num_rows} all of it. Raise "
            "max_length (and the model's context), shorten the examples, leave long ones out "
            "(long_rows=remove), or allow more"
        )
    if not rows.split(TRAIN).num_rows:
        raise NoRowsError(
            f"no row of split {TRAIN!r} is left to train on: {rows.used.num_rows} usable rows in "
            f"all, removed {rows.reasons(rows.removed)}, rejected {rows.reasons(rows.rejected)}"
        )
    return too_long


def check_supervised(table: pa.Table, end: int) -> None:
    """Every row has something to learn, and its end unless it was cut.

    Args:
        table: INSTRUCTION_ROWS.
        end: id of the end of a turn.

    Raises:
        NothingSupervisedError, TurnEndError
    """
    offsets, supervised = flat(table.column("supervised"))
    ids = table.column("doc_id")
    filled = np.diff(offsets) > 0
    counts = np.zeros(table.num_rows, dtype=np.int64)
    if filled.any():
        counts[filled] = np.add.reduceat(supervised.astype(np.int64), offsets[:-1][filled])
    for row in np.flatnonzero(counts == 0)[:1]:
        raise NothingSupervisedError(f"example {ids[row]}: none of its tokens is supervised")
    _, tokens = flat(table.column("tokens"))
    last = offsets[1:] - 1
    ended = (tokens[last] == end) & supervised[last]
    _must_end(ended, table, "completion")


def check_pairs(table: pa.Table, end: int) -> None:
    """The same of PREFERENCE_ROWS, and that no answer is empty."""
    check_answers(table, ("chosen_tokens", "rejected_tokens"), end)


def check_answers(table: pa.Table, answers: Sequence[str], end: int) -> None:
    """The same of rows with `prompt_tokens` and answers to it in columns of these names.

    Raises:
        NothingSupervisedError, TurnEndError
    """
    for name in ("prompt_tokens", *answers):
        offsets, tokens = flat(table.column(name))
        for row in np.flatnonzero(np.diff(offsets) == 0)[:1]:
            raise NothingSupervisedError(f"example {table.column('doc_id')[row]}: no {name}")
        if name in answers:
            _must_end(tokens[offsets[1:] - 1] == end, table, name)


def _must_end(ended: NDArray[np.bool_], table: pa.Table, what: str) -> None:
    cut = table.column("truncated").to_numpy()
    for row in np.flatnonzero(~(ended | cut))[:1]:
        raise TurnEndError(
            f"example {table.column('doc_id')[row]}: its {what} does not end with a supervised "
            "end of turn, so the model would not learn to stop; correct chat_template.jinja"
        )


def check_trained_tokens(expected: int, found: int) -> None:
    """Raises:
    TrainerDataError: the trainer holds another number of supervised tokens.
    """
    if expected != found:
        raise TrainerDataError(
            f"{expected} supervised tokens were rendered, the trainer's data set has {found}; "
            "this version of TRL prepares rows differently. Use the versions of requirements.lock"
        )


def check_same_tokens(name: str, ours: pa.ChunkedArray, theirs: pa.ChunkedArray) -> None:
    """Make sure that the trainer holds rows as they were rendered.

    Raises:
        TrainerDataError: it does not; names its column.
    """
    if not np.array_equal(flat(ours)[1], flat(theirs)[1]):
        raise TrainerDataError(
            f"the trainer's {name} are not the tokens rendered; this version of TRL "
            "prepares rows differently. Use the versions of requirements.lock"
        )


def flat(column: pa.ChunkedArray) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Offsets (rows + 1) and values, end to end, of a list column without nulls."""
    lengths = pc.list_value_length(column).to_numpy().astype(np.int64)
    offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)])
    return offsets, pc.list_flatten(column).to_numpy(zero_copy_only=False)
