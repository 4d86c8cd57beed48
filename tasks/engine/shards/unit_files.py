"""Where the files of a shard lie, and opening them on whatever machine the shard is built.

A job says which files of the store its shard reads. Only what comes from outside the store is
known by a path of the machine that planned the run; for a worker elsewhere it is put into the
store first (`AttemptFiles.lend`). Opened, they are a `Unit`: local files for the shard function.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from tasks.engine.identity.snapshot import Item
from tasks.engine.shards.intermediate import KeptRows, StoredRows
from tasks.engine.shards.unit import Member, Unit
from tasks.engine.store.local_copy import StoredFolder, local_copy, local_folder
from tasks.engine.store.store import Store


@dataclass(frozen=True)
class UnitFiles:
    """A unit that is not opened yet.

    Attributes:
        name, rows, sha256: as of `Unit`.
        files: the part or item; several where small ones are read together.
        shared: inputs that are read as a whole.
        aligned: of inputs cut alike, the one part called like this unit's.
        external: items of each external snapshot passed as shared.
        kept: what an earlier map of the run kept of the file; it is read instead of `files`.
    """

    name: str
    rows: int | None
    sha256: str
    files: tuple[Item, ...]
    shared: Mapping[str, StoredFolder] = field(default_factory=dict)
    aligned: Mapping[str, Item] = field(default_factory=dict)
    external: Mapping[str, tuple[Item, ...]] = field(default_factory=dict)
    kept: StoredRows | None = None

    @property
    def part(self) -> str:
        """The part's path in its output, and in outputs cut alike."""
        return f"{self.name}.parquet"


def unit_of(item: Item, rows: int | None) -> UnitFiles:
    """The unit that one part or item is by itself."""
    return UnitFiles(item.name, rows, item.sha256, (item,))


def open_unit(given: UnitFiles, store: Store, drafts: Path) -> Unit:
    """What a shard function is given.

    Args:
        drafts: a local folder of the shard's own, which need not be there yet.

    Raises:
        DamagedArtifactError: a file of the store is missing or of another size.
    """
    kept = None
    if given.kept is not None:
        item = given.kept.item
        kept = KeptRows(local_path(store, item), item.sha256, given.kept.slices)
    files = given.files if kept is None else ()
    members = tuple(Member(i.name, local_path(store, i), i.sha256) for i in files)
    return Unit(
        name=given.name,
        path=members[0].path if members else Path(),
        rows=given.rows,
        sha256=given.sha256,
        shared={name: local_folder(store, folder) for name, folder in given.shared.items()},
        external={
            name: tuple(replace(i, path=str(local_path(store, i)), stored=False) for i in items)
            for name, items in given.external.items()
        },
        members=members if len(members) > 1 else (),
        drafts=drafts,
        aligned={name: local_path(store, item) for name, item in given.aligned.items()},
        kept=kept,
    )


def local_path(store: Store, item: Item) -> Path:
    """Where an item is on this machine; one of the store that is elsewhere is downloaded."""
    if not item.stored:
        return Path(item.path)
    return local_copy(store, item.path, item.size, item.sha256)
