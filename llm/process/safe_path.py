"""Where a Python process that Ingot starts looks for modules: Ingot's own folder first, never
the working folder.

People keep folders named `tasks` or `flows` beside their own code. `python -m`, `python -c` and
every process such a process starts in turn (a worker's flow runs, the ranks of torchrun, a
compiler's helpers) would put the working folder first and import those in Ingot's place.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


def safe_path(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that see to it, for the environment of a child; inherited by its children.

    Args:
        environment: the child's so far; entries of its `PYTHONPATH` are kept, after ours.
    """
    entries = environment.get("PYTHONPATH", "").split(os.pathsep)
    others = [entry for entry in entries if entry and entry != str(CHECKOUT)]
    return {
        "PYTHONSAFEPATH": "1",
        "PYTHONPATH": os.pathsep.join([str(CHECKOUT), *others]),
    }
