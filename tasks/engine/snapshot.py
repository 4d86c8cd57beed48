"""External inputs: what a config names outside the store, pinned down at plan time.

A snapshot lists (name, size, sha256) of each item; names are relative to the
fixed part of the pattern that found them, so that the same files in another
folder are the same input. Digests are remembered by path, size and mtime.
"""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.engine.canonical import data_id
from tasks.engine.errors import ExternalInputError
from tasks.engine.memory import Memory

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Item:
    """One external thing. `path` says where it is now and enters no identity."""

    name: str
    size: int
    sha256: str
    path: str


@dataclass(frozen=True)
class Snapshot:
    """The items read under one input name, sorted by name."""

    items: tuple[Item, ...]

    @property
    def data_id(self) -> str:
        """Identity of names and contents; sizes are carried, digests decide."""
        return data_id((item.name, None, item.sha256) for item in self.items)

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(item.size for item in self.items)


def root() -> Path:
    """The folder relative paths in a recipe start from: `INGOT_ROOT`, else the current one."""
    return Path(os.environ.get("INGOT_ROOT") or Path.cwd())


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes, read in 1 MiB pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _digests(paths: Iterable[Path]) -> dict[Path, tuple[int, str]]:
    """Size and digest of each file; files unchanged since last time are not read again."""
    memory = Memory("digests")
    found = {path: (path.stat().st_size, memory.recall(path, sha256_file)) for path in paths}
    memory.keep()
    return found


def _fixed_part(pattern: Path) -> Path:
    fixed = Path(pattern.anchor)
    for piece in pattern.parts[1:]:
        if glob.has_magic(piece):
            return fixed
        fixed /= piece
    return fixed.parent


def snapshot_files(patterns: Sequence[str], field: str, prefix: str = "") -> Snapshot:
    """Resolve paths, folders and globs to a snapshot.

    Args:
        patterns: paths or globs (`**` included), relative to `root()` or absolute; a folder
            stands for every file below it.
        field: the config field they come from, for messages.
        prefix: put before every name (a source's name).

    Raises:
        ExternalInputError: a pattern matches nothing, or two files come under one name.
    """
    named: dict[str, Path] = {}
    for text in patterns:
        pattern = Path(os.path.normpath(root() / Path(text).expanduser()))
        if pattern.is_dir():
            base, matches = pattern, [p for p in sorted(pattern.rglob("*")) if p.is_file()]
        elif glob.has_magic(str(pattern)):
            base = _fixed_part(pattern)
            below = pattern.relative_to(base).as_posix()
            matches = sorted(p for p in base.glob(below) if p.is_file())
        else:
            base, matches = pattern.parent, [pattern] if pattern.is_file() else []
        if not matches:
            raise ExternalInputError(
                f"{field}: {text!r} matches no file (looked in {base}); "
                "correct the path or remove it from the recipe"
            )
        for path in matches:
            name = prefix + path.relative_to(base).as_posix()
            other = named.setdefault(name, path)
            if other != path and other.resolve() != path.resolve():
                raise ExternalInputError(
                    f"{field}: {other} and {path} both come under the name {name!r}; "
                    "give them sources of their own"
                )
    digests = _digests(named.values())
    return Snapshot(
        tuple(Item(name, *digests[path], str(path)) for name, path in sorted(named.items()))
    )
