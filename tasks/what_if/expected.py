"""What a change is to do to bits per byte, as far as experiments have measured it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from llm.evaluation.bootstrap import Estimate
from tasks.findings.record import Measured
from tasks.what_if.changes import flat


@dataclass(frozen=True)
class Expected:
    """A change of bits per byte, and who says so.

    Attributes:
        between: values on a line between which it was measured, and the changes there are joined
            by a line; none = measured by this very value.
        sources: "experiment: variant".
    """

    change: Estimate
    between: tuple[float, ...]
    sources: tuple[str, ...]


def expected(
    stage: str, before: Mapping[str, Any], after: Mapping[str, Any], known: Iterable[Measured]
) -> Expected | None:
    """What experiments on this recipe say of a change of a stage.

    A variant counts that differs from its base in the same fields, all of them of this stage,
    where its base has what was built. One with the same values says it outright; of a single
    number that lies between two that were measured (what was built is one of them, with no change)
    the line between them says it.

    Args:
        before, after: what identifies the config that was built, and the one asked for.
    """
    asked = _differing(before, after)
    alike = list(_alike(stage, asked, known))
    new_values = {path: values[1] for path, values in asked.items()}
    for each, new in alike:
        if new == new_values:
            return Expected(each.change, (), (_name(each),))
    if len(asked) != 1:
        return None
    [(path, (old, wanted))] = asked.items()
    if not _is_number(old) or not _is_number(wanted):
        return None
    points: dict[float, tuple[Estimate, str]] = {old: (Estimate(0.0, 0.0, 0.0, 0), "")}
    for each, new in alike:
        if _is_number(new[path]):
            points[new[path]] = (each.change, _name(each))
    below = max((value for value in points if value < wanted), default=None)
    above = min((value for value in points if value > wanted), default=None)
    if below is None or above is None:
        return None
    share = (wanted - below) / (above - below)
    (low, first), (high, second) = points[below], points[above]
    return Expected(
        _between(low, high, share), (below, above), tuple(name for name in (first, second) if name)
    )


def _differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """By path, the values of two configs where they differ; `None` where one has no such path."""
    one, other = flat(before), flat(after)
    paths = [*one, *(path for path in other if path not in one)]
    return {
        path: (one.get(path), other.get(path)) for path in paths if one.get(path) != other.get(path)
    }


def _alike(
    stage: str, asked: Mapping[str, tuple[Any, Any]], known: Iterable[Measured]
) -> Iterator[tuple[Measured, dict[str, Any]]]:
    """Variants that change these very fields from the same values, and what to."""
    for each in known:
        if each.base.keys() != each.configs.keys() or stage not in each.base:
            continue
        if any(each.base[name] != each.configs[name] for name in each.base if name != stage):
            continue
        tried = _differing(each.base[stage], each.configs[stage])
        old = {path: values[0] for path, values in tried.items()}
        if old == {path: values[0] for path, values in asked.items()}:
            yield each, {path: values[1] for path, values in tried.items()}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _between(low: Estimate, high: Estimate, share: float) -> Estimate:
    def line(one: float | None, other: float | None) -> float | None:
        return None if one is None or other is None else one + share * (other - one)

    value = low.value + share * (high.value - low.value)
    return Estimate(value, line(low.low, high.low), line(low.high, high.high), max(low.n, high.n))


def _name(each: Measured) -> str:
    return f"{each.experiment}: {each.variant}"
