"""How often each document is seen: the weights of the sources in the training data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from llm.errors import ExpectedError
from llm.tokens.draw import draws


class UnknownSourceError(ExpectedError, ValueError):
    """A weight names a source no document comes from."""


def check_sources(weighted: Sequence[str], present: Sequence[str]) -> None:
    """Make sure every weight applies to something.

    Raises:
        UnknownSourceError: names the source and those there are.
    """
    for source in weighted:
        if source not in present:
            raise UnknownSourceError(
                f"no document comes from source {source!r}; the sources are {', '.join(present)}"
            )


def repeats(
    doc_ids: Sequence[str], sources: Sequence[str], epochs: Mapping[str, float], seed: int
) -> NDArray[np.int64]:
    """int64 (documents,): times each document is used.

    Of a source with 2.3 epochs every document is used twice, and those whose hash falls into the
    first 30 % once more. Sources without an entry are used once.
    """
    epochs_of = np.array([epochs.get(source, 1.0) for source in sources], dtype=np.float64)
    whole = np.floor(epochs_of)
    part = epochs_of - whole
    drawn = draws(seed, "mixture", doc_ids).astype(np.float64) / math.ldexp(1.0, 64)
    return (whole + (drawn < part)).astype(np.int64)
