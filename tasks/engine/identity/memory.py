"""What was once computed from a file's bytes, remembered until the file changes.

A file is taken to be unchanged while its path, inode, size and times are: of modification, which a
program may set back, and of change, which none can. The memory lies in the user's cache folder,
lines of JSON; without it everything is computed again, no more.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from stat import S_ISLNK
from typing import Any

from llm.cache_folder import cache_folder

# Lines of files that changed since are dropped once they are the greater part.
_SPARE_LINES = 1000

# What this process has read of each file in the cache folder, to which inode and byte, and how many
# lines: one command asks a dozen times, and in between it and others write behind that.
_READ: dict[Path, tuple[tuple[int, int], dict[str, tuple[str, Any]], int]] = {}


class Memory:
    """Values by file, of one kind.

    Args:
        name: of the kind, and of its file in the cache folder.
    """

    def __init__(self, name: str) -> None:
        self._file = cache_folder() / f"{name}.jsonl"
        self._known: dict[str, tuple[str, Any]] = {}
        self._lines = 0
        self._fresh: list[str] = []
        self._folders: dict[str, str] = {}  # where each leads in the end
        with contextlib.suppress(OSError):
            self._read()

    def _read(self) -> None:
        with self._file.open("rb") as stream:
            stat = os.fstat(stream.fileno())
            (inode, end), known, lines = _READ.get(self._file, ((0, 0), {}, 0))
            if inode != stat.st_ino or end > stat.st_size:  # written anew
                end, known, lines = 0, {}, 0
            stream.seek(end)
            whole, _, _ = stream.read().rpartition(b"\n")  # the last one may still be written
        found = whole.decode("utf-8", "replace").split("\n") if whole else []
        self._known, self._lines = known, lines + len(found)
        for entry in _entries(found):
            # Another program's line costs one computation, nothing else.
            with contextlib.suppress(ValueError, TypeError):
                path, mark, value = entry
                self._known[path] = (mark, value)
        end += len(whole) + 1 if whole else 0
        _READ[self._file] = ((stat.st_ino, end), self._known, self._lines)

    def recall(self, path: Path, compute: Callable[[Path], Any]) -> Any:
        """The value for a file: remembered, else computed. It must have a JSON form."""
        return self.sized(str(path), compute)[1]

    def sized(self, path: str, compute: Callable[[Path], Any]) -> tuple[int, Any]:
        """Bytes of a file, and the value for it as by `recall`: what a plan asks of 100,000."""
        name, stat = self._found(path)
        stamp = _stamp(stat)
        known = self._known.get(name)
        if known is not None and known[0] == stamp:
            return stat.st_size, known[1]
        value = compute(Path(path))
        self._known[name] = (stamp, value)
        self._fresh.append(_line(name, stamp, value))
        return stat.st_size, value

    def _found(self, path: str) -> tuple[str, os.stat_result]:
        """A file's path without links, and its state; of a folder the links are followed once."""
        folder, name = os.path.split(path)
        if folder not in self._folders:
            self._folders[folder] = os.path.realpath(folder)
        whole = f"{self._folders[folder].rstrip('/')}/{name}"
        stat = os.lstat(whole)
        if S_ISLNK(stat.st_mode):
            whole = os.path.realpath(whole)
            stat = os.stat(whole)  # noqa: PTH116
        return whole, stat

    def keep(self) -> None:
        """Write down what is new; a cache folder that cannot be written costs time alone."""
        if not self._fresh:
            return
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            if self._lines > 2 * len(self._known) + _SPARE_LINES:
                self._rewrite()
            else:
                with self._file.open("a", encoding="utf-8") as stream:
                    stream.write("".join(self._fresh))
        self._fresh.clear()

    def _rewrite(self) -> None:
        whole = self._file.with_name(f"{self._file.name}.{os.getpid()}")
        lines = [_line(name, *entry) for name, entry in self._known.items()]
        whole.write_text("".join(lines), encoding="utf-8")
        whole.replace(self._file)


def _entries(lines: list[str]) -> list[Any]:
    """What lines of JSON hold; one that a crash cut off is left out."""
    try:
        whole: list[Any] = json.loads(f"[{','.join(lines)}]")  # at once: they may be 100,000
    except ValueError:
        whole = []
        for line in lines:
            with contextlib.suppress(ValueError):
                whole.append(json.loads(line))
    return whole


def _stamp(stat: os.stat_result) -> str:
    return f"{stat.st_size}|{stat.st_mtime_ns}|{stat.st_ctime_ns}|{stat.st_ino}"


def _line(name: str, stamp: str, value: Any) -> str:
    return json.dumps([name, stamp, value]) + "\n"
