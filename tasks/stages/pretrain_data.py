"""What `pretrain` trains on: how many rows, from which sources, and for how many steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import pyarrow.parquet as pq
from pydantic import Field

from llm.rows import rows_with
from llm.tables import TRAIN
from llm.training.mixture import Mixture, Phase, Share
from tasks.engine.config import Part
from tasks.engine.errors import IngotError
from tasks.engine.store.artifact import Data
from tasks.stages.pack import Weight


class UntrainableError(IngotError):
    """The sequences and the configuration do not make a run."""


class MixtureSource(Part):
    """What a source gives to the batches."""

    source: str = Field(description="Name of a source, or of a slice of one.", min_length=1)
    weight: float = Field(
        description="Its share of the tokens of a batch is this over the sum of all weights.",
        gt=0.0,
        le=1e6,
    )
    max_epochs: float = Field(
        0.0,
        description="Times it is gone through at most, counted from the first step; the others "
        "share its weight from there on. 0 = no limit.",
        ge=0.0,
        le=1e6,
    )


class DataConfig(Protocol):
    """The fields of `PretrainConfig` that are read here."""

    @property
    def tokens(self) -> int: ...
    @property
    def batch_tokens(self) -> int: ...
    @property
    def searched_mixture(self) -> bool: ...
    @property
    def mixture(self) -> Sequence[MixtureSource]: ...
    @property
    def anneal(self) -> Sequence[MixtureSource]: ...
    @property
    def anneal_share(self) -> float: ...


@dataclass(frozen=True)
class Course:
    """How long a run is, and of what.

    Attributes:
        steps: optimiser steps.
        batch_rows: sequences a step.
        phases: as `llm.training` takes them; empty without a mixture.
    """

    steps: int
    batch_rows: int
    phases: Sequence[Phase]

    def as_records(self) -> list[dict[str, Any]]:
        """The phases as JSON values."""
        return [asdict(phase) for phase in self.phases]


def plan_course(config: DataConfig, sequences: Data, length: int) -> Course:
    """Steps and phases of a run over these sequences of `length` tokens.

    Raises:
        UntrainableError: there are no training sequences, or no word on which source they are of.
        MixtureError: a source has no rows, or the sources do not last to the last step.
    """
    mixed = bool(config.mixture or config.anneal)
    rows = _train_rows(sequences, mixed)
    if not rows:
        raise UntrainableError("pretrain: all sequences are validation; look at dedup's split")
    batch_rows = max(1, config.batch_tokens // length)
    if not mixed:
        tokens = config.tokens or sum(rows.values()) * length
        return Course(max(1, round(tokens / (batch_rows * length))), batch_rows, ())
    if config.tokens:
        steps = max(1, round(config.tokens / (batch_rows * length)))
    else:  # whole batches of one pass over what takes part
        named = {each.source for each in (*config.mixture, *config.anneal)}
        taking = rows if not config.mixture else {each: rows.get(each, 0) for each in named}
        steps = max(1, sum(taking.values()) // batch_rows)
    last = max(1, round(steps * config.anneal_share)) if config.anneal else 0
    ends = [(steps - last, config.mixture), (steps, config.anneal)]
    starts = (0, steps - last)
    phases = [
        Phase(end, tuple(Share(each.source, each.weight, each.max_epochs) for each in mixture))
        for start, (end, mixture) in zip(starts, ends, strict=True)
        if start < end
    ]
    Mixture(rows, phases, batch_rows, length)  # raises now what the trainer would after its start
    return Course(steps, batch_rows, phases)


def proposed(weights: Data) -> list[MixtureSource]:
    """The mixture that `mix` proposes; sources without a weight are left out."""
    return [
        MixtureSource(source=row["source"], weight=row["weight"], max_epochs=row["max_epochs"])
        for row in weights.table(["source", "weight", "max_epochs"]).to_pylist()
        if row["weight"] > 0
    ]


def sequence_length(sequences: Data) -> int:
    """Tokens of a row that are inputs.

    Raises:
        UntrainableError: there is no row.
    """
    for part in sequences.parts:
        with pq.ParquetFile(sequences.path(part)) as file:
            for batch in file.iter_batches(batch_size=1, columns=["tokens"]):
                return len(batch.column(0)[0]) - 1
    raise UntrainableError("pretrain: pack.sequences is empty; look at `ingot removed pack`")


def _train_rows(sequences: Data, by_source: bool) -> Mapping[str, int]:
    """Training sequences of each source; all under "" where they need not be told apart."""
    if by_source and "source" not in pq.read_schema(sequences.path(sequences.parts[0])).names:
        raise UntrainableError(
            "pretrain.mixture: the sequences do not say which source they are of; set "
            "pack.by_source=true"
        )
    found: Counter[str] = Counter()
    for table in sequences.tables(columns=["split", *(["source"] if by_source else [])]):
        train = rows_with(table, "split", TRAIN)
        if by_source:
            counts = train.column("source").value_counts().to_pylist()
            found.update({row["values"] or "": row["counts"] for row in counts})
        elif train.num_rows:
            found[""] += train.num_rows
    return found


def same_sources(
    config: DataConfig, sources: Sequence[str], slices: Sequence[str] | None
) -> Iterator[str]:
    """Entries of the mixture whose source is none of those that are read, nor a slice of one."""
    known = [*sources, *(slices or ())]
    for field, each in _entries(config):
        if each.source not in known:
            also = " and pack.slices" if slices else ""
            yield (
                f"{field}.source: {each.source!r} is none of source.sources{also}, "
                f"which are {', '.join(known)}"
            )


def rows_by_source(config: DataConfig, by_source: bool) -> Iterator[str]:
    """A mixture of rows that do not say which source they are of."""
    for field in ("mixture", "searched_mixture", "anneal"):
        if getattr(config, field) and not by_source:
            yield f"pretrain.{field}: needs rows of one source each; set pack.by_source=true"


def search_fits(config: DataConfig, target_tokens: int | None) -> Iterator[str]:
    """A searched mixture that nobody searches for, or for a shorter run; what each source suffices
    for hangs on that."""
    if not config.searched_mixture:
        return
    if target_tokens is None:
        yield "pretrain.searched_mixture: the recipe searches for none; add a section mix"
    elif target_tokens and not 0 < config.tokens <= target_tokens:
        tokens = f"{config.tokens:,}" if config.tokens else "one pass over all"
        yield (
            f"pretrain.tokens: {tokens}, and the mixture is searched for {target_tokens:,}, by "
            "mix.target_tokens; make them equal"
        )


def sources_in_use(config: DataConfig, weights: Sequence[Weight]) -> Iterator[str]:
    """Entries of the mixture whose source pack leaves out."""
    unused = {weight.source for weight in weights if not weight.epochs}
    for field, each in _entries(config):
        if each.source in unused:
            yield f"{field}.source: pack.weights leaves {each.source!r} out, with 0 epochs"


def _entries(config: DataConfig) -> Iterator[tuple[str, MixtureSource]]:
    for field, entries in (("mixture", config.mixture), ("anneal", config.anneal)):
        for place, each in enumerate(entries):
            yield f"pretrain.{field}.{place}", each
