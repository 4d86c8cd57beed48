"""Checkpoints of a Hugging Face trainer that survive a kill at any moment.

The trainer writes a folder file by file. A folder counts once `complete.json` is in it, written
last, with the size of every file and the digest of the run; what is cut short, or of another run,
is removed. The one before goes only when the new one counts.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

MARKER = "complete.json"
_PREFIX = "checkpoint-"


def seal(folder: Path, digest: str, threads: tuple[int, float]) -> None:
    """Declare a checkpoint complete, its bytes on the disk, and remove all others beside it.

    Args:
        threads: of the CPU, as found by trial, and steps a second with them; (0, 0.0) = not known.
    """
    sizes = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            os.fsync(file.fileno())
        sizes[path.relative_to(folder).as_posix()] = path.stat().st_size
    waiting = folder / f"{MARKER}.tmp"
    with waiting.open("w", encoding="utf-8") as file:
        json.dump({"digest": digest, "sizes": sizes, "threads": threads}, file)
        file.flush()
        os.fsync(file.fileno())
    waiting.replace(folder / MARKER)
    for other in _folders(folder.parent):
        if other != folder:
            shutil.rmtree(other)


def newest(parent: Path, digest: str) -> Path | None:
    """The newest complete checkpoint of a run; every folder that is not one is removed."""
    found = None
    for folder in _folders(parent):
        if is_complete(folder, digest):
            found = folder
        else:
            shutil.rmtree(folder)
    return found


def threads(folder: Path) -> tuple[int, float]:
    """What a complete checkpoint was sealed with."""
    number, rate = json.loads((folder / MARKER).read_text(encoding="utf-8"))["threads"]
    return int(number), float(rate)


def is_complete(folder: Path, digest: str) -> bool:
    """Whether a checkpoint was sealed under this digest and its files still have their sizes."""
    try:
        record = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    if record["digest"] != digest or "threads" not in record:
        return False
    files = {name: folder / name for name in record["sizes"]}
    return all(
        path.is_file() and path.stat().st_size == record["sizes"][name]
        for name, path in files.items()
    )


def _folders(parent: Path) -> list[Path]:
    """Checkpoint folders, in order of their step."""
    found = [path for path in parent.glob(f"{_PREFIX}*") if path.is_dir()]
    numbered = [path for path in found if path.name.removeprefix(_PREFIX).isdigit()]
    return sorted(numbered, key=lambda path: int(path.name.removeprefix(_PREFIX)))
