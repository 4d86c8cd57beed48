"""clean: raw pages to documents: decoded, main text extracted, in a process that may crash."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from heapq import nsmallest
from typing import Any, Literal

import pyarrow as pa
from pydantic import Field, model_validator

from llm.corpus.clean.outcome import (
    Document,
    Extraction,
    Limits,
    Outcome,
    Page,
    Removed,
    Signal,
)
from llm.corpus.source.licences import spdx
from llm.process.guarded import TIMEOUT
from llm.process.sandbox import Failure, batches, warm_sandbox
from llm.rows import bytes_of, rows_among
from llm.tables import DOC_ID, REJECTED, REMOVED
from tasks.engine.config import ShardedConfig, added
from tasks.engine.declare import Conservation, Input, Output
from tasks.engine.shards.lost_documents import TIMING_DEPENDENT
from tasks.engine.shards.unit import Emitted, Fact, Unit
from tasks.engine.stage.out import Out
from tasks.engine.stage.stage import Stage
from tasks.engine.store.artifact import Artifact, Data, Inputs
from tasks.panels.panels import Histogram, Panel, Sample, Samples, Table

DOCUMENTS = pa.schema(
    [
        DOC_ID,
        pa.field("url", pa.string()),
        pa.field("title", pa.string()),
        pa.field("text", pa.string(), nullable=False),
        pa.field("extractor", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("html_bytes", pa.int64(), nullable=False),
        pa.field("text_chars", pa.int64(), nullable=False),
        pa.field("robots", pa.string()),
        pa.field("date", pa.string()),
        pa.field("author", pa.string()),
        pa.field("language", pa.string()),
        pa.field("canonical_url", pa.string()),
        pa.field("licence", pa.string()),
        pa.field("page_type", pa.string()),
        pa.field("page_type_sign", pa.string()),
        pa.field("rule", pa.string()),
        pa.field("place", pa.string()),
        pa.field("kept_share", pa.float64()),
    ]
)
# What a page says of its use by machines, and where it says so.
SIGNALS = [
    pa.field("licence_id", pa.string()),
    pa.field(
        "signals",
        pa.list_(pa.struct([pa.field(n, pa.string(), nullable=False) for n in Signal._fields])),
        nullable=False,
    ),
]

_COLUMNS = ["doc_id", "url", "content_type", "charset", "robots", "html", "source"]
# A batch is small enough to be done in a fraction of a second by the slowest engine, so that the
# deadline for a page can be the deadline for a batch, and large enough that the pipe costs nothing.
_BATCH_PAGES = 64
_BATCH_BYTES = 1 << 20
# No page within the default limits needs a quarter of it; markup that explodes when parsed must
# not take the machine's memory.
_SANDBOX_MEMORY_BYTES = 4 << 30
# trafilatura's caches grow with the pages seen.
_SANDBOX_RSS_BYTES = 1 << 30

_EDGES = [0, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 1_000_000]
_SAMPLES = 6
_SAMPLE_CHARS = 1_500
_SAID = 50


class CleanConfig(ShardedConfig):
    """How pages become text."""

    engine: Literal["auto", "resiliparse", "trafilatura", "both"] = Field(
        "auto",
        description="Main-text extraction: auto is the scorer of blocks, which treats articles, "
        "forums, products, lists and documentation each by a rule of its own; resiliparse is "
        "faster and lets more boilerplate through; trafilatura (fast mode) is made for articles; "
        "both takes trafilatura's text unless resiliparse's is much longer.",
    )
    format: Literal["text", "markdown"] = Field(
        "text",
        description="With engine auto: markdown marks headings, listings with their language, "
        "inline code, quotations and tables; text has their lines alone.",
    )
    longer: float = Field(
        1.4,
        description="With engine both: take resiliparse's text if it has more than this many times "
        "the characters of trafilatura's.",
        ge=1,
        le=100,
    )
    signals: bool = added(
        False,
        "Record what each page says of its use by machines, and where it says so: the columns "
        "signals (robots, reservation of data mining, licences) and licence_id (SPDX).",
    )
    comments: bool = Field(False, description="Keep readers' comments below an article.")
    max_bytes: int = Field(
        16_000_000, description="Largest page, in bytes.", ge=1_000, le=1_000_000_000
    )
    max_nodes: int = Field(
        300_000, description="Most elements a parsed page may have.", ge=100, le=10_000_000
    )
    max_depth: int = Field(
        256,
        description="How deep elements may be nested; the time an engine takes grows with it.",
        ge=16,
        le=1_000,
    )
    max_replaced: float = Field(
        0.05,
        description="Share of the non-ASCII characters that may be undecodable; with more, the "
        "next encoding is tried.",
        ge=0,
        le=1,
    )
    max_controls: float = Field(
        0.01, description="Share of control characters above which a page is not text.", ge=0, le=1
    )
    deadline_seconds: float = Field(
        60,
        description="Time limit in seconds, a net under the limits above: a page that takes longer,"
        " twice and by itself, is rejected and listed as timing-dependent.",
        ge=1,
        le=3600,
    )

    @model_validator(mode="after")
    def _marks_are_made(self) -> CleanConfig:
        if self.format == "markdown" and self.engine != "auto":
            raise ValueError(f"format: markdown needs engine: auto; {self.engine} gives text alone")
        return self


def clean_part(unit: Unit, **arguments: Any) -> Iterator[Emitted]:
    """Clean one part of `pages`.

    Args:
        arguments: identity fields of `CleanConfig`.
    """
    limits = Limits(
        max_bytes=arguments["max_bytes"],
        max_nodes=arguments["max_nodes"],
        max_depth=arguments["max_depth"],
        max_replaced=arguments["max_replaced"],
        max_controls=arguments["max_controls"],
    )
    how = Extraction(
        engine=arguments["engine"],
        longer=arguments["longer"],
        comments=arguments["comments"],
        format=arguments["format"],
    )
    schema = _schema(arguments.get("signals", False))
    timed_out: list[str] = []
    sandbox = warm_sandbox(
        "llm.corpus.clean.pages:clean_pages",
        (limits, how),
        arguments["deadline_seconds"],
        _SANDBOX_MEMORY_BYTES,
        _SANDBOX_RSS_BYTES,
    )
    for table in unit.tables(columns=_COLUMNS):
        outcomes: list[Outcome | Failure] = []
        for batch in batches(
            _pages(table), lambda page: len(page.payload), _BATCH_PAGES, _BATCH_BYTES
        ):
            outcomes += sandbox.run(batch)
        doc_ids = table.column("doc_id").to_pylist()
        timed_out += [
            doc_id
            for doc_id, outcome in zip(doc_ids, outcomes, strict=True)
            if isinstance(outcome, Failure) and outcome.reason == TIMEOUT
        ]
        yield from _tables(table, outcomes, schema)
    if timed_out:
        yield Fact(TIMING_DEPENDENT, timed_out)


def _pages(table: pa.Table) -> Iterator[Any]:
    """Pages one at a time: the payloads of a row group are not all copied at once."""
    columns = [table.column(name) for name in ("html", "content_type", "charset", "robots", "url")]
    for html, *known in zip(*columns, strict=True):
        yield Page(html.as_py() or b"", *(value.as_py() for value in known))


def _schema(signals: bool) -> pa.Schema:
    return pa.schema([*DOCUMENTS, *SIGNALS]) if signals else DOCUMENTS


def _tables(table: pa.Table, outcomes: Sequence[Any], schema: pa.Schema) -> Iterator[Emitted]:
    """Outcomes, one for each row of `table`, as rows of the three outputs."""
    rows = table.select(["doc_id", "url", "source"]).to_pylist()
    sizes = bytes_of(table.column("html")).to_pylist()
    documents, removed, rejected = [], [], []
    for row, size, outcome in zip(rows, sizes, outcomes, strict=True):
        if isinstance(outcome, Document):
            documents.append(
                row
                | vars(outcome.found)
                | {
                    "signals": [signal._asdict() for signal in outcome.found.signals],
                    "text": outcome.text,
                    "extractor": outcome.extractor,
                    "html_bytes": size,
                    "text_chars": len(outcome.text),
                }
            )
        elif isinstance(outcome, Removed):
            removed.append(
                {
                    "doc_id": row["doc_id"],
                    "reason": outcome.reason,
                    "value": outcome.value,
                    "threshold": outcome.threshold,
                    "detail": outcome.detail,
                }
            )
        else:
            rejected.append(
                {"doc_id": row["doc_id"], "reason": outcome.reason, "detail": outcome.detail}
            )
    yield "documents", pa.Table.from_pylist(documents, schema)
    yield "removed", pa.Table.from_pylist(removed, REMOVED)
    yield "rejected", pa.Table.from_pylist(rejected, REJECTED)


def run(config: CleanConfig, inputs: Inputs, out: Out) -> None:
    if config.signals:
        out.extend("documents", SIGNALS)
    # A source of many small files has a part a file.
    out.map(clean_part, over="pages", arguments=config.identity(), gather=True)


def panels(artifact: Artifact) -> list[Panel]:
    """By extractor, source, kind and rule, text lengths, reasons, and a few documents to read."""
    groups: dict[tuple[str, str], list[int]] = {}
    kinds: dict[tuple[str, str], list[int]] = {}
    counts: dict[str, list[float]] = {}
    said: Counter[tuple[str, str, str]] = Counter()
    smallest: list[tuple[str, str]] = []
    documents = artifact.data("documents")
    for part in documents.parts:
        table = documents.part_table(part, _shown(artifact))
        # Counted here, not by Arrow's `group_by`: that imports pandas.
        names = ("source", "extractor", "html_bytes", "text_chars")
        for source, extractor, size, length in zip(
            *(table.column(name).to_pylist() for name in names), strict=True
        ):
            totals = groups.setdefault((source, extractor), [0, 0, 0])
            for index, value in enumerate((1, size, length)):
                totals[index] += value
            bins = counts.setdefault(extractor, [0.0] * (len(_EDGES) - 1))
            bins[_bin(length)] += 1
        if "signals" in table.column_names:
            for row in table.column("signals").to_pylist():
                said.update({(s["kind"], spdx(s["value"]) or s["value"], s["place"]) for s in row})
        of_kind = ("page_type", "rule", "text_chars")
        for kind, rule, length in zip(
            *(table.column(name).to_pylist() for name in of_kind), strict=True
        ):
            totals = kinds.setdefault((kind or "", rule or ""), [0, 0])
            totals[0] += 1
            totals[1] += length
        # The smallest ids are as good as a draw: they are hashes of the content.
        ids = table.column("doc_id").to_pylist()
        smallest = nsmallest(_SAMPLES, [*smallest, *((doc_id, part.path) for doc_id in ids)])
    samples = _samples(documents, smallest)
    made = artifact.manifest.totals
    reasons = [("removed", *item) for item in sorted(made.removed.items())]
    reasons += [("rejected", *item) for item in sorted(made.rejected.items())]
    timing = artifact.facts.get(TIMING_DEPENDENT, [])
    return [
        Table(
            "Documents by source and extractor",
            ["source", "extractor", "documents", "page bytes", "text characters"],
            [[*key, *groups[key]] for key in sorted(groups)],
        ),
        Table(
            "Documents by kind of page and rule",
            ["kind", "rule", "documents", "text characters"],
            [[*key, *kinds[key]] for key in sorted(kinds)],
            note="By which rule the engine auto found the text; other engines and plain text have "
            "none.",
        ),
        Table(
            "Pages that became no document",
            ["", "reason", "pages", "share of pages"],
            [[kind, reason, n, n / max(1, made.rows_in)] for kind, reason, n in reasons],
            note=f"{len(timing)} of them hit the deadline: another run may decide otherwise."
            if timing
            else "",
        ),
        *_said(said),
        Histogram(
            "Length of documents",
            "characters (the last bin holds all longer ones)",
            _EDGES,
            dict(sorted(counts.items())),
        ),
        Samples(
            "Documents",
            [
                Sample(
                    row["title"] or row["url"] or row["doc_id"],
                    row["text"][:_SAMPLE_CHARS],
                    {
                        name: row[name]
                        for name in ("doc_id", "url", "extractor", "page_type", "rule", "place")
                    },
                )
                for row in samples
            ],
            note=f"The {_SAMPLES} with the smallest ids, cut after {_SAMPLE_CHARS:,} characters.",
        ),
    ]


def _shown(artifact: Artifact) -> list[str]:
    """What is counted of every document: its text is not, which is nearly all there is to read."""
    columns = ["doc_id", "source", "extractor", "html_bytes", "text_chars", "page_type", "rule"]
    stored = artifact.manifest.outputs["documents"].columns or []
    return columns + ["signals"] * any(column.startswith("signals:") for column in stored)


def _samples(documents: Data, chosen: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """Rows of documents by doc_id, each given with the path of its part."""
    columns = ["doc_id", "title", "url", "text", "extractor", "page_type", "rule", "place"]
    rows: list[dict[str, Any]] = []
    for part in documents.parts:
        own = [doc_id for doc_id, path in chosen if path == part.path]
        if own:
            rows += rows_among(documents.part_table(part, columns), own).to_pylist()
    return sorted(rows, key=lambda row: str(row["doc_id"]))


def _said(said: Counter[tuple[str, str, str]]) -> list[Panel]:
    """What pages say of their use, where that was recorded."""
    if not said:
        return []
    rows = [(*key, n) for key, n in sorted(said.items(), key=lambda one: (-one[1], one[0]))]
    columns = ["signal", "value", "where", "documents"]
    note = "Recorded in the columns signals, robots and licence_id; filter decides (respect)."
    return [Table("What pages say of their use", columns, rows[:_SAID], note)]


def _bin(length: int) -> int:
    for index, edge in enumerate(_EDGES[1:-1]):
        if length < edge:
            return index
    return len(_EDGES) - 2


STAGE = Stage(
    name="clean",
    version=6,
    description="Raw pages to documents: encoding, main text, title.",
    config=CleanConfig,
    inputs={"pages": Input(("source.pages",), "Raw pages with their bytes.")},
    outputs={
        "documents": Output(
            "Main text of a page, what it says of itself, and how it was found.",
            DOCUMENTS,
            unique_ids=True,
        ),
        "removed": Output("Pages without text: empty, or not text at all.", REMOVED),
        "rejected": Output("Pages that could not be processed, and why.", REJECTED),
    },
    run=run,
    panels=panels,
    conservation=Conservation("pages", kept="documents", removed="removed", rejected="rejected"),
    libraries=("resiliparse", "trafilatura", "lxml"),
    code=("llm.corpus.clean.pages",),
)
