"""What the starting model gives to answers, computed once a run and kept beside its checkpoints."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llm.alignment.trainer import Session

Arrays = Mapping[str, NDArray[Any]]


def kept(session: Session, compute: Callable[[], Arrays]) -> dict[str, NDArray[Any]]:
    """What `compute` gives, by name; a run that goes on takes what it was begun with."""
    path = Path(session.run.scratch) / f"reference-{session.digest[:16]}.npz"
    if path.is_file():
        with np.load(path, allow_pickle=False) as found:
            return {name: found[name] for name in found.files}
    computed = dict(compute())
    path.parent.mkdir(parents=True, exist_ok=True)
    waiting = path.with_suffix(".tmp")
    with waiting.open("wb") as file:
        np.savez(file, allow_pickle=False, **computed)
        file.flush()
        os.fsync(file.fileno())
    waiting.replace(path)
    return computed
