"""Which documents would change sides, were a stage configured otherwise; nothing is run."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from llm.rows import bytes_of, rows_among
from tasks.engine.config import StageConfig
from tasks.engine.errors import IngotError, MissingInputError
from tasks.engine.store import channels
from tasks.engine.store.artifact import Artifact, Data
from tasks.engine.store.published import published
from tasks.engine.store.store import Store
from tasks.registry import STAGES
from tasks.what_if.changes import changed

_LINE = 160  # characters shown of a document
_READ = ("doc_id", "url", "title", "source", "text")
_LANGUAGE = "language"


class NoDecisionError(IngotError):
    """A stage is none whose decisions are known without a run; names those that are."""


@dataclass(frozen=True)
class Example:
    """A document that changes sides.

    Attributes:
        reason: why it is removed, on the side where it is; `detail`: in words.
    """

    doc_id: str
    title: str
    url: str
    line: str
    reason: str
    detail: str


@dataclass(frozen=True)
class Count:
    """Documents and their tokens: as the tokenizer's fertility has it; `None` without one."""

    documents: int
    tokens: int | None


@dataclass(frozen=True)
class Side:
    """What comes in, or what goes.

    Attributes:
        reasons: documents by the reason of their removal; `sources`, `languages`: by these.
        examples: a random few.
    """

    total: Count
    reasons: Mapping[str, int]
    sources: Mapping[str, Count]
    languages: Mapping[str, Count]
    examples: tuple[Example, ...]


@dataclass(frozen=True)
class WhatIf:
    """The answer.

    Attributes:
        artifact: what was built, that this is held against.
        before, after: what identifies the two configs.
        kept_before, kept_after: documents.
        otherwise: documents removed both ways, for another reason.
        removed: all rows of `removed` there would be.
    """

    artifact: Artifact
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    kept_before: int
    kept_after: int
    otherwise: int
    comes: Side
    goes: Side
    removed: pa.Table


def what_if(store: Store, recipe: str, stage: str, changes: Sequence[str], examples: int) -> WhatIf:
    """Hold what a stage would remove against what it removed in the recipe's latest attempt.

    Args:
        recipe: the name its pointers are kept under.
        changes: see `changes.changed`.
        examples: shown of either side.

    Raises:
        NoDecisionError: the stage removes nothing, or nobody knows what without running it.
        MissingInputError: it, or what it read, is not in the store.
        ChangeError: of the changes.
        IngotError: the stage does not know by that config, see `Stage.decides`.
    """
    declared = STAGES.get(stage)
    if declared is None or declared.decides is None:
        known = ", ".join(name for name, each in STAGES.items() if each.decides is not None)
        raise NoDecisionError(
            f"{stage}: what it would do takes a run; of {known} it is known without one"
        )
    artifact = channels.resolve(store, recipe, stage)
    if artifact is None:
        raise MissingInputError(
            f"recipe {recipe!r} has no {stage} yet; `ingot run --recipe {recipe}` builds it"
        )
    record = {**artifact.manifest.execution, **artifact.manifest.config}
    before = declared.config.model_validate(record)
    after = changed(stage, before, changes)
    inputs = _inputs(artifact)
    with tempfile.TemporaryDirectory() as scratch:
        removed = declared.decides(after, inputs, artifact, Path(scratch))
    return _answer(store, recipe, artifact, (before, after), inputs, removed, examples)


def _inputs(artifact: Artifact) -> dict[str, Data]:
    # What it went on from, a run by another config would go on from again: its own last artifact.
    held = STAGES[artifact.stage].held_inputs
    found = {name: artifact.data(held[name]) for name in artifact.manifest.inputs if name in held}
    for name, record in artifact.manifest.parents.items():
        parent = published(artifact.store, record.stage, record.build_id, record.attempt)
        if parent is None:
            raise MissingInputError(
                f"{artifact.stage} read {record.stage} {record.build_id[:16]}/{record.attempt}, "
                "which is gone; run the recipe again"
            )
        found[name] = parent.data(record.output)
    return found


def _answer(
    store: Store,
    recipe: str,
    artifact: Artifact,
    configs: tuple[StageConfig, StageConfig],
    inputs: Mapping[str, Data],
    removed: pa.Table,
    examples: int,
) -> WhatIf:
    old = _by_id(artifact.data("removed").table(["doc_id", "reason", "detail"]))
    new = _by_id(removed)
    comes = {doc_id: why for doc_id, why in old.items() if doc_id not in new}
    goes = {doc_id: why for doc_id, why in new.items() if doc_id not in old}
    otherwise = sum(old[each][0] != new[each][0] for each in old.keys() & new.keys())
    bytes_per_token = _bytes_per_token(store, recipe)
    sides = []
    for side in (comes, goes):
        table = _documents(inputs["documents"], list(side))
        languages = _languages(inputs.get("attributes"), list(side))
        sides.append(_side(side, table, languages, bytes_per_token, examples))
    kept = artifact.manifest.totals.kept
    before, after = configs
    return WhatIf(
        artifact=artifact,
        before=before.identity(),
        after=after.identity(),
        kept_before=kept,
        kept_after=kept + len(comes) - len(goes),
        otherwise=otherwise,
        comes=sides[0],
        goes=sides[1],
        removed=removed,
    )


def _by_id(removed: pa.Table) -> dict[str, tuple[str, str]]:
    columns = [removed.column(name).to_pylist() for name in ("doc_id", "reason", "detail")]
    return {doc_id: (reason, detail or "") for doc_id, reason, detail in zip(*columns, strict=True)}


def _documents(documents: Data, ids: Sequence[str]) -> pa.Table:
    """The rows of these; a part without any is not read whole."""
    found = []
    for part in documents.parts if ids else ():
        own = rows_among(documents.part_table(part, ["doc_id"]), ids)
        if own.num_rows:
            found.append(rows_among(documents.part_table(part, list(_READ)), ids))
    if found:
        return pa.concat_tables(found)
    return pa.table({name: pa.array([], pa.string()) for name in _READ})


def _languages(attributes: Data | None, ids: Sequence[str]) -> dict[str, str]:
    if attributes is None or not ids:
        return {}
    found: dict[str, str] = {}
    for table in attributes.tables(["doc_id", _LANGUAGE]):
        own = rows_among(table, ids)
        columns = (own.column(name).to_pylist() for name in ("doc_id", _LANGUAGE))
        found |= {doc_id: language for doc_id, language in zip(*columns, strict=True) if language}
    return found


def _bytes_per_token(store: Store, recipe: str) -> float | None:
    """As the recipe's tokenizer has it over all sources."""
    tokenizer = channels.resolve(store, recipe, "tokenizer")
    if tokenizer is None:
        return None
    table = tokenizer.data("fertility").table(["bytes", "tokens"])
    sizes, tokens = (sum(table.column(name).to_pylist()) for name in ("bytes", "tokens"))
    return sizes / tokens if tokens else None


def _side(
    why: Mapping[str, tuple[str, str]],
    table: pa.Table,
    languages: Mapping[str, str],
    bytes_per_token: float | None,
    examples: int,
) -> Side:
    sizes = bytes_of(table.column("text")).to_pylist()
    ids = table.column("doc_id").to_pylist()
    sources = dict(zip(ids, table.column("source").to_pylist(), strict=True))
    by_id = dict(zip(ids, sizes, strict=True))
    reasons: dict[str, int] = {}
    for reason, _ in why.values():
        reasons[reason] = reasons.get(reason, 0) + 1

    def counts(groups: Mapping[str, str | None]) -> dict[str, Count]:
        members: dict[str, list[int]] = {}
        for doc_id, size in by_id.items():
            members.setdefault(groups.get(doc_id) or "unknown", []).append(size)
        ordered = sorted(members.items(), key=lambda each: (-len(each[1]), each[0]))
        return {name: _count(own, bytes_per_token) for name, own in ordered}

    # A doc_id is a hash: the smallest are a random sample.
    shown = rows_among(table, sorted(ids)[:examples]).sort_by("doc_id").to_pylist()
    return Side(
        _count(sizes, bytes_per_token),
        dict(sorted(reasons.items(), key=lambda each: (-each[1], each[0]))),
        counts(sources),
        counts(languages) if languages else {},
        tuple(_example(row, *why[row["doc_id"]]) for row in shown),
    )


def _count(sizes: Sequence[int], bytes_per_token: float | None) -> Count:
    tokens = None if bytes_per_token is None else round(sum(sizes) / bytes_per_token)
    return Count(len(sizes), tokens)


def _example(row: Mapping[str, Any], reason: str, detail: str) -> Example:
    line = " ".join((row["text"] or "")[: 4 * _LINE].split())[:_LINE]
    title, url = row["title"] or "", row["url"] or ""
    return Example(row["doc_id"], title, url, line, reason, detail)
