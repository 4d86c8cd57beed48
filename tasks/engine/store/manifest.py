"""The manifest: everything that is known about one finished attempt of a stage."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from tasks.engine.declare import HELD

# Raised when the layout on disk or the meaning of a field changes.
SCHEMA_VERSION = 2

# Constants of the format: they shape the bytes of every part, so they are no config.
ROWS_PER_PART = 2_000
ROWS_PER_GROUP = 500
COMPRESSION = "zstd"
COMPRESSION_LEVEL = 3


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class File(_Record):
    """One published file; `path` is relative to its output's folder, `rows` is null in folders."""

    path: str
    rows: int | None
    bytes: int
    sha256: str


class Listing(_Record):
    """A list too long for the manifest, in a table beside it, see `listing.py`.

    Attributes:
        sha256, bytes: of that table.
        count: entries.
        rows, total_bytes: of what is listed, in all.
    """

    sha256: str
    bytes: int
    count: int
    rows: int = 0
    total_bytes: int = 0


class OutputRecord(_Record):
    """A named output: its identity, its columns ("name: type", null for folders), its files.

    Attributes:
        files: `None` where there are many; `listing` has them then.
    """

    data_id: str
    columns: list[str] | None
    files: list[File] | None
    listing: Listing | None = None

    @property
    def count(self) -> int:
        """Files."""
        return self.listing.count if self.listing else len(self.files or ())

    @property
    def rows(self) -> int:
        if self.listing:
            return self.listing.rows
        return sum(file.rows or 0 for file in self.files or ())

    @property
    def bytes(self) -> int:
        if self.listing:
            return self.listing.total_bytes
        return sum(file.bytes for file in self.files or ())


class InputRecord(_Record):
    """Which output of which attempt was read."""

    stage: str
    output: str
    data_id: str
    build_id: str
    attempt: str


class ExternalItem(_Record):
    name: str
    size: int
    sha256: str


class ExternalRecord(_Record):
    """What was read from outside the store.

    Attributes:
        items: `None` where there are many; `listing` has them then.
    """

    data_id: str
    items: list[ExternalItem] | None
    listing: Listing | None = None

    @property
    def count(self) -> int:
        """Items."""
        return self.listing.count if self.listing else len(self.items or ())


class CodeRecord(_Record):
    """The code and libraries that made it. Recorded, compared and shown; never in identity.

    Attributes:
        adopted: shards taken from earlier attempts that other code had built.
    """

    version: int
    digest: str
    files: dict[str, str]
    libraries: dict[str, str]
    commit: str | None
    dirty: bool | None
    adopted: int = 0


class Totals(_Record):
    """Rows by fate, reasons included."""

    rows_in: int = 0
    kept: int = 0
    removed: dict[str, int] = Field(default_factory=dict)
    rejected: dict[str, int] = Field(default_factory=dict)
    unit: str = "row"


class Timings(_Record):
    """Wall-clock evidence: ISO 8601 start in UTC, seconds in all, shards built and adopted."""

    started: str
    seconds: float
    shards_built: int
    shards_adopted: int


class Manifest(_Record):
    """What an attempt made, and of what.

    Written last, never overwritten; without it the attempt does not exist.

    Attributes:
        panels: the file of what is shown of it, beside the manifest; `None` of a version that did
            not record it.
    """

    schema_version: int
    stage: str
    build_id: str
    attempt: str
    outputs: dict[str, OutputRecord]
    config: dict[str, Any]
    execution: dict[str, Any]
    code: CodeRecord
    inputs: dict[str, InputRecord]
    externals: dict[str, ExternalRecord]
    totals: Totals
    facts: dict[str, Any]
    timings: Timings
    environment: dict[str, str]
    prefect: dict[str, str]
    panels: File | None = None

    @property
    def bytes(self) -> int:
        return sum(output.bytes for output in self.outputs.values())

    def listings(self) -> list[Listing]:
        """All lists that lie beside it."""
        found = [output.listing for output in self.outputs.values()]
        found += [record.listing for record in self.externals.values()]
        return [listing for listing in found if listing is not None]

    @property
    def parents(self) -> dict[str, InputRecord]:
        """The inputs that other stages made: what a held stage went on from is its own, and in what
        it made."""
        return {name: record for name, record in self.inputs.items() if name != HELD}

    def input_ids(self) -> dict[str, str]:
        """data_id by input name, externals included: what entered the build id."""
        ids = {name: record.data_id for name, record in self.inputs.items()}
        ids.update({name: record.data_id for name, record in self.externals.items()})
        return ids


def columns_of(schema: pa.Schema | None) -> list[str] | None:
    """A schema as the manifest records it."""
    return None if schema is None else [f"{field.name}: {field.type}" for field in schema]
