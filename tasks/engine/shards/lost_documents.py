"""Documents that the net under a stage caught, as what a shard function yields for them."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from llm.process.guarded import LostDocument
from llm.tables import REJECTED
from tasks.engine.shards.unit import Emitted, Fact

# Facts of manifests under this name list the documents whose fate the clock decided.
TIMING_DEPENDENT = "timing_dependent"


def rejected_row(lost: LostDocument) -> pa.Table:
    """The row of the stage's `rejected` that accounts for the document."""
    return pa.table([[lost.doc_id], [lost.reason], [lost.detail]], schema=REJECTED)


def reject_lost(lost: LostDocument) -> Iterator[Emitted]:
    """Its row of `rejected`, and its mention in the manifest where the clock decided."""
    yield "rejected", rejected_row(lost)
    if lost.timing_dependent:
        yield Fact(TIMING_DEPENDENT, [lost.doc_id])
