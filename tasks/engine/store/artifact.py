"""Reading what was published: only through a manifest, never by looking into folders."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from llm.sha256 import sha256_file
from tasks.engine.errors import DamagedArtifactError, MissingInputError
from tasks.engine.identity.canonical import sha256_json
from tasks.engine.identity.snapshot import Item, Snapshot
from tasks.engine.store.listing import files_of, items_of
from tasks.engine.store.local_copy import StoredFolder, local_copy
from tasks.engine.store.manifest import ExternalItem, File, InputRecord, Manifest
from tasks.engine.store.part_files import read_part
from tasks.engine.store.store import Store

_MEND = "`ingot verify --deep` marks what is damaged, `ingot run` then builds it again"


def build_folder(stage: str, build: str) -> str:
    """Where all attempts at a recipe lie, relative to the store."""
    return f"artifacts/{stage}/{build[:16]}"


def attempt_folder(stage: str, build: str, attempt: str) -> str:
    return f"{build_folder(stage, build)}/{attempt}"


class Data:
    """One named output, readable.

    Attributes:
        artifact: the artifact it belongs to; `None` while its stage is still running.
        schema: Arrow columns, `None` for a folder of files.
    """

    def __init__(
        self,
        store: Store,
        folder: str,
        data_id: str,
        schema: pa.Schema | None,
        parts: Callable[[], Iterable[File]],
        artifact: Artifact | None,
    ) -> None:
        self._store, self._folder = store, folder
        self.data_id = data_id
        self.schema = schema
        self._list = parts
        self.artifact = artifact

    @functools.cached_property
    def parts(self) -> tuple[File, ...]:
        """Its files in order of path; listed when first asked for.

        Raises:
            DamagedArtifactError: the list of them is not what was published.
        """
        return tuple(sorted(self._list(), key=lambda part: part.path))

    @property
    def rows(self) -> int:
        return sum(part.rows or 0 for part in self.parts)

    @property
    def facts(self) -> Mapping[str, Any]:
        """What the producing stage recorded."""
        return self.artifact.facts if self.artifact else {}

    def path(self, part: File) -> Path:
        """A local file with the bytes of `part`.

        Raises:
            DamagedArtifactError: it is missing or of another size than the manifest says.
        """
        path = f"{self._folder}/{part.path}"
        return local_copy(self._store, path, part.bytes, self.data_id)

    def item(self, part: File, name: str) -> Item:
        """One of its parts, for whoever opens it later, here or elsewhere."""
        path = f"{self._folder}/{part.path}"
        return Item(name, part.bytes, part.sha256, path, stored=True)

    def stored_folder(self) -> StoredFolder:
        """All of them, for whoever opens them later."""
        size = sum(part.bytes for part in self.parts)
        return StoredFolder(self._folder, self.data_id, len(self.parts), size)

    def folder(self) -> Path:
        """A local folder with all files, each with the bytes that were published.

        For what is read as a whole, once: a model trained from damaged weights would look sound.

        Raises:
            DamagedArtifactError: a file is missing, or has another digest.
        """
        for part in self.parts:
            path = self.path(part)
            if sha256_file(path) != part.sha256:
                raise DamagedArtifactError(f"{path}: not the bytes that were published; {_MEND}")
        return self.unchecked_folder()

    def unchecked_folder(self) -> Path:
        """The same without a look at the bytes: for parts that are checked one by one."""
        for part in self.parts:
            self.path(part)
        if self._store.local:
            return self._store.local_path(self._folder)
        return self._store.cache_folder(self.data_id) / self._folder

    def tables(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """One table a part.

        Raises:
            DamagedArtifactError: a part cannot be read.
        """
        for part in self.parts:
            yield self.part_table(part, columns)

    def part_table(self, part: File, columns: Sequence[str] | None = None) -> pa.Table:
        """One of its parts.

        Raises:
            DamagedArtifactError: it cannot be read.
        """
        path = self.path(part)
        try:
            return read_part(path, columns)
        except (pa.ArrowException, OSError) as error:
            raise DamagedArtifactError(f"{path}: {error}; {_MEND}") from error

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows; with the declared columns even when there are none."""
        tables = list(self.tables(columns))
        if tables:
            return pa.concat_tables(tables)
        schema = self.schema if self.schema is not None else pa.schema([])
        if columns:
            schema = pa.schema([schema.field(name) for name in columns])
        return schema.empty_table()


class Artifact:
    """A published attempt: its manifest and its outputs."""

    def __init__(self, store: Store, manifest: Manifest) -> None:
        self.store = store
        self.manifest = manifest

    @property
    def stage(self) -> str:
        return self.manifest.stage

    @property
    def facts(self) -> Mapping[str, Any]:
        return self.manifest.facts

    @property
    def folder(self) -> str:
        """Relative to the store."""
        manifest = self.manifest
        return attempt_folder(manifest.stage, manifest.build_id, manifest.attempt)

    @property
    def manifest_path(self) -> str:
        """Where the manifest lies, as a path or URL for people."""
        return self.store.full(f"{self.folder}/manifest.json")

    def data(self, output: str) -> Data:
        """One of its outputs.

        Raises:
            MissingInputError: it has none of that name.
        """
        record = self.manifest.outputs.get(output)
        if record is None:
            names = ", ".join(sorted(self.manifest.outputs))
            raise MissingInputError(f"{self.stage} has no output {output!r}; it has {names}")
        folder = f"{self.folder}/{output}"
        schema = None
        if record.columns is not None and not record.count:
            schema = self._declared(output)
        files = functools.partial(files_of, self.store, self.folder, record)
        return Data(self.store, folder, record.data_id, schema, files, self)

    def external_items(self, name: str) -> list[ExternalItem]:
        """What it read from outside the store under one name.

        Raises:
            DamagedArtifactError: the list of it is not what was published.
        """
        return items_of(self.store, self.folder, self.manifest.externals[name])

    def _declared(self, output: str) -> pa.Schema | None:
        """Columns of a table without parts, kept beside the manifest."""
        path = f"{self.folder}/schemas/{output}.arrow"
        if not self.store.exists(path):
            return None
        return pa.ipc.read_schema(pa.BufferReader(self.store.read(path)))

    def whole_id(self) -> str:
        """Identity of recipe and outputs together, for stages that read the manifest itself."""
        outputs = {name: record.data_id for name, record in self.manifest.outputs.items()}
        return sha256_json({"build_id": self.manifest.build_id, "outputs": outputs})

    def as_input(self, output: str, whole: bool) -> InputRecord:
        """How a child's manifest refers to it."""
        return InputRecord(
            stage=self.stage,
            output=output,
            data_id=self.whole_id() if whole else self.manifest.outputs[output].data_id,
            build_id=self.manifest.build_id,
            attempt=self.manifest.attempt,
        )


class Inputs(Mapping[str, Data]):
    """What a stage's `run` reads: its inputs by name, and `external` snapshots by name."""

    def __init__(self, data: Mapping[str, Data], external: Mapping[str, Snapshot]) -> None:
        self._data = dict(data)
        self.external = dict(external)

    def __getitem__(self, name: str) -> Data:
        return self._data[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def __len__(self) -> int:
        return len(self._data)
