"""The figures of a comparison with another implementation, and the verdict on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import pyarrow as pa

from llm.errors import ExpectedError

PARITY = pa.schema(
    [
        pa.field("check", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("difference", pa.float64(), nullable=False),
        pa.field("limit", pa.float64(), nullable=False),
        pa.field("passed", pa.bool_(), nullable=False),
    ]
)


class ParityError(ExpectedError, ValueError):
    """Transformers makes something else of the exported folder than we do; gives the figures."""


@dataclass(frozen=True)
class Check:
    """One comparison on one text."""

    check: str
    text: str
    difference: float
    limit: float

    @property
    def passed(self) -> bool:
        """Within the limit; a difference that is no number is not."""
        return self.difference <= self.limit


def parity_table(checks: Sequence[Check]) -> pa.Table:
    """Rows of `PARITY`."""
    rows = [{**asdict(check), "passed": check.passed} for check in checks]
    return pa.Table.from_pylist(rows, schema=PARITY)


def require(checks: Sequence[Check]) -> None:
    """Raises ParityError if a check did not pass; the message names each with its figure."""
    failed = [check for check in checks if not check.passed]
    if failed:
        named = "; ".join(
            f"{check.check} on {check.text[:40]!r}: {check.difference:.3g} (limit {check.limit:g})"
            for check in failed
        )
        raise ParityError(
            f"{len(failed)} of {len(checks)} comparisons with transformers failed: {named}. The "
            "exported folder is not the trained model; do not use it"
        )
