"""Outcomes on disk between the passes over them: made once, gone through as often as needed.

Lines of JSON, for this run's own scratch folder; never published.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import fields
from operator import attrgetter
from pathlib import Path
from typing import Any

from llm.alignment.examples.tables import Dropped, Example, Kind, Message, Outcome

# Not `astuple`, which copies every message.
_of_example = attrgetter(*(field.name for field in fields(Example)))
_of_dropped = attrgetter(*(field.name for field in fields(Dropped)))


def write_outcomes(outcomes: Iterable[Outcome], path: Path) -> int:
    """Write them in order; how many there are."""
    count = 0
    with path.open("w", encoding="ascii") as stream:
        for outcome in outcomes:
            is_example = isinstance(outcome, Example)
            values = _of_example(outcome) if is_example else _of_dropped(outcome)
            stream.write(json.dumps([is_example, *values]) + "\n")
            count += 1
    return count


def read_outcomes(path: Path) -> Iterator[Outcome]:
    """What `write_outcomes` wrote, in order."""
    with path.open(encoding="ascii") as stream:
        for line in stream:
            is_example, *values = json.loads(line)
            yield _example(*values) if is_example else Dropped(*values)


def _example(
    kind: Kind, source: str, split: str, parents: list[str], turns: list[list[Any]], where: str
) -> Example:
    conversations = tuple(tuple(Message(*message) for message in each) for each in turns)
    return Example(kind, source, split, tuple(parents), conversations, where)
