"""What a look at files on the disk says of them, without a byte read; and what is known by it.

A plan over a corpus of 100,000 files looks at each of them, once, as `scandir` has it. If all are
as they were when their digests were last computed, the identity of the whole is what it was: it
lies in the user's cache folder under a mark of that look, and no list of digests is read.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from stat import S_ISREG
from typing import NamedTuple

from llm.cache_folder import cache_folder

_NO_FILE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
_KEPT = 1_000  # identities; a line each, the latest last


class SeenFile(NamedTuple):
    """A file under the name a snapshot has it by.

    Attributes:
        size: bytes.
        stamp: what changes whenever the file does, see `memory.py`.
    """

    name: str
    path: str
    size: int
    stamp: str


def files_below(place: str) -> list[tuple[str, int, str]]:
    """(path, size, stamp) of every file in a folder and those in it, in no order; links to files
    are followed, links to folders are not.

    Raises:
        OSError: a folder cannot be listed.
    """
    # Of names alone a stamp would not tell one folder from another.
    return _below(place, os.path.realpath(place))


def _below(place: str, real: str) -> list[tuple[str, int, str]]:
    found: list[tuple[str, int, str]] = []
    inner: list[os.DirEntry[str]] = []
    with os.scandir(place) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                inner.append(entry)
            elif entry.is_symlink():
                found += files_of([entry.path])
            else:
                stat = entry.stat(follow_symlinks=False)
                if S_ISREG(stat.st_mode):  # and no pipe or socket
                    found.append((entry.path, stat.st_size, _stamp(real, stat)))
    for entry in inner:
        found += _below(entry.path, f"{real}/{entry.name}")
    return found


def files_of(paths: Iterable[str]) -> list[tuple[str, int, str]]:
    """(path, size, stamp) of those paths that are files, links followed."""
    found = []
    for path in paths:
        try:
            stat = os.stat(path)  # noqa: PTH116 - of many
        except OSError as error:
            if error.errno not in _NO_FILE:
                raise
            continue
        if S_ISREG(stat.st_mode):
            found.append((path, stat.st_size, _stamp(os.path.realpath(path), stat)))
    return found


def _stamp(real: str, stat: os.stat_result) -> str:
    return f"{real}|{stat.st_mtime_ns}|{stat.st_ctime_ns}|{stat.st_ino}"


def mark(files: Sequence[SeenFile], given: Sequence[str]) -> str:
    """One digest of all that was seen, and of what else is in a snapshot."""
    lines = [f"{name}\0{size}|{stamp}" for name, _, size, stamp in files]
    text = "\n".join([*lines, "", *given])
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def recall(marked: str, compute: Callable[[], str]) -> str:
    """The identity of what was seen: remembered, else computed."""
    known = _known()
    if marked not in known:
        known[marked] = compute()
        _keep(known)
    return known[marked]


def _file() -> Path:
    return cache_folder() / "snapshots.jsonl"


def _known() -> dict[str, str]:
    known: dict[str, str] = {}
    with contextlib.suppress(OSError):
        for line in _file().read_text(encoding="utf-8").splitlines():
            # Another program's line costs one computation, nothing else.
            with contextlib.suppress(ValueError, TypeError):
                marked, identity = json.loads(line)
                known[marked] = identity
    return known


def _keep(known: dict[str, str]) -> None:
    """Write the latest down; a cache folder that cannot be written costs time alone."""
    with contextlib.suppress(OSError):
        file = _file()
        file.parent.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps(pair) + "\n" for pair in list(known.items())[-_KEPT:]]
        whole = file.with_name(f"{file.name}.{os.getpid()}")
        whole.write_text("".join(lines), encoding="utf-8")
        whole.replace(file)
