"""filter: documents kept or removed by rules over their attributes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from llm.corpus.annotate.attributes import ATTRIBUTES, score_fields
from llm.corpus.annotate.pii.find import KINDS, masked, pii_matches
from llm.corpus.filter import rules as filtering
from llm.corpus.filter.groups import LANGUAGE, Group, columns_asked, groups_of
from llm.corpus.filter.join import co_partitioned, rows_of
from llm.rows import places_of, rows_among, rows_with
from llm.tables import DOC_ID, DOCUMENTS, REMOVED
from tasks.engine.config import ShardedConfig, added
from tasks.engine.declare import HELD, Conservation, Input, Output, Requirement
from tasks.engine.shards.unit import Emitted, Fact, Unit
from tasks.engine.stage.out import Out
from tasks.engine.stage.stage import Stage
from tasks.engine.store.artifact import Artifact, Data, Inputs
from tasks.panels.panels import Cell, Panel, Sample, Samples, Table
from tasks.stages.filter_decision import (
    CUTS,
    NOT_ANNOTATED,
    attributes_schema,
    columns_read,
    cuts_table,
    decide,
    find_cutoffs,
    removed_rows,
    unannotated_rows,
    with_columns,
)
from tasks.stages.filter_presets import PRESETS, rules_of
from tasks.stages.filter_rules import GroupChoice, Rule, plain_groups, plain_rules
from tasks.stages.filter_text import GROUP_FORMS, RULE_FORMS

SAMPLES = pa.schema(
    [
        DOC_ID,
        pa.field("reason", pa.string(), nullable=False),
        pa.field("detail", pa.string()),
        pa.field("url", pa.string()),
        pa.field("text", pa.string()),
    ]
)
_SAMPLES_A_REASON = 5
_SAMPLE_CHARS = 500


# Where a document's text, as it came, had what a placeholder stands for now.
MASKED = pa.schema(
    [
        DOC_ID,
        pa.field("kind", pa.string(), nullable=False),
        pa.field("start", pa.int64(), nullable=False),
        pa.field("end", pa.int64(), nullable=False),
    ]
)
Respected = Literal["noai", "noindex"]
PiiKind = Literal["email", "phone", "ipv4", "ipv6", "card", "iban", "ssn", "key"]


class FilterConfig(ShardedConfig):
    """The rules; the first one a document fails is the reason of its removal."""

    groups: list[GroupChoice] = added(
        [],
        "Which documents have to meet which ready rules: each document those of the first group it "
        f"fits. Without groups and rules: web-en for all. Each is one of {', '.join(PRESETS)}; as "
        f"{GROUP_FORMS}.",
    )
    rules: list[Rule] = Field(
        [],
        description="Rules of your own, applied in order, first. A missing value passes. Each is "
        f"{RULE_FORMS}.",
    )

    respect: list[Respected] = added(
        [],
        "What a page or its HTTP header asks for that is granted: noai leaves out pages that ask "
        "not to be trained on (noai, noimageai, TDM reservation), noindex those that ask search "
        "engines to pass them by.",
    )
    mask: list[PiiKind] = added(
        [],
        "Kinds of personal data whose place in kept documents takes a placeholder such as <EMAIL>.",
    )

    @model_validator(mode="before")
    @classmethod
    def _web_en_unless_told(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and not {"groups", "rules"} & set(values):
            return {**values, "groups": [{"preset": "web-en"}]}
        return values

    @model_validator(mode="after")
    def _unique_names(self) -> FilterConfig:
        for kind, names in (
            ("groups", [group.label for group in self.groups]),
            ("rules", [rule.reason for rule in self.rules]),
        ):
            repeated = sorted(name for name, count in Counter(names).items() if count > 1)
            if repeated:
                raise ValueError(
                    f"two {kind} are called {', '.join(repeated)}; give each a name of its own"
                )
        known = {group.label for group in self.groups}
        unknown = sorted({rule.group for rule in self.rules if rule.group} - known)
        if unknown:
            raise ValueError(
                f"rules name the group {', '.join(unknown)}; there is "
                f"{', '.join(sorted(known)) or 'none'}"
            )
        return self

    def in_form(self) -> dict[str, Any]:
        """Groups and rules in one line each."""
        return {
            **super().in_form(),
            "groups": [group.line() for group in self.groups],
            "rules": [rule.line() for rule in self.rules],
        }

    def all_rules(self) -> list[filtering.Rule]:
        """Those of the groups too, as the library takes them; what pages ask for comes first."""
        asked = [
            Rule(column=f"robots_{what}", maximum=0, name=f"respect_{what}")
            for what in dict.fromkeys(self.respect)
        ]
        return plain_rules([*asked, *rules_of(self.groups, self.rules)], self.groups)

    def spelled_out(self) -> FilterConfig:
        """The rules of presets as if they had been stated."""
        groups = [
            group.model_copy(update={"preset": "", "name": group.label}) for group in self.groups
        ]
        rules = rules_of(self.groups, self.rules)
        return self.model_copy(update={"groups": groups, "rules": rules})


def filter_part(
    unit: Unit,
    rules: Sequence[Mapping[str, Any]],
    groups: Sequence[Mapping[str, Any]],
    cutoffs: Mapping[str, Any],
    aligned: bool,
    mask: Sequence[str],
) -> Iterator[Emitted]:
    """Keep or remove the documents of one part."""
    grouped = [Group(**{name: _tuple(value) for name, value in group.items()}) for group in groups]
    ruled = [filtering.Rule(**{**rule, "allowed": tuple(rule["allowed"])}) for rule in rules]
    cuts = {name: filtering.Cutoff(*cut) for name, cut in cutoffs.items()}
    count_columns = [f"{kind}_count" for kind in mask]
    read = dict.fromkeys([*columns_read(ruled, grouped), *count_columns])
    schema = pa.schema([_field(name) for name in read])
    asked = [name for name in columns_asked(grouped) if name != LANGUAGE]
    parts = [unit.aligned_file("attributes")] if aligned else unit.shared_files("attributes")
    known = rows_of(unit.table(["doc_id"]).column("doc_id"), parts, schema)
    for documents in unit.tables(list(dict.fromkeys([*DOCUMENTS.names, *asked]))):
        places = places_of(documents.column("doc_id"), known.column("doc_id"))
        found = documents.filter(places.is_valid())
        attributes = known.take(places.drop_null())
        fits = groups_of(grouped, with_columns(attributes, found, asked))
        verdict = filtering.judge(attributes, ruled, cuts, fits)
        kept = verdict.first == filtering.KEPT
        made = found.select(DOCUMENTS.names).filter(pa.array(kept))
        if mask:
            made, spans, left = _masked(
                made, attributes.select(count_columns).filter(pa.array(kept)), mask
            )
            yield "masked", spans
            for kind in mask:
                having = rows_with(spans, "kind", kind).column("doc_id").to_pylist()
                yield Fact(f"masked.{kind}", len(having))
                yield Fact(f"masked_documents.{kind}", len(set(having)))
                yield Fact(f"left.{kind}", left[kind])
        yield "documents", made
        for place, group in enumerate(grouped):
            of_group = fits == place
            yield Fact(f"group.{group.name}", int(of_group.sum()))
            yield Fact(f"group_kept.{group.name}", int((of_group & kept).sum()))
        names = [rule.name for rule in ruled]
        yield "removed", removed_rows(found.column("doc_id"), verdict, names)
        yield "removed", unannotated_rows(documents.column("doc_id").filter(places.is_null()))
        counted = (verdict.failed_first, verdict.failed, verdict.null)
        for what, counts in zip(("failed_first", "failed", "null"), counted, strict=True):
            for rule, count in zip(ruled, counts, strict=True):
                yield Fact(f"{what}.{rule.name}", count)


def _masked(
    documents: pa.Table, counts: pa.Table, kinds: Sequence[str]
) -> tuple[pa.Table, pa.Table, Counter[str]]:
    """Documents with placeholders, where these stand for what, and what is found in them now, by
    kind: nothing, unless a placeholder joins what stood apart.

    Args:
        counts: of each document how many of each kind there are.
    """
    texts = documents.column("text").to_pylist()
    ids = documents.column("doc_id").to_pylist()
    spans: list[tuple[str, str, int, int]] = []
    left: Counter[str] = Counter()
    having = np.zeros(len(texts), dtype=np.int64)
    for column in counts.columns:
        having += column.to_numpy()
    for place in np.flatnonzero(having).tolist():
        matches = pii_matches(texts[place], kinds)
        texts[place] = masked(texts[place], matches)
        left.update(match.kind for match in pii_matches(texts[place], kinds))
        spans += [(ids[place], match.kind, match.start, match.end) for match in matches]
    for name, values in (("text", texts), ("text_chars", [len(text) for text in texts])):
        where = DOCUMENTS.get_field_index(name)
        kind = documents.schema.field(name)
        documents = documents.set_column(where, kind, pa.array(values, kind.type))
    columns = list(zip(*spans, strict=True)) or [()] * len(MASKED)
    return documents, pa.table([list(column) for column in columns], schema=MASKED), left


def _field(column: str) -> pa.Field:
    """Of the attributes; what they are not declared with is the score of a classifier."""
    return (
        ATTRIBUTES.field(column) if column in ATTRIBUTES.names else pa.field(column, pa.float64())
    )


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _rules_have_columns(config: FilterConfig, classifiers: list[str] | None) -> Iterator[str]:
    columns = pa.schema([*ATTRIBUTES, *score_fields(classifiers or [])])
    for rule in config.all_rules():
        try:
            filtering.check_rules([rule], columns)
        except (filtering.UnknownColumnError, filtering.ColumnTypeError) as error:
            yield f"filter: {error}"


def run(config: FilterConfig, inputs: Inputs, out: Out) -> None:
    """Find the cuts of `keep_fraction` rules, then judge every part."""
    documents, attributes = inputs["documents"], inputs["attributes"]
    rules, groups = config.all_rules(), plain_groups(config.groups)
    filtering.check_rules(rules, attributes_schema(attributes))
    cutoffs = find_cutoffs(rules, attributes, inputs.get(HELD))
    with out.table("cuts") as cuts:
        cuts.write(cuts_table(rules, cutoffs))
    listed = [{**asdict(rule), "allowed": list(rule.allowed)} for rule in rules]
    left, right = _paths(documents), _paths(attributes)
    aligned = left.keys() == right.keys() and co_partitioned(left, right)
    arguments = {
        "rules": listed,
        "groups": [
            {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(group).items()}
            for group in groups
        ],
        "cutoffs": {name: [cut.value, cut.doc_id] for name, cut in cutoffs.items()},
        "aligned": aligned,
        "mask": list(config.mask),
    }
    if aligned:
        out.map(filter_part, over="documents", arguments=arguments, aligned=("attributes",))
    else:
        out.map(filter_part, over="documents", arguments=arguments, shared=("attributes",))
    out.fact("rules", listed)
    out.fact("groups", [group.name for group in groups])
    out.fact("cuts", {name: cut.value for name, cut in cutoffs.items()})
    _write_samples(out, documents)


def _paths(data: Data) -> dict[str, Path]:
    return {part.path: data.path(part) for part in data.parts}


def _write_samples(out: Out, documents: Data) -> None:
    """A few removed documents a reason, those of smallest doc_id: a hash, so a random sample."""
    removed = out.data("removed")
    chosen: dict[str, list[tuple[str, str, str]]] = {}
    for part, table in zip(removed.parts, removed.tables(), strict=True):
        columns = (table.column(name).to_pylist() for name in ("doc_id", "reason", "detail"))
        for identity, reason, detail in zip(*columns, strict=True):
            candidates = [*chosen.get(reason, []), (identity, detail, part.path)]
            chosen[reason] = sorted(candidates)[:_SAMPLES_A_REASON]
    wanted = {
        identity: (reason, detail, path)
        for reason, rows in sorted(chosen.items())
        for identity, detail, path in rows
    }
    texts: dict[str, tuple[str | None, str]] = {}
    paths = {path for _, _, path in wanted.values()}
    for part in documents.parts:
        if part.path not in paths:
            continue
        table = documents.part_table(part, ["doc_id", "url", "text"])
        for row in rows_among(table, wanted).to_pylist():
            texts[row["doc_id"]] = (row["url"], (row["text"] or "")[:_SAMPLE_CHARS])
    rows = [
        (identity, reason, detail, *texts[identity])
        for identity, (reason, detail, _) in wanted.items()
    ]
    with out.table("samples") as samples:
        if rows:
            samples.write(pa.table([list(c) for c in zip(*rows, strict=True)], schema=SAMPLES))


def panels(artifact: Artifact) -> list[Panel]:
    """What each rule removed, and some of it to read."""
    facts, totals = artifact.facts, artifact.manifest.totals
    rows: list[list[Cell]] = []
    for rule in facts.get("rules", []):
        name = rule["name"]
        counts = [facts.get(f"{what}.{name}", 0) for what in ("failed_first", "failed", "null")]
        rows.append([name, _describe(rule, facts.get("cuts", {}).get(name)), *counts])
    columns = ["rule", "kept where", "removed by it first", "failing it at all", "without a value"]
    note = f"{totals.rows_in} documents in, {totals.kept} kept."
    if unknown := totals.removed.get(NOT_ANNOTATED):
        note += f" {unknown} had no attributes."
    items = [
        Sample(
            heading=row["reason"],
            text=row["text"] or "",
            facts={"doc_id": row["doc_id"], "url": row["url"], "why": row["detail"]},
        )
        for row in artifact.data("samples").table().to_pylist()
    ]
    kinds: list[list[Cell]] = [
        [name, facts.get(f"group.{name}", 0), facts.get(f"group_kept.{name}", 0)]
        for name in facts.get("groups", [])
    ]
    places: list[list[Cell]] = [
        [kind, facts.get(f"masked_documents.{kind}"), count, facts.get(f"left.{kind}")]
        for kind in KINDS
        if (count := facts.get(f"masked.{kind}")) is not None
    ]
    kinds_shown = ["kind", "documents with it", "places before", "places after"]
    note_of_kinds = "Of documents that were kept; after: in their texts with the placeholders."
    masks = Table("Placeholders", kinds_shown, places, note_of_kinds)
    shown: list[Panel] = [masks] if places else []
    shown += [Table("Groups", ["group", "documents", "kept"], kinds)] if len(kinds) > 1 else []
    return [
        Table("Rules", columns, rows, note),
        *shown,
        Samples("Removed documents", items, f"The first {_SAMPLE_CHARS} characters of each."),
    ]


def _describe(rule: Mapping[str, Any], cut: float | None) -> str:
    """A rule in words."""
    if rule["allowed"]:
        return f"{rule['column']} in {', '.join(rule['allowed'])}"
    if rule["keep_fraction"] is not None:
        at = "no document has a value" if cut is None else f"cut at {cut:.6g}"
        return f"{rule['column']} among the best {rule['keep_fraction']:.3g} ({at})"
    low, high = rule["minimum"], rule["maximum"]
    left = "" if low is None else f"{low:g} ≤ "
    return f"{left}{rule['column']}" + ("" if high is None else f" ≤ {high:g}")


STAGE = Stage(
    name="filter",
    version=2,
    description="Keeps the documents that meet every rule over their attributes.",
    config=FilterConfig,
    inputs={
        "documents": Input(("sites.documents", "clean.documents"), "Cleaned documents."),
        "attributes": Input(("annotate.attributes",), "Their metrics and scores."),
        HELD: Input((), "The cuts it made last time.", optional=True, held="cuts"),
    },
    outputs={
        "documents": Output("Documents that met every rule.", DOCUMENTS, unique_ids=True),
        "removed": Output("The first rule each other document failed.", REMOVED, unique_ids=True),
        "masked": Output("Where placeholders stand for personal data, by kind.", MASKED),
        "cuts": Output("Where `keep_fraction` rules cut, to be held.", CUTS),
        "samples": Output("A few removed documents for every reason, to read.", SAMPLES),
    },
    run=run,
    panels=panels,
    decides=decide,
    requires=(Requirement(("quality.classifiers?",), _rules_have_columns),),
    conservation=Conservation("documents", kept="documents", removed="removed"),
    libraries=("numpy", "pyarrow"),
)
