"""A model folder as something to hand on: the same files."""

from __future__ import annotations

import shutil
from pathlib import Path


def copy_folder(model: Path, target: Path) -> list[str]:
    """Copy every file of a model folder, whose format is the exported one; returns their names."""
    target.mkdir(parents=True, exist_ok=True)
    names = sorted(path.name for path in model.iterdir() if path.is_file())
    for name in names:
        shutil.copyfile(model / name, target / name)
    return names
