"""The checks between a finished body and a published manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tasks.engine.declare import Conservation
from tasks.engine.errors import ConservationError
from tasks.engine.stage.out import Out
from tasks.engine.stage.stage import Stage
from tasks.engine.store.artifact import Data, Inputs
from tasks.engine.store.manifest import File, Totals
from tasks.panels.numbers import counted

Ids = Mapping[str, npt.NDArray[np.bytes_]]

_SHOWN = 5
# Several parts are waited for at once; tiny ones are handed to a thread some at a time.
_READERS, _BATCH = 8, 32


def _ids(data: Data) -> npt.NDArray[np.bytes_]:
    """doc_ids as a sorted array of fixed-width bytes: 32 bytes a row, whatever the corpus, and
    the parts being read, a few at a time."""
    parts = data.parts
    batches = [parts[start : start + _BATCH] for start in range(0, len(parts), _BATCH)]
    with ThreadPoolExecutor(_READERS) as pool:
        pieces = list(pool.map(partial(_batch_ids, data), batches))
    array = np.concatenate(pieces) if pieces else np.empty(0, dtype="S1")
    array.sort()
    return array


def _batch_ids(data: Data, parts: Sequence[File]) -> npt.NDArray[np.bytes_]:
    pieces = [
        _fixed_width(chunk)
        for part in parts
        for chunk in data.part_table(part, ["doc_id"]).column("doc_id").chunks
    ]
    return np.concatenate(pieces) if pieces else np.empty(0, dtype="S1")


def _fixed_width(ids: pa.Array) -> npt.NDArray[np.bytes_]:
    """The ids of a chunk. Where all have one length, as they should, their bytes lie behind each
    other as they are; with Python objects on the way, threads would wait for each other."""
    if len(ids) and pa.types.is_string(ids.type) and not ids.null_count:
        _, places, content = ids.buffers()
        begins = np.frombuffer(places, np.int32, len(ids) + 1, ids.offset * 4)
        width = int(begins[1] - begins[0])
        if width and bool(np.all(np.diff(begins) == width)):
            return np.frombuffer(content, f"S{width}", len(ids), int(begins[0]))
    return np.asarray(ids.to_numpy(zero_copy_only=False)).astype("S")


def check_unique(stage: Stage, out: Out) -> Ids:
    """No doc_id twice in any output that promises so.

    Returns:
        The ids, in order, of those outputs whose ids are to add up (`totals`).

    Raises:
        ConservationError: naming the output and some of the ids.
    """
    law = stage.conservation
    kept = set(_fates(law)) if law is not None and law.ids else set()
    found = {}
    for name, output in stage.outputs.items():
        if not output.unique_ids:
            continue
        ids = _ids(out.data(name))
        if name in kept:
            found[name] = ids
        repeated = np.unique(ids[1:][ids[1:] == ids[:-1]])
        if repeated.size:
            shown = ", ".join(value.decode() for value in repeated[:_SHOWN])
            raise ConservationError(
                f"{stage.name}.{name}: {counted(repeated.size, 'doc_id')} more than once: {shown}"
            )
    return found


def totals(stage: Stage, inputs: Inputs, out: Out, known: Ids) -> Totals:
    """Rows by fate, after proving that they add up.

    Args:
        known: the ids of outputs that were read already.

    Raises:
        ConservationError: rows in are not kept + removed + rejected, or the ids differ.
    """
    law = stage.conservation
    if law is None:
        stated = out.totals or Totals()
    else:
        stated = _by_law(law, inputs, out)
        if law.ids and law.rows_in is not None:
            _check_ids(stage, law, inputs, out, known)
    accounted = stated.kept + sum(stated.removed.values()) + sum(stated.rejected.values())
    if accounted != stated.rows_in:
        raise ConservationError(
            f"{stage.name}: {stated.rows_in} {stated.unit}s in, but kept {stated.kept} + removed "
            f"{stated.removed} + rejected {stated.rejected} = {accounted}; nothing was published"
        )
    return stated


def _by_law(law: Conservation, inputs: Inputs, out: Out) -> Totals:
    def reasons(output: str | None) -> dict[str, int]:
        return dict(sorted(out.reasons.get(output, {}).items())) if output else {}

    return Totals(
        rows_in=out.rows_in if law.rows_in is None else _given(law.rows_in, inputs, out).rows,
        kept=out.data(law.kept).rows,
        removed=reasons(law.removed),
        rejected=reasons(law.rejected),
    )


def _given(name: str, inputs: Inputs, out: Out) -> Data:
    return inputs[name] if name in inputs else out.data(name)


def _fates(law: Conservation) -> list[str]:
    return [name for name in (law.kept, law.removed, law.rejected) if name is not None]


def _check_ids(stage: Stage, law: Conservation, inputs: Inputs, out: Out, known: Ids) -> None:
    assert law.rows_in is not None
    ids_in = _ids(_given(law.rows_in, inputs, out))
    found = np.sort(
        np.concatenate(
            [known[name] if name in known else _ids(out.data(name)) for name in _fates(law)]
        )
    )
    if ids_in.shape == found.shape and bool(np.all(ids_in == found)):
        return
    lost, new = np.setdiff1d(ids_in, found), np.setdiff1d(found, ids_in)
    shown = ", ".join(value.decode() for value in [*lost[:_SHOWN], *new[:_SHOWN]])
    raise ConservationError(
        f"{stage.name}: of {ids_in.size} ids in, {lost.size} are in no output, {new.size} of the "
        f"outputs were not in, {found.size - np.unique(found).size} are there twice: {shown}"
    )
