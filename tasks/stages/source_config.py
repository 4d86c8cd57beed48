"""What `source` is told: the sources, and how the files of each are read."""

from __future__ import annotations

from collections import Counter
from typing import Literal

from pydantic import Field, model_validator

from tasks.engine.config import Part, ShardedConfig, added, execution

Kind = Literal["auto", "warc", "parquet", "jsonl", "html", "text", "pydocs"]


class SourceSpec(Part):
    """One named source: files of one kind, or installed distributions."""

    name: str = Field(
        description="Name of the source; part of every document's identity.",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        max_length=64,
    )
    kind: Kind = Field("auto", description="Kind of the files; auto goes by their extension.")
    paths: list[str] = execution([], "Files, folders and globs (`**` too), relative to the root.")
    distributions: list[str] = execution(
        [],
        "pydocs: installed Python distributions to document; `python` is the standard library.",
    )
    text_field: str = Field(
        "text", description="Parquet and JSONL: field of the text.", min_length=1
    )
    url_field: str = Field(
        "url", description="Parquet and JSONL: field of the URL, where rows have one."
    )
    id_field: str = Field(
        "id", description="Parquet and JSONL: field that identifies a row without a URL."
    )
    date_field: str = Field(
        "date", description="Parquet and JSONL: field of the date a row was fetched."
    )
    license_field: str = Field(
        "license", description="Parquet and JSONL: field of a row's own licence."
    )
    row_type: Literal["text/plain", "text/html"] = Field(
        "text/plain", description="Parquet and JSONL: what the text is."
    )
    license: str = Field("unknown", description="Licence of records that do not state their own.")
    fetched: str = added(
        "", "A place of the stage `fetch`: its files, instead of `paths`.", max_length=64
    )

    @model_validator(mode="after")
    def _complete(self) -> SourceSpec:
        if self.fetched:
            if self.paths or self.distributions or self.kind == "pydocs":
                raise ValueError(
                    f"source {self.name!r}: with `fetched` it takes neither `paths` nor "
                    "`distributions`, and its kind cannot be pydocs"
                )
        elif self.kind == "pydocs":
            if not self.distributions or self.paths:
                raise ValueError(
                    f"source {self.name!r}: kind pydocs takes `distributions` and no `paths`"
                )
        elif not self.paths or self.distributions:
            raise ValueError(
                f"source {self.name!r}: kind {self.kind} takes `paths` and no `distributions`"
            )
        return self


class SourceConfig(ShardedConfig):
    """What to read."""

    sources: list[SourceSpec] = Field([], description="The sources, each under a name of its own.")
    max_record_bytes: int = Field(
        10_000_000,
        description="Largest page, in bytes when decompressed; a larger record is rejected.",
        ge=1_000,
        le=1_000_000_000,
    )

    opt_outs: list[str] = execution(
        [],
        "Files that list pages to leave out (CSV, or a line each): URLs, domains, doc_ids. What "
        "they hold is part of what the stage is made of.",
    )

    @model_validator(mode="after")
    def _distinct(self) -> SourceConfig:
        counts = Counter(spec.name for spec in self.sources)
        twice = sorted(name for name, count in counts.items() if count > 1)
        if twice:
            raise ValueError(f"sources need names of their own; given twice: {', '.join(twice)}")
        return self

    @property
    def names(self) -> list[str]:
        """Of the sources, in their order."""
        return [spec.name for spec in self.sources]
