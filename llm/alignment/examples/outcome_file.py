"""Outcomes on disk between the passes over them: made once, gone through as often as needed.

Pickles, for this run's own scratch folder; never published.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator
from pathlib import Path

from llm.alignment.examples.tables import Outcome
from llm.process.sandbox import batches

_AT_ONCE = 512


def write_outcomes(outcomes: Iterable[Outcome], path: Path) -> int:
    """Write them in order; how many there are."""
    count = 0
    with path.open("wb") as stream:
        for some in batches(outcomes, lambda _: 0, _AT_ONCE, 0):
            pickle.dump(some, stream, protocol=5)
            count += len(some)
    return count


def read_outcomes(path: Path) -> Iterator[Outcome]:
    """What `write_outcomes` wrote, in order."""
    with path.open("rb") as stream:
        while True:
            try:
                some: list[Outcome] = pickle.load(stream)
            except EOFError:
                return
            yield from some
