"""What a run knows of its training content, read once from its artifacts, with what it is from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from llm.corpus.annotate.url_rules import host_of
from llm.corpus.source.licences import spdx
from llm.rows import bytes_of, places_of
from tasks.engine.store.artifact import Artifact
from tasks.forget.texts import trained_documents

_SOURCE = "source"


@dataclass(frozen=True)
class Evidence:
    """An output that a figure was read from."""

    stage: str
    output: str
    data_id: str

    def __str__(self) -> str:
        return f"{self.stage}.{self.output}@{self.data_id[:16]}"


@dataclass(frozen=True)
class Known:
    """What is known; counts are of documents that models are trained on.

    Attributes:
        artifacts: by stage.
        tokens: in the training rows; `None` before `pack`.
        documents, text_bytes: in all.
        sources: documents and bytes by source.
        domains: bytes by host; documents without one are not in it.
        languages: documents by language.
        licences: pages by licence, as SPDX names it where it does.
        first, last: when pages were fetched; `None` where no record says.
    """

    artifacts: Mapping[str, Artifact]
    tokens: int | None
    documents: int
    text_bytes: int
    sources: Mapping[str, tuple[int, int]]
    domains: Mapping[str, int]
    languages: Mapping[str, int]
    licences: Mapping[str, int]
    first: datetime | None
    last: datetime | None

    def evidence(self, *outputs: str) -> list[Evidence]:
        """Of outputs named "stage.output", those there are."""
        found = []
        for name in outputs:
            stage, _, output = name.partition(".")
            artifact = self.artifacts.get(stage)
            record = artifact.manifest.outputs.get(output) if artifact is not None else None
            if record is not None:
                found.append(Evidence(stage, output, record.data_id))
        return found

    def config(self, stage: str) -> Mapping[str, Any]:
        """What a stage was built by; empty where the recipe lacks it."""
        artifact = self.artifacts.get(stage)
        return artifact.manifest.config if artifact is not None else {}

    @property
    def trained(self) -> str:
        """The output of documents that training reads, "stage.documents"; "" for none."""
        data = trained_documents(self.artifacts)
        return f"{data.artifact.stage}.documents" if data is not None and data.artifact else ""


def read(artifacts: Mapping[str, Artifact]) -> Known:
    """Read what is known: of documents their columns of URL, source and text, no text is kept.

    Args:
        artifacts: by stage, in the order of the chain.
    """
    sources: dict[str, list[int]] = {}
    domains: Counter[str] = Counter()
    ids = []
    for table in _documents(artifacts):
        sizes = bytes_of(table.column("text")).to_pylist()
        urls, names = (table.column(name).to_pylist() for name in ("url", "source"))
        for url, name, size in zip(urls, names, sizes, strict=True):
            counted = sources.setdefault(name or "", [0, 0])
            counted[0] += 1
            counted[1] += size
            host = host_of(url) if url and "://" in url else None
            if host:
                domains[host.removeprefix("www.")] += size
        ids.append(table.column("doc_id"))
    first, last = _fetched(artifacts)
    return Known(
        artifacts=artifacts,
        tokens=_tokens(artifacts),
        documents=sum(count for count, _ in sources.values()),
        text_bytes=sum(size for _, size in sources.values()),
        sources={name: (count, size) for name, (count, size) in sorted(sources.items())},
        domains=dict(sorted(domains.items(), key=lambda one: (-one[1], one[0]))),
        languages=_languages(artifacts, ids),
        licences=_licences(artifacts),
        first=first,
        last=last,
    )


def _documents(artifacts: Mapping[str, Artifact]) -> Iterator[Any]:
    data = trained_documents(artifacts)
    if data is not None:
        yield from data.tables(["doc_id", "url", "source", "text"])


def _tokens(artifacts: Mapping[str, Artifact]) -> int | None:
    if "pack" not in artifacts:
        return None
    return int(artifacts["pack"].facts["splits"]["train"]["tokens"])


def _languages(artifacts: Mapping[str, Artifact], ids: list[Any]) -> dict[str, int]:
    """As `annotate` tells them, of the documents that stayed."""
    annotated = artifacts.get("annotate")
    if annotated is None or not ids:
        return {}
    import pyarrow as pa

    known = pa.chunked_array([chunk for column in ids for chunk in column.chunks], pa.string())
    found: Counter[str] = Counter()
    for table in annotated.data("attributes").tables(["doc_id", "language"]):
        stayed = places_of(table.column("doc_id"), known).is_valid()
        found.update(table.column("language").filter(stayed).fill_null("unknown").to_pylist())
    return dict(sorted(found.items(), key=lambda one: (-one[1], one[0])))


def _licences(artifacts: Mapping[str, Artifact]) -> dict[str, int]:
    """As sources state them, of all pages."""
    found: Counter[str] = Counter()
    if _SOURCE in artifacts:
        for name, count in artifacts[_SOURCE].facts.items():
            if name.startswith("license:"):
                terms = name.split(":", 2)[2]
                found[spdx(terms) or " ".join(terms.split())[:80]] += int(count)
    return dict(sorted(found.items(), key=lambda one: (-one[1], one[0])))


def _fetched(artifacts: Mapping[str, Artifact]) -> tuple[datetime | None, datetime | None]:
    """The first and the last date that records of pages have."""
    import pyarrow.compute as pc  # not before: see llm/rows.py

    bounds: list[datetime] = []
    if _SOURCE in artifacts:
        for table in artifacts[_SOURCE].data("pages").tables(["fetched_at"]):
            found = pc.min_max(table.column("fetched_at")).as_py()
            bounds += [moment for moment in found.values() if moment is not None]
    return (min(bounds), max(bounds)) if bounds else (None, None)
