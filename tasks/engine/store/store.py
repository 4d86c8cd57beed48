"""The artifact store: a local folder or any fsspec URL, reduced to what the engine needs.

Every write is whole or absent: local files are written beside their target,
synced and renamed; object stores write a key at once. `create` is exclusive,
which leases and manifests are built on; a store that cannot do it is refused.
Paths are relative to the store's root, with forward slashes.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from llm.sha256 import sha256_file
from tasks.engine.errors import ReadOnlyStoreError, StoreError
from tasks.engine.store.remote import RemoteFiles, open_filesystem
from tasks.engine.store.space import space_checked

_FEW = 64  # files of a folder that are asked for one by one


class Store:
    """Files under one root.

    Args:
        url: a path or an fsspec URL (`s3://bucket/prefix`, `memory://name`).

    Raises:
        StoreError: the filesystem is unknown, its library not installed, its URL has credentials,
            or (at the first write) it has no exclusive create.
        ReadOnlyStoreError: at a write.
        StoreFullError: at a write.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.fs, root = open_filesystem(url)
        self.local = "file" in (
            self.fs.protocol if isinstance(self.fs.protocol, tuple) else (self.fs.protocol,)
        )
        self.root = str(Path(root).resolve()) if self.local else root.rstrip("/")
        self._remote = RemoteFiles(self.fs, url)
        # What other processes, whatever folder they are in, open the same store by.
        self.address = self.root if self.local else url
        self.in_memory = "memory" in self.fs.protocol  # of this process, which no other sees
        if self.local:
            try:
                Path(self.root).mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StoreError(f"the home {self.root} cannot be made: {error}") from error
        self._exclusive = self.local  # os.link is exclusive on every POSIX filesystem

    def _probe(self) -> None:
        """Prove that creating twice fails once; not before something is written, for readers."""
        if self._exclusive:
            return
        self._exclusive = True
        probe = f".probe-{uuid.uuid4().hex}"
        self.create(probe, b"1")
        try:
            self.create(probe, b"2")
        except FileExistsError:
            return
        finally:
            self.remove(probe)
        self._exclusive = False
        raise StoreError(
            f"{self.url}: this filesystem overwrites where it was asked to create, so two runs "
            "could publish one artifact; use a local folder, or an object store with "
            "conditional writes"
        )

    def full(self, path: str) -> str:
        """The path as the filesystem knows it."""
        return f"{self.root}/{path}" if path else self.root

    def local_path(self, path: str) -> Path:
        """Where `path` lies on this machine; local stores only."""
        if not self.local:
            raise StoreError(f"{self.url} is not a local folder")
        return Path(self.full(path))

    # -- reading ---------------------------------------------------------------

    def exists(self, path: str) -> bool:
        if self.local:
            return self.local_path(path).exists()
        return self._remote.exists(self.full(path))

    def size(self, path: str) -> int | None:
        """Bytes, or `None` where there is no such file."""
        try:
            if self.local:
                return os.stat(self.full(path)).st_size  # noqa: PTH116 - asked for every part
            return self._remote.size(self.full(path))
        except FileNotFoundError:
            return None

    def sizes(self, folder: str, names: Collection[str]) -> dict[str, int]:
        """Bytes of those files below a folder that are there, by path in it; maybe of others too.

        Of many the folder is listed, once: one question each would take as long as all else.
        """
        if len(names) < _FEW:
            asked = ((name, self.size(f"{folder}/{name}")) for name in names)
            return {name: size for name, size in asked if size is not None}
        return self._sizes(folder)

    def _sizes(self, folder: str) -> dict[str, int]:
        base = self.full(folder)
        if self.local:
            found: dict[str, int] = {}
            _add_sizes(found, base, "")
            return found
        try:
            entries = self.fs.find(base, detail=True)
        except FileNotFoundError:
            return {}
        return {path[len(base) + 1 :]: int(entry["size"]) for path, entry in entries.items()}

    def total_size(self, folder: str) -> int:
        """Bytes of all files below a folder."""
        return sum(self._sizes(folder).values())

    def read(self, path: str) -> bytes:
        if self.local:
            with open(self.full(path), "rb") as stream:  # noqa: PTH123 - asked for every receipt
                return stream.read()
        return self._remote.read(self.full(path))

    def read_json(self, path: str) -> Any:
        """The parsed JSON at `path`, or `None` where there is no such file."""
        try:
            return json.loads(self.read(path))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise StoreError(f"{self.full(path)} is not JSON ({error}); remove it") from error

    def files(self, prefix: str) -> list[str]:
        """Every file below `prefix`, relative to the root, sorted."""
        if self.local:
            base = self.local_path(prefix)
            return sorted(
                Path(folder, name).relative_to(self.root).as_posix()
                for folder, _, names in os.walk(base)
                for name in names
            )
        try:
            found = self._remote.find(self.full(prefix))
        except FileNotFoundError:
            return []
        return sorted(str(path)[len(self.root) + 1 :] for path in found)

    def names(self, prefix: str) -> list[str]:
        """The names directly below `prefix`, sorted."""
        try:
            if self.local:
                return sorted(os.listdir(self.full(prefix)))  # noqa: PTH208 - names are wanted
            found = self._remote.listed(self.full(prefix))
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted({str(path).rstrip("/").rsplit("/", 1)[-1] for path in found})

    def digest(self, path: str) -> str:
        """SHA-256 of what the store itself holds, past any download."""
        if self.local:
            return sha256_file(self.full(path))
        return self._remote.digest(self.full(path))

    def fetch(self, path: str, identity: str) -> Path:
        """A local file with the content of `path`; remote files are downloaded once.

        Args:
            identity: of the content; paths are used again once `gc` has removed an attempt.
        """
        if self.local:
            return self.local_path(path)
        cached = self.cache_folder(identity) / path
        if not cached.exists() or cached.stat().st_size != self.size(path):
            cached.parent.mkdir(parents=True, exist_ok=True)
            part = cached.with_name(f"{cached.name}.{uuid.uuid4().hex}")
            with space_checked(part, self.size(path)):
                self._remote.download(self.full(path), part)
            part.replace(cached)
        return cached

    def cache_folder(self, identity: str) -> Path:
        """Where, on this machine, downloads of one content from this store are kept."""
        name = hashlib.sha256(self.url.encode()).hexdigest()[:16]
        base = os.environ.get("INGOT_CACHE") or Path(tempfile.gettempdir()) / "ingot-cache"
        return Path(base) / name / identity[:16]

    # -- writing ---------------------------------------------------------------

    def create(self, path: str, data: bytes) -> None:
        """Write a new file.

        Raises:
            FileExistsError: it exists already; nothing was changed.
            StoreError: this filesystem cannot tell that.
        """
        self._probe()
        with self._writing(path, len(data)):
            if not self.local:
                self._remote.create(self.full(path), data)
                return
            target = self.local_path(path)
            part = self._write_aside(target, data)
            try:
                os.link(part, target)
            finally:
                part.unlink()

    def replace(self, path: str, data: bytes) -> None:
        """Write a file, over whatever is there."""
        with self._writing(path, len(data)):
            if not self.local:
                self._remote.replace(self.full(path), data)
                return
            target = self.local_path(path)
            self._write_aside(target, data).replace(target)

    def _write_aside(self, target: Path, data: bytes) -> Path:
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
        try:
            with part.open("wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        return part

    def put(self, path: str, source: Path) -> None:
        """Move a finished local file into the store."""
        with self._writing(path, source.stat().st_size):
            if not self.local:
                self._remote.upload(source, self.full(path))
                source.unlink()
                return
            target = self.local_path(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(source, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            source.replace(target)

    def move(self, path: str, target: str) -> None:
        """Give a finished file of the store its final name."""
        if self.local:
            self.put(target, self.local_path(path))
            return
        with self._writing(target):
            self._remote.move(self.full(path), self.full(target))

    def add(self, path: str, source: Path) -> None:
        """Put a copy of a local file into the store, where it has none yet."""
        if self.size(path) is not None:
            return
        with self._writing(path, source.stat().st_size):
            if not self.local:
                self._remote.upload(source, self.full(path))
                return
            target = self.local_path(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            part = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
            shutil.copyfile(source, part)
            part.replace(target)

    def copy(self, path: str, target: str) -> None:
        """Give a published file a second name: a hard link where there is one, else a copy."""
        source, new = self.full(path), self.full(target)
        if not self.local:
            with self._writing(target):
                self._remote.copy(source, new)
        elif not _link(source, new):
            # The first of its folder, or no links here: the others are linked without a question.
            with self._writing(target, self.size(path)):
                Path(new).parent.mkdir(parents=True, exist_ok=True)
                if not _link(source, new):
                    shutil.copy2(source, new)

    def remove(self, path: str) -> None:
        """Remove a file or a folder and all below it; absent is fine."""
        with contextlib.suppress(FileNotFoundError), self._writing(path):
            if self.local:
                self.fs.rm(self.full(path), recursive=True)
            else:
                self._remote.remove(self.full(path))

    @contextlib.contextmanager
    def _writing(self, path: str, needed: int | None = None) -> Iterator[None]:
        """Say what stands against a write, where that is the store's condition and no fault.

        Raises:
            ReadOnlyStoreError, StoreFullError
        """
        try:
            with space_checked(self.full(path), needed) if self.local else contextlib.nullcontext():
                yield
        except OSError as error:
            if not (isinstance(error, PermissionError) or error.errno == errno.EROFS):
                raise
            raise ReadOnlyStoreError(
                f"the home {self.url} is read-only: {self.full(path)} cannot be written "
                f"({error.strerror or error}). Give this user write access, or choose "
                "another home (INGOT_HOME)"
            ) from error


def _add_sizes(found: dict[str, int], place: str, prefix: str) -> None:
    """Bytes of every file below a local folder, by path; none where there is no such folder."""
    try:
        entries = os.scandir(place)
    except (FileNotFoundError, NotADirectoryError):
        return
    with entries:
        for entry in entries:
            if entry.is_dir():
                _add_sizes(found, entry.path, f"{prefix}{entry.name}/")
                continue
            try:  # noqa: SIM105 - of many
                found[prefix + entry.name] = entry.stat().st_size
            except FileNotFoundError:
                pass  # a link to nothing, or gone since


def _link(source: str, new: str) -> bool:
    """Give a local file a second name; whether there is a file of that name now."""
    try:
        os.link(source, new)
    except FileExistsError:
        return True
    except OSError:
        return False
    return True
