"""No space left: recognised wherever it comes from, and told with what is full and by how much."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from tasks.engine.errors import StoreFullError
from tasks.panels.numbers import size

_FULL = (errno.ENOSPC, errno.EDQUOT)
_WORDS = ("No space left", "Disk quota exceeded")


def means_full(text: str) -> bool:
    """Whether an error's text, from a library or another process, tells of a full disk."""
    return any(words in text for words in _WORDS)


def is_full(error: BaseException) -> bool:
    """Whether an error, or one that caused it, tells of a full disk."""
    seen: BaseException | None = error
    while seen is not None:
        if (isinstance(seen, OSError) and seen.errno in _FULL) or means_full(str(seen)):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def room_left(path: Path) -> int:
    """Bytes free, for who is not root, on the filesystem that `path` is on or would be."""
    return shutil.disk_usage(_existing(path)).free


def _existing(path: Path) -> Path:
    path = path.absolute()
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def _mount(path: Path) -> Path:
    path = _existing(path).resolve()
    device = path.stat().st_dev
    while path != path.parent and path.parent.stat().st_dev == device:
        path = path.parent
    return path


def full(path: Path, needed: int | None = None) -> str:
    """The message for a disk that has no room for `path`: what is full, needed and free.

    Args:
        needed: bytes that were to be written, where that is known.
    """
    usage, mount = shutil.disk_usage(_existing(path)), _mount(path)
    wanted = "" if needed is None else f"{size(needed)} needed, "
    return (
        f"no space left on {mount} ({wanted}{size(usage.free)} free of {size(usage.total)}) for "
        f"{path}; nothing was published, finished shards and checkpoints are kept"
    )


@contextlib.contextmanager
def space_checked(path: str | os.PathLike[str], needed: int | None = None) -> Iterator[None]:
    """Turn "no space left" while writing `path` into an error that says what is full.

    Raises:
        StoreFullError: the disk is full, or a quota is used up.
    """
    try:
        yield
    except StoreFullError:
        raise
    except Exception as error:
        if not is_full(error):
            raise
        raise StoreFullError(full(Path(path), needed)) from error
