"""The user's cache folder: what may be gone at any time, and then is only made again."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

# Of one kind so many are kept, the latest: each version of the code, or of a library, makes one.
_KEPT = 4


def cache_folder() -> Path:
    """`ingot` below `XDG_CACHE_HOME`, else below `~/.cache`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ingot"


def keep(
    folder: Path, kind: str, name: str, content: bytes | memoryview, most: int = _KEPT
) -> None:
    """Put a file `kind-name` into a folder of the cache, whole or not at all; of its kind the
    oldest go. A cache that cannot be written costs time alone.

    Only this user can write to the folder and the file, whatever else may be in reach.

    Args:
        kind: without a dash.
        most: files of the kind that are kept, the latest.
    """
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, path = tempfile.mkstemp(prefix=f"{kind}-", suffix=".part", dir=folder)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(path).replace(folder / f"{kind}-{name}")
        # What a process that was killed left half written is of the kind too, and goes in time.
        files = [(file.stat().st_mtime_ns, file) for file in folder.glob(f"{kind}-*")]
        for _, file in sorted(files)[:-most]:
            file.unlink(missing_ok=True)
