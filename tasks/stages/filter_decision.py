"""What the rules of `filter` decide, from the attributes alone: no document is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from llm.corpus.annotate.attributes import ATTRIBUTES
from llm.corpus.filter import rules as filtering
from llm.corpus.filter.groups import LANGUAGE, Group, columns_asked, groups_of
from llm.rows import places_of
from llm.tables import REMOVED
from tasks.engine.declare import HELD
from tasks.engine.store.artifact import Artifact, Data
from tasks.stages.filter_rules import plain_groups

NOT_ANNOTATED = "not_annotated"
CUTS = pa.schema(
    [
        pa.field("rule", pa.string(), nullable=False),
        pa.field("column", pa.string(), nullable=False),
        pa.field("keep_fraction", pa.float64(), nullable=False),
        pa.field("value", pa.float64(), nullable=False),
        pa.field("doc_id", pa.string(), nullable=False),
    ]
)


def attributes_schema(data: Data) -> pa.Schema:
    """The columns there are, the scores of the recipe's classifiers among them."""
    if data.parts:
        return pq.read_schema(data.path(data.parts[0]))
    return ATTRIBUTES if data.schema is None else data.schema


def columns_read(rules: Sequence[filtering.Rule], groups: Sequence[Group]) -> list[str]:
    """Of the attributes: what the rules look at, and what tells groups apart."""
    told_apart = {LANGUAGE} & set(columns_asked(groups))
    return ["doc_id", *sorted({rule.column for rule in rules} | told_apart)]


def with_columns(attributes: pa.Table, documents: pa.Table, names: Sequence[str]) -> pa.Table:
    """Attributes with columns of the same documents, row by row, in the place of any so called."""
    for name in names:
        if name in attributes.column_names:
            attributes = attributes.drop_columns([name])
        attributes = attributes.append_column(name, documents.column(name))
    return attributes


def find_cutoffs(
    rules: Sequence[filtering.Rule], attributes: Data, held: Data | None
) -> dict[str, filtering.Cutoff]:
    """The cuts of `keep_fraction` rules, by rule; none where no document has a value.

    Args:
        held: cuts that stay as they are, of `CUTS`; a rule that changed since is cut anew.
    """
    found = _held_cutoffs(rules, held.table().to_pylist()) if held is not None else {}
    for rule in rules:
        if rule.keep_fraction is not None and rule.name not in found:
            tables = partial(attributes.tables, ["doc_id", rule.column])
            cut = filtering.find_cutoff(tables, rule.column, rule.keep_fraction)
            if cut is not None:
                found[rule.name] = cut
    return found


def _held_cutoffs(
    rules: Sequence[filtering.Rule], held: Sequence[Mapping[str, Any]]
) -> dict[str, filtering.Cutoff]:
    before = {(row["rule"], row["column"], row["keep_fraction"]): row for row in held}
    known = [
        (rule.name, before.get((rule.name, rule.column, rule.keep_fraction))) for rule in rules
    ]
    return {
        name: filtering.Cutoff(row["value"], row["doc_id"])
        for name, row in known
        if row is not None
    }


def cuts_table(
    rules: Sequence[filtering.Rule], cutoffs: Mapping[str, filtering.Cutoff]
) -> pa.Table:
    """Cuts as rows of `CUTS`, in order of the rules."""
    rows = [
        {
            "rule": rule.name,
            "column": rule.column,
            "keep_fraction": rule.keep_fraction,
            **asdict(cutoffs[rule.name]),
        }
        for rule in rules
        if rule.name in cutoffs
    ]
    return pa.Table.from_pylist(rows, schema=CUTS)


def removed_rows(
    ids: pa.ChunkedArray, verdict: filtering.Judgement, names: Sequence[str]
) -> pa.Table:
    """Rows of `REMOVED` of the documents that a verdict over them does not keep.

    Args:
        ids: of all of them, in the order of the verdict.
        names: of the rules.
    """
    rows = verdict.first != filtering.KEPT
    columns = {
        "doc_id": ids.filter(pa.array(rows)),
        "reason": pa.array([names[index] for index in verdict.first[rows]], pa.string()),
        "value": pa.array(verdict.value[rows], from_pandas=True),
        "threshold": pa.array(verdict.threshold[rows], from_pandas=True),
        "detail": pa.array([verdict.detail[row] for row in rows.nonzero()[0]], pa.string()),
    }
    return pa.table(columns, schema=REMOVED)


def unannotated_rows(ids: pa.ChunkedArray) -> pa.Table:
    """Rows of `REMOVED` of documents that no attributes are known of."""
    nothing = pa.nulls(len(ids), pa.float64())
    reasons = pa.array([NOT_ANNOTATED] * len(ids), pa.string())
    details = pa.array(["annotate has no row for it"] * len(ids), pa.string())
    return pa.table([ids, reasons, nothing, nothing, details], schema=REMOVED)


def decide(config: Any, inputs: Mapping[str, Data], artifact: Artifact, scratch: Path) -> pa.Table:
    """What `filter` would remove by other rules, from what `annotate` has stored.

    Raises:
        UnknownColumnError, ColumnTypeError: a rule does not fit the attributes.
    """
    rules, groups = config.all_rules(), plain_groups(config.groups)
    attributes = inputs["attributes"]
    wanted = columns_read(rules, groups)
    asked = [name for name in columns_asked(groups) if name != LANGUAGE]
    filtering.check_rules(rules, attributes_schema(attributes))
    cutoffs = find_cutoffs(rules, attributes, inputs.get(HELD))
    documents = inputs["documents"].table(["doc_id", *asked])
    ids = documents.column("doc_id")
    found = [REMOVED.empty_table()]
    known = [pa.chunked_array([], pa.string())]
    for table in attributes.tables(wanted):
        places = places_of(table.column("doc_id"), ids)
        own = table.filter(places.is_valid())
        known_by = documents.take(places.drop_null())
        fits = groups_of(groups, with_columns(own, known_by, asked))
        verdict = filtering.judge(own, rules, cutoffs, fits)
        found.append(removed_rows(own.column("doc_id"), verdict, [rule.name for rule in rules]))
        known.append(own.column("doc_id"))
    annotated = pa.chunked_array(
        [chunk for column in known for chunk in column.chunks], pa.string()
    )
    missing = ids.filter(places_of(ids, annotated).is_null())
    return pa.concat_tables([*found, unannotated_rows(missing)])
