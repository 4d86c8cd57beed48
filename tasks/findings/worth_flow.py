"""The funnel of an experiment's base, and what each removal in it is worth.

A variant that lacks one rule, or one stage, says what that rule or stage is worth: the base less
the variant. Other variants say nothing of a removal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from llm.evaluation.differences.differences import Difference
from tasks.comparison.comparing import change_text
from tasks.findings.result import Removal, Result, Worth
from tasks.panels.numbers import counted
from tasks.panels.panels import Flow, Stream
from tasks.report.funnel import Step
from tasks.report.funnel_flow import fewer

_KEPT, _REMOVED, _REJECTED = "kept", "removed", "rejected"
# A removal is called by what the model is with it, against the model without.
_KINDS = {"worse": "removed, for the better", "better": "removed, for the worse"}
_MEASURED = "removed, no difference shown"
_SHOWN = 6  # reasons of a step that no variant says anything of


def worth_flow(found: Result, removals: Mapping[str, Removal], steps: Sequence[Step]) -> Flow:
    """The base's documents on their way, with what the variants say of what leaves it.

    Args:
        removals: by variant what it does without.
        steps: of the base.
    """
    worth = {each.variant: each for each in found.variants}
    known = {removal: worth[variant] for variant, removal in removals.items()}
    streams = []
    place = f"into {steps[0].stage}" if steps else ""
    for step in steps:
        streams.append(Stream(place, step.stage, step.kept, _KEPT))
        streams += _leaving(place, step, known, found.variants[0])
        place = step.stage
    return Flow(
        "What each removal is worth",
        "documents",
        streams,
        "The base's documents through its stages. Beside a removal: the tokens it takes from the "
        "training text, and what it does to bits per byte (the base less the variant without it; "
        "less is better) with its 95 % interval.",
    )


def _leaving(
    place: str, step: Step, known: Mapping[Removal, Worth], base: Worth
) -> Iterator[Stream]:
    counts = {reason: count for reason, count in step.removed.items() if count}
    own = {
        reason: known[Removal(step.stage, reason)]
        for reason in counts
        if Removal(step.stage, reason) in known
    }
    whole = known.get(Removal(step.stage, ""))
    if whole is not None and counts:
        # What the stage as a whole is worth stands between it and its reasons.
        every = f"all of {step.stage}"
        total = sum(counts.values())
        yield Stream(place, every, total, _kind(whole), _words(whole, base))
        place = every
    # What something is said of comes first.
    ordered = sorted(counts.items(), key=lambda each: (each[0] not in own, -each[1], each[0]))
    for reason, count in fewer(ordered, len(own) + _SHOWN):
        said = own.get(reason)
        name = f"{step.stage}: {reason}"
        if said is None:
            yield Stream(place, name, count, _REMOVED)
        else:
            yield Stream(place, name, count, _kind(said), _words(said, base))
    if rejected := sum(step.rejected.values()):
        yield Stream(place, f"{step.stage}: rejected", rejected, _REJECTED)


def _kind(said: Worth) -> str:
    gain = said.gain
    return _KINDS.get(gain.difference.verdict, _MEASURED) if gain else _REMOVED


def _words(said: Worth, base: Worth) -> str:
    """What leaves the training text, and the change of bits per byte."""
    lines = [counted(said.tokens - base.tokens, "token")]
    if said.same:
        lines.append("same model without it")
    elif said.gain is not None:
        lines.append(change_text(_turned(said)).replace(" [", "\n["))
    return "\n".join(lines)


def _turned(said: Worth) -> Difference:
    """The change from the variant to the base."""
    assert said.gain is not None
    found = said.gain.difference
    change = found.change
    low = None if change.high is None else -change.high
    high = None if change.low is None else -change.low
    return replace(found, change=replace(change, value=-change.value, low=low, high=high))
