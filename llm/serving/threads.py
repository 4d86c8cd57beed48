"""How many threads a step of a served model takes."""

from __future__ import annotations

from collections.abc import Iterable

# Below this a step is made of products so small that threads wait for each other longer than they
# work, and the more so where other programs hold the cores; and the one who writes answers out to
# clients needs a core as well.
_SMALL = 5_000_000


def threads_for(parameters: Iterable[int], most: int) -> int:
    """One where all models are small, else as many as there are.

    Args:
        parameters: of each model.
        most: threads that may be taken.
    """
    return 1 if max(parameters) < _SMALL else most
