"""What a shard function is given and what it may yield.

A shard function is a top-level function `f(unit, **arguments) -> Iterator[Emitted]`.
It runs in a worker process, so everything that crosses is a plain value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.engine.errors import MissingInputError
from tasks.engine.identity.snapshot import Item
from tasks.engine.shards.intermediate import KeptRows
from tasks.engine.store.part_files import read_part


@dataclass(frozen=True)
class RowsIn:
    """Rows read by the shard, where they are not the rows of an input part."""

    count: int


@dataclass(frozen=True)
class Fact:
    """Evidence for the manifest: numbers of all shards are summed, lists joined in order."""

    name: str
    value: int | float | list[str]


@dataclass(frozen=True)
class NewFile:
    """A finished file for an output that is a folder.

    Attributes:
        path: in the output; relative, with forward slashes.
        source: where it is now, below `Unit.scratch`; it is moved from there.
    """

    output: str
    path: str
    source: Path


@dataclass(frozen=True)
class Kept:
    """Rows, of whatever columns, for a later `map` of this run over the same file
    (`tasks/engine/shards/intermediate.py`); all that a shard keeps has the same columns.

    Attributes:
        file: name of the file they are made of: the unit's, or one of its members'.
        rows: less than 2 GiB.
    """

    file: str
    rows: pa.Table


Emitted = tuple[str, pa.Table] | NewFile | Fact | RowsIn | Kept


@dataclass(frozen=True)
class Member:
    """One of several parts or items that are a shard together."""

    name: str
    path: Path
    sha256: str


@dataclass(frozen=True)
class Unit:
    """One shard's input: a part of an input table or an external item, or several small ones.

    Attributes:
        name: the part's path without its ending, or the item's name; of several parts see
            `tasks.engine.shards.gathering`.
        path: where it lies on this machine; of several parts, the first.
        rows: of a part, or of all; `None` for an external item.
        sha256: of its content.
        shared: local folder of each shared input.
        aligned: local file of each input cut alike: the part called like this one.
        external: items of each external snapshot passed as shared.
        members: the parts or items, where there are several.
        drafts: where `scratch` is made, once it is asked for.
        kept: what an earlier map of the run kept of the file, where the map asked for that and
            there is something; then `path` leads nowhere.
    """

    name: str
    path: Path
    rows: int | None
    sha256: str
    shared: Mapping[str, Path] = field(default_factory=dict)
    external: Mapping[str, tuple[Item, ...]] = field(default_factory=dict)
    members: tuple[Member, ...] = ()
    drafts: Path = Path()
    aligned: Mapping[str, Path] = field(default_factory=dict)
    kept: KeptRows | None = None

    @property
    def scratch(self) -> Path:
        """A local folder of this shard's own, empty at first, for files that become a `NewFile`."""
        self.drafts.mkdir(parents=True, exist_ok=True)
        return self.drafts

    def files(self) -> tuple[Member, ...]:
        """Every file it consists of."""
        return self.members or (Member(self.name, self.path, self.sha256),)

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The part as one table; several parts one behind the other."""
        if not self.members:
            return read_part(self.path, columns)
        return pa.concat_tables([read_part(member.path, columns) for member in self.members])

    def tables(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The part a row group at a time: memory bounded by a row group. Several small parts are
        one table: together they have no more rows than a row group."""
        if self.members:
            yield self.table(columns)
            return
        with pq.ParquetFile(self.path) as source:
            for index in range(source.num_row_groups):
                yield source.read_row_group(index, columns=list(columns) if columns else None)

    def shared_files(self, name: str) -> list[Path]:
        """The Parquet parts of a shared input, in order of their names.

        Raises:
            MissingInputError: the stage did not declare that input.
        """
        if name not in self.shared:
            raise MissingInputError(f"shard {self.name}: input {name!r} was not passed")
        return sorted(self.shared[name].rglob("*.parquet"))

    def aligned_file(self, name: str) -> Path:
        """The one part of an input cut alike that is called like this unit's.

        Raises:
            MissingInputError: the stage did not pass that input as `aligned`.
        """
        if name not in self.aligned:
            raise MissingInputError(f"shard {self.name}: input {name!r} was not passed as aligned")
        return self.aligned[name]
