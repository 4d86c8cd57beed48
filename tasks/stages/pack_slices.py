"""Slices of sources by quality, as `pack` is told of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Protocol

from pydantic import Field, model_validator

from llm.corpus.quality.classifier import BUCKETS
from llm.tokens.slices import Slice
from tasks.engine.config import Part

_PERCENT = 100 // BUCKETS


class QualitySlice(Part):
    """Documents of a source whose quality score lies between two percentiles."""

    name: str = Field(description="What they are called, as a source of their own.", min_length=1)
    source: str = Field(description="Name of the source they are taken from.", min_length=1)
    from_percentile: int = Field(
        0,
        description="So many of a hundred documents of the recipe score lower than they do.",
        ge=0,
        le=100 - _PERCENT,
        multiple_of=_PERCENT,
    )
    to_percentile: int = Field(
        100,
        description="And so many lower than the best of them: 90 and 100 are the top tenth.",
        ge=_PERCENT,
        le=100,
        multiple_of=_PERCENT,
    )

    @model_validator(mode="after")
    def _holds_something(self) -> QualitySlice:
        if self.from_percentile >= self.to_percentile:
            raise ValueError(
                f"from_percentile: {self.from_percentile} to {self.to_percentile} holds nothing; "
                "to_percentile is the higher of the two"
            )
        return self

    def plain(self) -> Slice:
        """As the library takes it."""
        buckets = range(self.from_percentile // _PERCENT, self.to_percentile // _PERCENT)
        return Slice(self.name, self.source, buckets)


class Slicing(Protocol):
    """The field of `PackConfig` that is read here."""

    @property
    def slices(self) -> Sequence[QualitySlice]: ...


def check_slices(slices: Sequence[QualitySlice]) -> None:
    """Raises ValueError where a document would be in two, or two have one name."""
    counts = Counter(each.name for each in slices)
    twice = sorted(name for name, count in counts.items() if count > 1)
    if twice:
        raise ValueError(f"slices: more than one is called {', '.join(twice)}; rename one")
    for one, other in combinations(slices, 2):
        common = set(one.plain().buckets) & set(other.plain().buckets)
        if one.source == other.source and common:
            raise ValueError(
                f"slices: {one.name} and {other.name} both hold percentile "
                f"{min(common) * _PERCENT} of {one.source}; a document is in one slice"
            )


def slices_of_sources(config: Slicing, sources: Sequence[str]) -> Iterator[str]:
    """Slices of what is no source, or called as one is."""
    for place, each in enumerate(config.slices):
        field = f"pack.slices.{place}"
        if each.source not in sources:
            yield (
                f"{field}.source: {each.source!r} is none of source.sources, which are "
                f"{', '.join(sources)}"
            )
        if each.name in sources:
            yield f"{field}.name: {each.name!r} is a source; give the slice a name of its own"


def scored_for_slices(config: Slicing, annotated: str | None, scored: str | None) -> Iterator[str]:
    """Slices where no document is scored.

    Args:
        annotated, scored: None where the recipe has no section annotate, and quality.
    """
    for section, there in (("annotate", annotated), ("quality", scored)):
        if config.slices and there is None:
            yield (
                f"pack.slices: they go by the quality of documents, and the recipe has no section "
                f"{section}; add it, or remove the slices"
            )
