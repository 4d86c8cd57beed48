"""What each item counts: the rows that every measure of a model is the sum of.

The table `items` has a row for every document, answer, pair or question that a model was measured
on. Whoever writes to it keeps to this, so that whoever compares models need know nothing else:

- A measure of a model is sum(value) / sum(weight) over its rows: bits and bytes of a document, nats
  and tokens of an answer, 0 or 1 and 1 of a verdict. Both are finite, every weight is above zero.
- `item` says what was measured, and nothing of model or run: the doc_id of a document or example,
  task and number of a question. It stands once under a model and measure. A document that was cut
  is another item: DOC_ID:BYTES.
- `measure` is a name of `DIRECTIONS`, which says whether high or low is good, or NAME/PART for a
  part of it, such as bits_per_byte/docs. A name that does not stand there has to be one of verdicts
  (every value 0 or 1, every weight 1), of which more is better; else neither way is.
- Where the weights of an item differ between two models, they counted other things (tokens of two
  tokenizers, a page that was cleaned in two ways) and are not compared by that measure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from llm.errors import ExpectedError
from llm.evaluation.measure import (
    BITS_PER_BYTE,
    CHOSEN_LOGPROB,
    COMPLETION_LOSS,
    GENERATED_TOKENS,
    GRADE,
    PREFERENCE_ACCURACY,
    ROLLING_BITS_PER_BYTE,
    VERBATIM_ANSWERS,
    VERBATIM_TEXT,
    Measure,
)
from llm.evaluation.safety.subjects import (
    HARMFUL_REFUSAL,
    MEMORISED_PII,
    MEMORISED_TEXT,
    OVER_REFUSAL,
    TOXIC_WORDS,
)

ITEMS = pa.schema(
    [
        pa.field("model", pa.string(), nullable=False),
        pa.field("measure", pa.string(), nullable=False),
        pa.field("item", pa.string(), nullable=False),
        pa.field("value", pa.float64(), nullable=False),
        pa.field("weight", pa.float64(), nullable=False),
    ]
)

# 1: more is better; -1: less is; 0: neither, it is shown for what it says of the others.
DIRECTIONS = {
    BITS_PER_BYTE: -1,
    ROLLING_BITS_PER_BYTE: -1,
    COMPLETION_LOSS: -1,
    PREFERENCE_ACCURACY: 1,
    CHOSEN_LOGPROB: 0,
    GENERATED_TOKENS: 0,
    GRADE: 1,
    VERBATIM_TEXT: -1,
    VERBATIM_ANSWERS: -1,
    OVER_REFUSAL: -1,
    HARMFUL_REFUSAL: 1,
    TOXIC_WORDS: -1,
    MEMORISED_PII: -1,
    MEMORISED_TEXT: -1,
}


class ItemsError(ExpectedError, ValueError):
    """Rows of items are no measure; names model, measure and item."""


def direction(measure: Measure) -> int:
    """1 where a higher figure is better, -1 where a lower one is, 0 where neither is."""
    known = DIRECTIONS.get(measure.metric.partition("/")[0])
    return int(measure.is_of_verdicts) if known is None else known


def item_table(model: str, measures: Sequence[Measure]) -> pa.Table:
    """Rows of `ITEMS`, a model's measures one behind the other.

    Raises:
        ItemsError: an item stands twice, or a figure is not finite.
    """
    tables = [ITEMS.empty_table()]
    for measure in measures:
        _check(model, measure)
        names = [pa.repeat(name, len(measure.ids)) for name in (model, measure.metric)]
        columns = [*names, pa.array(measure.ids, pa.string())]
        columns += [pa.array(side) for side in (measure.numerators, measure.denominators)]
        tables.append(pa.Table.from_arrays(columns, schema=ITEMS))
    return pa.concat_tables(tables)


def read_measures(table: pa.Table) -> dict[str, dict[str, Measure]]:
    """The measures in rows of `ITEMS`, by model and name, both in the order of the table.

    Raises:
        ItemsError: an item stands twice, or a figure is not finite.
    """
    found: dict[str, dict[str, Measure]] = {}
    for model, name, rows in _parts(table):
        value, weight = (rows.column(side).to_numpy() for side in ("value", "weight"))
        measure = Measure(name, tuple(rows.column("item").to_pylist()), value, weight)
        _check(model, measure)
        found.setdefault(model, {})[name] = measure
    return found


def _parts(table: pa.Table) -> Iterator[tuple[str, str, pa.Table]]:
    """The rows of each model and measure, in order."""
    keys = list(
        zip(*(table.column(name).to_pylist() for name in ("model", "measure")), strict=True)
    )
    places: dict[tuple[str, str], list[int]] = {}
    for place, key in enumerate(keys):
        places.setdefault(key, []).append(place)
    for (model, name), chosen in places.items():
        yield model, name, table.take(chosen)


def _check(model: str, measure: Measure) -> None:
    where = f"{measure.metric} of {model}"
    if len(set(measure.ids)) < len(measure.ids):
        [(twice, _)] = Counter(measure.ids).most_common(1)
        raise ItemsError(f"{where}: item {twice!r} stands twice; each has one row")
    bad = ~(np.isfinite(measure.numerators) & np.isfinite(measure.denominators))
    bad |= measure.denominators <= 0
    if bad.any():
        at = int(bad.argmax())
        raise ItemsError(
            f"{where}: item {measure.ids[at]!r} has value {measure.numerators[at]} and weight "
            f"{measure.denominators[at]}, which make no figure: the model may have diverged"
        )
