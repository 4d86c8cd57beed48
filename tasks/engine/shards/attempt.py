"""The files of one attempt: put into the store as they are finished, described at the end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from llm.sha256 import sha256_file
from tasks.engine.declare import Declared
from tasks.engine.errors import OutputError
from tasks.engine.identity import canonical
from tasks.engine.identity.snapshot import Item
from tasks.engine.shards import intermediate
from tasks.engine.shards.intermediate import Intermediate, StoredRows
from tasks.engine.shards.job import Job
from tasks.engine.shards.receipt import Receipt
from tasks.engine.shards.unit_files import UnitFiles
from tasks.engine.store.artifact import Data
from tasks.engine.store.manifest import File, OutputRecord, columns_of
from tasks.engine.store.staging import Staging
from tasks.engine.store.store import Store


def leftovers(store: Store, where: str) -> list[str]:
    """Folders of an unpublished attempt that nobody can go on from; the attempt itself, if all.

    Args:
        where: folder of the attempt, relative to the store.
    """
    adoptable = {"receipts", "reserved", intermediate.FOLDER}
    receipts = store.names(f"{where}/receipts")
    if not receipts:
        return [where]
    for name in receipts:
        record = store.read_json(f"{where}/receipts/{name}")
        if record is not None:
            adoptable |= record["files"].keys()
    return [f"{where}/{name}" for name in store.names(where) if name not in adoptable]


def _receipt_path(receipt: Receipt) -> str:
    return f"receipts/{receipt.shard_id}.json"


def _unseen(item: Item) -> Item:
    """An item that is not opened."""
    return item if item.stored else replace(item, path="")


class AttemptFiles:
    """What a stage has written so far.

    Args:
        where: folder of the attempt, relative to the store.

    Attributes:
        staging: a local folder for files that are not finished.
        shared: where in the store those of jobs are delivered, from whatever machine.
    """

    def __init__(self, stage: Declared, store: Store, where: str) -> None:
        self._stage, self._store, self._where = stage, store, where
        self._files: dict[str, dict[str, File]] = {name: {} for name in stage.outputs}
        self._data: dict[str, Data] = {}  # what was asked for, as long as no file is added
        self._folders: dict[str, Path] = {}
        self._further: dict[str, list[pa.Field]] = {}
        self._kept: dict[tuple[str, str], StoredRows] = {}
        self.shared = f"{where}/staging/shards"
        if store.local:
            self.staging = store.local_path(f"{where}/staging")
            self.staging.mkdir(parents=True, exist_ok=True)
        else:
            self._elsewhere = Staging(store.cache_folder("staging"))
            self.staging = self._elsewhere.folder

    def declared(self, name: str) -> pa.Schema | None:
        """The schema of an output; `None` for a folder.

        Raises:
            OutputError: the stage has no such output.
        """
        if name not in self._stage.outputs:
            names = ", ".join(self._stage.outputs)
            raise OutputError(f"{self._stage.name} declares {names}; it has no output {name!r}")
        schema = self._stage.outputs[name].schema
        return schema if schema is None else pa.schema([*schema, *self._further.get(name, ())])

    def extend(self, name: str, fields: Sequence[pa.Field]) -> None:
        """Add columns behind those a table is declared with.

        Raises:
            OutputError: it has a column of such a name.
        """
        known = self.schema(name).names
        for field in fields:
            if field.name in known:
                raise OutputError(f"{self._stage.name}.{name} has a column {field.name!r} already")
        self._further[name] = [*self._further.get(name, ()), *fields]
        self._data.pop(name, None)

    def schema(self, name: str) -> pa.Schema:
        """The schema of a table."""
        schema = self.declared(name)
        if schema is None:
            raise OutputError(f"{self._stage.name}.{name} is a folder, not a table")
        return schema

    def folder(self, name: str) -> Path:
        """A local folder to fill; every file in it is published with the manifest."""
        if self.declared(name) is not None:
            raise OutputError(f"{self._stage.name}.{name} is a table, not a folder")
        if name not in self._folders:
            if self._store.local:
                path = self._store.local_path(f"{self._where}/{name}")
            else:
                path = self.staging / f"folder-{name}"
            path.mkdir(parents=True, exist_ok=True)
            self._folders[name] = path
        return self._folders[name]

    def data(self, name: str) -> Data:
        """Read back an output that is already written."""
        if name not in self._data:
            schema, files = self.declared(name), list(self._files[name].values())
            identity = canonical.data_id((f.path, f.rows, f.sha256) for f in files)
            folder = f"{self._where}/{name}"
            self._data[name] = Data(self._store, folder, identity, schema, files, None)
        return self._data[name]

    def publish(self, output: str, file: File, source: Path) -> None:
        """Move a finished part into the store.

        Raises:
            OutputError: there is one of that name.
        """
        self._claim(output, file)
        self._store.put(f"{self._where}/{output}/{file.path}", source)

    def receive_part(self, output: str, file: File) -> None:
        """Publish a part that a job has delivered.

        Raises:
            OutputError: there is one of that name.
        """
        self._claim(output, file)
        delivered = f"{self.shared}/{output}/{file.path}"
        self._store.move(delivered, f"{self._where}/{output}/{file.path}")

    def _claim(self, output: str, file: File) -> None:
        if file.path in self._files[output]:
            raise OutputError(
                f"{self._stage.name}.{output}: {file.path} is written twice; every map call "
                "over the same units needs outputs of its own"
            )
        self._note(output, [file])

    def _note(self, output: str, files: Iterable[File]) -> None:
        self._files[output].update({file.path: file for file in files})
        self._data.pop(output, None)

    def lend(self, job: Job) -> Job:
        """The job with what it reads from outside the store put into it, until the attempt ends:
        for workers that see nothing else of this machine.

        What is no file (an installed distribution), and what the function reads by itself, stays
        where it is: workers need their own.
        """
        if not job.checked:
            return job
        unit = job.unit
        external = {name: tuple(map(self._lent, items)) for name, items in unit.external.items()}
        take = self._lent if unit.kept is None else _unseen  # what was kept lies in the store
        files = tuple(map(take, unit.files))
        return replace(job, unit=replace(unit, files=files, external=external))

    def _lent(self, item: Item) -> Item:
        source = Path(item.path)
        if item.stored or not source.is_file():
            return item
        path = f"{self._where}/staging/items/{item.sha256}"
        self._store.add(path, source)
        return replace(item, path=path, stored=True)

    def adopt(self, receipt: Receipt, where: str) -> None:
        """Take over a shard of another attempt, its receipt too. May be called from threads."""
        paths = [
            f"{output}/{file.path}" for output, files in receipt.files.items() for file in files
        ]
        for path in [*paths, _receipt_path(receipt)]:
            self._store.copy(f"{where}/{path}", f"{self._where}/{path}")
        for output, files in receipt.files.items():
            self._note(output, files)

    def receive_intermediate(self, shard: str, kept: Intermediate) -> None:
        """Take in what a job kept for a later map; before its receipt, which promises it."""
        path = intermediate.intermediate_path(shard)
        self._store.move(f"{self.shared}/{path}", f"{self._where}/{path}")
        contents = f"{self._where}/{intermediate.contents_path(shard)}"
        self._store.replace(contents, kept.model_dump_json().encode())
        self._keep(shard, kept)

    def adopt_intermediate(self, shard: str, kept: Intermediate, where: str) -> None:
        """Take over what a shard of another attempt kept. May be called from threads."""
        for path in (intermediate.intermediate_path(shard), intermediate.contents_path(shard)):
            self._store.copy(f"{where}/{path}", f"{self._where}/{path}")
        self._keep(shard, kept)

    def _keep(self, shard: str, kept: Intermediate) -> None:
        path = f"{self._where}/{intermediate.intermediate_path(shard)}"
        item = Item(shard, kept.bytes, kept.digest, path, stored=True)
        for file in kept.files:
            self._kept[file.name, file.sha256] = StoredRows(item, file.slices)

    def kept(self, unit: UnitFiles) -> StoredRows | None:
        """What an earlier map of this run kept of a unit that is one file."""
        if len(unit.files) != 1:
            return None
        return self._kept.get((unit.files[0].name, unit.files[0].sha256))

    def receive(self, receipt: Receipt) -> None:
        """Keep the receipt of a finished shard."""
        path = f"{self._where}/{_receipt_path(receipt)}"
        stored = receipt.model_dump_json(exclude={"intermediate"})
        self._store.replace(path, stored.encode())

    def abandon(self) -> None:
        """Take away what the next attempt cannot adopt: all that no receipt names."""
        self._close()
        for folder in leftovers(self._store, self._where):
            self._store.remove(folder)

    def finish(self) -> dict[str, OutputRecord]:
        """Put folders in place and describe every output; what was kept on the way goes."""
        for name, path in self._folders.items():
            for file in sorted(p for p in path.rglob("*") if p.is_file()):
                relative = file.relative_to(path).as_posix()
                size, digest = file.stat().st_size, sha256_file(file)
                self._note(name, [File(path=relative, rows=None, bytes=size, sha256=digest)])
                if not self._store.local:
                    self._store.put(f"{self._where}/{name}/{relative}", file)
        records = {}
        for name in self._stage.outputs:
            schema = self.declared(name)
            files = sorted(self._files[name].values(), key=lambda file: file.path)
            if not files and self._stage.outputs[name].optional:
                continue
            if schema is None and not files:
                raise OutputError(f"{self._stage.name}.{name}: the folder is empty")
            if schema is not None:
                buffer = schema.serialize().to_pybytes()
                self._store.replace(f"{self._where}/schemas/{name}.arrow", buffer)
            records[name] = OutputRecord(
                data_id=self.data(name).data_id, columns=columns_of(schema), files=files
            )
        self._store.remove(f"{self._where}/{intermediate.FOLDER}")
        self._close()
        return records

    def _close(self) -> None:
        self._store.remove(f"{self._where}/staging")
        if not self._store.local:
            self._elsewhere.close()
