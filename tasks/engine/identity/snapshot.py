"""External inputs: what a config names outside the store, pinned down at plan time.

A snapshot lists (name, size, sha256) of each item; names are relative to the
fixed part of the pattern that found them, so that the same files in another
folder are the same input. Digests are remembered (`memory.py`), and so is what all
of a snapshot come to (`seen.py`): a plan looks at every file, and reads no list of them.
"""

from __future__ import annotations

import functools
import glob
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from llm.sha256 import sha256_file
from tasks.engine.errors import ExternalInputError
from tasks.engine.identity import seen
from tasks.engine.identity.canonical import data_id
from tasks.engine.identity.memory import Memory
from tasks.engine.identity.seen import SeenFile, files_below, files_of


@dataclass(frozen=True)
class Item:
    """One external thing, or one file of the store. `path` says where it is now and enters no
    identity.

    Attributes:
        stored: the path is relative to the store, and not one of this machine.
    """

    name: str
    size: int
    sha256: str
    path: str
    stored: bool = False


class Snapshot:
    """The items read under one input name.

    Args:
        items: in any order.
        files: found on the disk; their digests are not asked for before something needs them.
    """

    def __init__(self, items: Iterable[Item] = (), files: Sequence[SeenFile] = ()) -> None:
        self._given, self._files = tuple(items), tuple(files)

    @classmethod
    def joined(cls, parts: Iterable[Snapshot]) -> Snapshot:
        """All items of several."""
        every = list(parts)
        if len(every) == 1:
            return every[0]
        return cls(
            [item for part in every for item in part._given],
            [file for part in every for file in part._files],
        )

    @property
    def names(self) -> list[str]:
        """Of all items, sorted."""
        return sorted([*(i.name for i in self._given), *(file.name for file in self._files)])

    @functools.cached_property
    def items(self) -> tuple[Item, ...]:
        """Sorted by name.

        Raises:
            OSError: a file cannot be read.
        """
        digests = _digests(file.path for file in self._files)
        found = [Item(file.name, *digests[file.path], file.path) for file in self._files]
        return tuple(sorted([*self._given, *found], key=lambda item: item.name))

    @functools.cached_property
    def data_id(self) -> str:
        """Identity of names and contents; sizes are carried, digests decide.

        Raises:
            OSError: a file cannot be read.
        """
        if not self._files:
            return data_id(_identities(self._given))
        given = [f"{item.name}|{item.sha256}" for item in self._given]
        return seen.recall(seen.mark(self._files, given), lambda: data_id(_identities(self.items)))

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(item.size for item in self._given) + sum(file.size for file in self._files)


def _identities(items: Iterable[Item]) -> Iterator[tuple[str, None, str]]:
    return ((item.name, None, item.sha256) for item in items)


def root() -> Path:
    """The folder relative paths in a recipe start from: `INGOT_ROOT`, else the current one."""
    configured = os.environ.get("INGOT_ROOT")
    return Path(os.path.expanduser(configured)) if configured else Path.cwd()  # noqa: PTH111 - no error


def _digests(paths: Iterable[str]) -> dict[str, tuple[int, str]]:
    """Size and digest of each file; files unchanged since last time are not read again."""
    memory = Memory("digests")
    found = {path: memory.sized(path, sha256_file) for path in paths}
    memory.keep()
    return found


def _fixed_part(pattern: Path) -> Path:
    fixed = Path(pattern.anchor)
    for piece in pattern.parts[1:]:
        if glob.has_magic(piece):
            return fixed
        fixed /= piece
    return fixed.parent


def _printable(name: str) -> str:
    """A file's name, with bytes that are no UTF-8 as \\xNN: identities, Parquet and JSON hold text
    alone."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _matches(text: str) -> tuple[str, list[tuple[str, int, str]]]:
    """The files a path, folder or glob stands for, as they were seen, and the folder their names
    start from.

    Their names are what follows that folder.
    """
    if not text.strip():
        raise ValueError("it is empty, and would stand for the whole folder")
    pattern = Path(os.path.normpath(root() / Path(text).expanduser()))
    if pattern.is_dir():
        return str(pattern), files_below(str(pattern))
    if glob.has_magic(str(pattern)):
        base = _fixed_part(pattern)
        below = pattern.relative_to(base).as_posix()
        return str(base), files_of(map(str, base.glob(below)))
    return str(pattern.parent), files_of([str(pattern)])


def _shorten(text: str) -> str:
    return repr(text) if len(text) <= 200 else f"{text[:200]!r}..."


def snapshot_files(patterns: Sequence[str], field: str, prefix: str = "") -> Snapshot:
    """Resolve paths, folders and globs to a snapshot.

    Args:
        patterns: paths or globs (`**` included), relative to `root()` or absolute; a folder
            stands for every file below it.
        field: the config field they come from, for messages.
        prefix: put before every name (a source's name).

    Raises:
        ExternalInputError: a pattern is none or matches nothing, a file cannot be read, or two
            files come under one name.
    """
    named: dict[str, SeenFile] = {}
    for text in patterns:
        try:
            base, matches = _matches(text)
        except (OSError, ValueError, RuntimeError) as error:
            # A name too long, `a**b`, `~nobody`: what the file system or the glob makes of it.
            raise ExternalInputError(
                f"{field}: {_shorten(text)} cannot be looked for: {error}; correct the path"
            ) from error
        if not matches:
            where, way_out = f" (looked in {base})", "correct the path or remove it from the recipe"
            if "://" in text:
                where, way_out = ", being an address", "name it under fetch.files"
            raise ExternalInputError(f"{field}: {_shorten(text)} matches no file{where}; {way_out}")
        start = len(base.rstrip("/")) + 1
        for path, size, stamp in matches:
            name = path[start:]
            name = prefix + (name if name.isascii() else _printable(name))
            file = SeenFile(name, path, size, stamp)
            other = named.setdefault(name, file)
            if other.path != path and os.path.realpath(other.path) != os.path.realpath(path):
                raise ExternalInputError(
                    f"{field}: {other.path} and {path} both come under the name {name!r}; "
                    "list them apart, under names of their own"
                )
    _require_apart(named, field)
    snapshot = Snapshot(files=[named[name] for name in sorted(named)])
    try:
        snapshot.data_id  # noqa: B018 - told now, and not hours into a run
    except OSError as error:
        raise ExternalInputError(
            f"{field}: {error.filename or 'a file'} cannot be read: {error.strerror}; make it "
            "readable or leave it out"
        ) from error
    return snapshot


def _require_apart(named: Mapping[str, SeenFile], field: str) -> None:
    """Raises:
    ExternalInputError: a file has the name of a folder that another comes to lie in.
    """
    looked_at: set[str] = set()
    for name in named:
        folder = name.rpartition("/")[0]
        while folder and folder not in looked_at:
            if folder in named:
                raise ExternalInputError(
                    f"{field}: {named[folder].path} is a file, and {named[name].path} comes to lie "
                    f"in a folder of its name, {folder!r}; list them apart, under other names"
                )
            looked_at.add(folder)
            folder = folder.rpartition("/")[0]
