"""Local folders for unfinished files of a store elsewhere: gone with the process, or soon after.

A process that is killed cannot clean up behind itself. So each folder is locked for as long as its
process works in it, and whoever needs one next removes those that nobody locks.
"""

from __future__ import annotations

import fcntl
import shutil
import uuid
from pathlib import Path


class Staging:
    """A new folder below `parent`, this process's own until `close`.

    Attributes:
        folder: where to write.
    """

    def __init__(self, parent: Path) -> None:
        parent.mkdir(parents=True, exist_ok=True)
        for lock in parent.glob("*.lock"):
            _sweep(lock)
        self.folder = parent / uuid.uuid4().hex
        self._lock = self.folder.with_suffix(".lock")
        # Locked before it has the name that others look for.
        unnamed = self._lock.with_suffix(".new")
        self._stream = unnamed.open("w")
        fcntl.flock(self._stream, fcntl.LOCK_EX)
        unnamed.rename(self._lock)
        self.folder.mkdir()

    def close(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.unlink(missing_ok=True)
        self._stream.close()


def _sweep(lock: Path) -> None:
    """Remove a folder whose process is gone."""
    try:
        with lock.open("r+") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
            lock.unlink(missing_ok=True)
    except (BlockingIOError, FileNotFoundError, PermissionError):
        return  # in use, swept by another meanwhile, or another user's
