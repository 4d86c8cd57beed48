"""The funnel as a Sankey diagram: documents through the stages, and what leaves them on the way."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.panels.numbers import counted
from tasks.panels.panels import Flow, Stream
from tasks.report.funnel import Step

_KEPT, _REMOVED, _REJECTED = "kept", "removed", "rejected"
_SHOWN = 5  # reasons of a step


def funnel_flow(steps: Sequence[Step]) -> Flow | None:
    """What the report and Prefect's page show; `None` where no documents went anywhere."""
    streams = []
    place = f"into {steps[0].stage}" if steps else ""
    for step in steps:
        streams.append(Stream(place, step.stage, step.kept, _KEPT))
        for reason, count in fewer(_by_size(step), _SHOWN):
            streams.append(Stream(place, f"{step.stage}: {reason}", count, _REMOVED))
        if rejected := sum(step.rejected.values()):
            streams.append(Stream(place, f"{step.stage}: rejected", rejected, _REJECTED))
        place = step.stage
    if not any(stream.count for stream in streams):
        return None
    return Flow("Documents on their way", "documents", streams)


def _by_size(step: Step) -> list[tuple[str, int]]:
    counts = [(reason, count) for reason, count in step.removed.items() if count]
    return sorted(counts, key=lambda each: (-each[1], each[0]))


def fewer(counts: Sequence[tuple[str, int]], shown: int) -> list[tuple[str, int]]:
    """The first reasons, and all others together; one alone keeps its name."""
    first, rest = list(counts[:shown]), counts[shown:]
    if len(rest) == 1:
        return list(counts)
    if rest:
        first.append((counted(len(rest), "other reason"), sum(count for _, count in rest)))
    return first
