"""What llama.cpp computes with a GGUF file beside what we compute: figures, and the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import pyarrow as pa

from llm.errors import ExpectedError

GGUF_PARITY = pa.schema(
    [
        pa.field("type", pa.string(), nullable=False),
        pa.field("check", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("value", pa.float64(), nullable=False),
        pa.field("limit", pa.float64()),
        pa.field("passed", pa.bool_()),
    ]
)


class GgufParityError(ExpectedError, ValueError):
    """llama.cpp makes something else of a file than we do of the folder; gives the figures."""


@dataclass(frozen=True)
class Measure:
    """One figure of a file.

    Attributes:
        type: of the file's matrices.
        text: what it was measured on.
        limit: largest value allowed; None where it is measured and no more.
    """

    type: str
    check: str
    text: str
    value: float
    limit: float | None

    @property
    def passed(self) -> bool | None:
        """Within the limit, of which a value that is no number is not; None without one."""
        return None if self.limit is None else self.value <= self.limit


def gguf_parity_table(measures: Sequence[Measure]) -> pa.Table:
    """Rows of `GGUF_PARITY`."""
    rows = [{**asdict(measure), "passed": measure.passed} for measure in measures]
    return pa.Table.from_pylist(rows, schema=GGUF_PARITY)


def require_gguf(measures: Sequence[Measure]) -> None:
    """Raises GgufParityError if one is beyond its limit; the message names each."""
    failed = [measure for measure in measures if measure.passed is False]
    if failed:
        named = "; ".join(
            f"{m.type} {m.check} on {m.text[:40]!r}: {m.value:.3g} (limit {m.limit:g})"
            for m in failed
        )
        raise GgufParityError(
            f"{len(failed)} of {len(measures)} comparisons with llama.cpp failed: {named}. It "
            "would run another model; do not use the file, or set export.gguf to []"
        )
