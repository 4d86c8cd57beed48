"""What is known of the data a model was trained on: a section of the report, and a Markdown file.

Everything is read from the artifacts of a run. What a stage would tell that did not run is left
out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import xxhash
from numpy.typing import NDArray

from llm.corpus.annotate.pii.find import KINDS
from llm.rows import bytes_of
from tasks.engine.store.artifact import Artifact
from tasks.engine.store.views import kept_view
from tasks.panels.markdown import inline, markdown
from tasks.panels.panels import Cell, Curve, Histogram, Panel, Table
from tasks.report import evidence, samples
from tasks.report.funnel import Step, funnel, shares
from tasks.report.samples import SampleLimits

DOCUMENTS = "documents"
_LANGUAGES_SHOWN = 50
_LEAST_LENGTH, _DOUBLINGS = 64, 16
_NOT_TOLD = "(none)"


@dataclass(frozen=True)
class _Documents:
    """Documents that go on to training, counted while they are read once.

    Attributes:
        keys: uint64 (documents,): a hash of each doc_id, in order.
        counts: by source and split: documents, bytes of text.
        lengths: by split: documents a bin of bytes.
    """

    keys: NDArray[np.uint64]
    counts: Mapping[tuple[str, str], Sequence[int]]
    lengths: Mapping[str, NDArray[np.int64]]

    def has(self, doc_ids: pa.ChunkedArray) -> NDArray[np.bool_]:
        """bool (rows,): whether a document is among them."""
        asked = _keys(doc_ids)
        if not len(self.keys):
            return np.zeros(len(asked), np.bool_)
        places = np.searchsorted(self.keys, asked)
        return np.equal(self.keys[np.minimum(places, len(self.keys) - 1)], asked, dtype=np.bool_)


def panels(artifacts: Mapping[str, Artifact]) -> list[Panel]:
    """Sources and licences, lengths, languages, what of the pages is no text, personal data.

    Args:
        artifacts: by stage name, in the order of the chain.
    """
    last = _last(artifacts)
    documents = _documents(artifacts[last]) if last else None
    found: list[Panel | None] = []
    if last and documents:
        found.append(_sources(artifacts, last, documents))
    found += [
        evidence.licences(artifact)
        for artifact in artifacts.values()
        if "provenance" in samples.columns(artifact, "pages")
    ]
    if last and documents:
        found.append(_lengths(last, documents))
    cleaned = _first_with(artifacts, DOCUMENTS, "html_bytes")
    if cleaned:
        found.append(_chrome(cleaned))
    annotated = _first_with(artifacts, "attributes", "language")
    if annotated and documents:
        found += _attributes(annotated, documents)
    return [panel for panel in found if panel is not None]


def data_card(title: str, artifacts: Mapping[str, Artifact], limits: SampleLimits) -> str:
    """The whole of it as Markdown: the panels above, and what the report has elsewhere: counts by
    stage, lines and pages that sites repeat, near-duplicates, contamination, and documents that
    were removed, to read."""
    shown: list[tuple[str, Sequence[Panel]]] = [
        ("From pages to training data", _funnel(funnel(artifacts))),
        ("What the documents are", panels(artifacts)),
        ("What sites repeat", _of_view(artifacts.get("sites"), _is_a_table)),
        ("Near-duplicates", _of_view(artifacts.get("dedup"), _is_of_dedup)),
        ("Contamination", _of_view(artifacts.get("decontaminate"), _is_a_table)),
        (
            "Removed, to read",
            [
                panel
                for artifact in artifacts.values()
                for panel in samples.left_out_samples(artifact, artifacts, limits)
            ],
        ),
    ]
    parts = [f"# {inline(title)}"]
    for heading, members in shown:
        if members:
            parts += [f"## {heading}", *map(markdown, members)]
    return "\n\n".join(parts) + "\n"


def _last(artifacts: Mapping[str, Artifact]) -> str | None:
    """The stage whose documents are the last."""
    stages = [
        name
        for name, artifact in artifacts.items()
        if {"doc_id", "text"} <= set(samples.columns(artifact, DOCUMENTS))
    ]
    return stages[-1] if stages else None


def _first_with(artifacts: Mapping[str, Artifact], output: str, column: str) -> Artifact | None:
    """The first stage whose output has a column; later ones may carry it on."""
    own = (one for one in artifacts.values() if column in samples.columns(one, output))
    return next(own, None)


def _documents(artifact: Artifact) -> _Documents:
    keys: list[NDArray[np.uint64]] = [np.empty(0, np.uint64)]
    counts: dict[tuple[str, str], list[int]] = {}
    lengths: dict[str, NDArray[np.int64]] = {}
    known = samples.columns(artifact, DOCUMENTS)
    names = [name for name in ("doc_id", "source", "split", "text") if name in known]
    for table in artifact.data(DOCUMENTS).tables(names):
        keys.append(_keys(table.column("doc_id")))
        sizes = bytes_of(table.column("text")).to_numpy()
        sources = _texts(table, "source", "")
        splits = _texts(table, "split", "all")
        bins = np.clip(np.searchsorted(_edges()[1:-1], sizes, side="right"), 0, _DOUBLINGS)
        for key, split, size, place in zip(
            zip(sources, splits, strict=True), splits, sizes.tolist(), bins.tolist(), strict=True
        ):
            counted = counts.setdefault(key, [0, 0])
            counted[0] += 1
            counted[1] += size
            lengths.setdefault(split, np.zeros(_DOUBLINGS + 1, np.int64))[place] += 1
    return _Documents(np.sort(np.concatenate(keys)), counts, lengths)


def _texts(table: pa.Table, column: str, otherwise: str) -> list[str]:
    if column not in table.column_names:
        return [otherwise] * int(table.num_rows)
    values: list[str] = table.column(column).fill_null(otherwise).to_pylist()
    return values


def _keys(doc_ids: pa.ChunkedArray) -> NDArray[np.uint64]:
    """uint64 (rows,): eight bytes a document, where its id has thirty-two."""
    return np.array(
        [xxhash.xxh3_64_intdigest(name.encode()) for name in doc_ids.to_pylist()], np.uint64
    )


def _edges() -> list[float]:
    return [0.0, *(float(_LEAST_LENGTH << power) for power in range(_DOUBLINGS + 1))]


def _sources(artifacts: Mapping[str, Artifact], last: str, documents: _Documents) -> Table:
    """A row a source: its pages, and what became of them."""
    pages: Counter[str] = Counter()
    for artifact in artifacts.values():
        if "provenance" in samples.columns(artifact, "pages"):
            for table in artifact.data("pages").tables(["source"]):
                pages.update(_texts(table, "source", ""))
    tokens: Counter[str] = Counter()
    for artifact in artifacts.values():
        if artifact.manifest.totals.unit == "token":
            for row in artifact.facts.get("sources", ()):
                tokens[row["source"]] += row["tokens_used"]
    rows: list[list[Cell]] = []
    for source in sorted({*pages, *(source for source, _ in documents.counts)}):
        own = {split: row for (name, split), row in documents.counts.items() if name == source}
        rows.append(
            [
                source,
                pages[source] if pages else None,
                sum(row[0] for row in own.values()),
                sum(row[1] for row in own.values()),
                own.get("validation", [0, 0])[0],
                tokens[source] if tokens else None,
            ]
        )
    columns = [
        "source",
        "pages",
        "documents",
        "bytes of text",
        "of these validation",
        "tokens used",
    ]
    return Table("Sources", columns, rows, f"Documents after {last}.")


def _lengths(last: str, documents: _Documents) -> Histogram | None:
    if not documents.lengths:
        return None
    counts = {
        split: [float(count) for count in documents.lengths[split]]
        for split in sorted(documents.lengths)
    }
    note = f"Documents after {last}. Bins double; the last holds all longer ones."
    return Histogram("Length of documents", "bytes of text", _edges(), counts, note)


def _chrome(artifact: Artifact) -> Table:
    """By source, how much of the pages is text."""
    totals: dict[str, list[int]] = {}
    for table in artifact.data(DOCUMENTS).tables(["source", "html_bytes", "text"]):
        sizes = bytes_of(table.column("text")).to_pylist()
        markup = table.column("html_bytes").fill_null(0).to_pylist()
        for source, page, text in zip(_texts(table, "source", ""), markup, sizes, strict=True):
            counted = totals.setdefault(source, [0, 0, 0])
            for place, value in enumerate((1, page, text)):
                counted[place] += value
    rows: list[list[Cell]] = [
        [source, pages, page, text, 1 - text / page if page else None]
        for source, (pages, page, text) in sorted(totals.items())
    ]
    columns = ["source", "pages", "bytes of pages", "bytes of text", "share left out"]
    note = "Markup, menus, headers, footers and other chrome of sites: all that is not main text."
    return Table("Markup and site chrome removed", columns, rows, note)


def _attributes(artifact: Artifact, documents: _Documents) -> Iterator[Table]:
    """Languages, and personal data by kind: of all documents and of those that stayed."""
    import pyarrow.compute as pc  # not before: to know the stages is to import this file

    known = samples.columns(artifact, "attributes")
    kinds = [name for kind in KINDS if (name := f"{kind}_count") in known]
    languages: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    found = {kind: [0, 0, 0, 0] for kind in kinds}
    for table in artifact.data("attributes").tables(["doc_id", "language", *kinds]):
        stayed = documents.has(table.column("doc_id"))
        for place, rows in enumerate((table, table.filter(pa.array(stayed)))):
            languages[place].update(_texts(rows, "language", _NOT_TOLD))
            for kind in kinds:
                column = rows.column(kind)
                found[kind][2 * place] += pc.sum(pc.greater(column, 0)).as_py() or 0
                found[kind][2 * place + 1] += pc.sum(column).as_py() or 0
    before, after = languages
    every, stays = max(before.total(), 1), max(after.total(), 1)
    ordered = sorted(before, key=lambda name: (-after[name], -before[name], name))
    rows_shown: list[list[Cell]] = [
        [name, before[name], before[name] / every, after[name], after[name] / stays]
        for name in ordered[:_LANGUAGES_SHOWN]
    ]
    left = len(ordered) - _LANGUAGES_SHOWN
    yield Table(
        "Languages",
        ["language", "documents", "share", "that stayed", "share of these"],
        rows_shown,
        f"{left} more are not shown." if left > 0 else "",
    )
    if kinds:
        yield Table(
            "Personal data",
            ["kind", "documents with it", "occurrences", "that stayed", "occurrences in these"],
            [[kind.removesuffix("_count"), *found[kind]] for kind in kinds],
            "Counted in the texts as they were annotated.",
        )


def _funnel(steps: Sequence[Step]) -> list[Panel]:
    if not steps:
        return []
    rows: list[list[Cell]] = [
        [
            step.stage,
            step.rows_in,
            step.kept,
            sum(step.removed.values()),
            sum(step.rejected.values()),
            share,
            "yes" if step.adds_up else "no",
        ]
        for step, share in zip(steps, shares(steps), strict=True)
    ]
    reasons: list[list[Cell]] = [
        [step.stage, fate, reason, count]
        for step in steps
        for fate, by_reason in (("removed", step.removed), ("rejected", step.rejected))
        for reason, count in sorted(by_reason.items(), key=lambda item: (-item[1], item[0]))
    ]
    columns = ["stage", "in", "kept", "removed", "rejected", "share of the first", "adds up"]
    shown: list[Panel] = [Table("Documents by stage", columns, rows)]
    if reasons:
        shown.append(Table("Why", ["stage", "", "reason", "documents"], reasons))
    return shown


def _of_view(artifact: Artifact | None, wanted: Callable[[Panel], bool]) -> list[Panel]:
    """Panels of a stage as they were kept with it."""
    view = kept_view(artifact) if artifact is not None else None
    return [panel for panel in view.panels if wanted(panel)] if view is not None else []


def _is_of_dedup(panel: Panel) -> bool:
    """What was found, the bands, and the S-curve: the chance that a pair is compared."""
    return isinstance(panel, Curve) or (
        isinstance(panel, Table) and panel.title in ("Deduplication", "Bands of the signatures")
    )


def _is_a_table(panel: Panel) -> bool:
    return isinstance(panel, Table)
