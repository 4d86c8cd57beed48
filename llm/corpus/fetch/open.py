"""Which reader a place is for.

A kind of place is a module here with two functions: one lists what the place has, the other hands
out the bytes of an entry. Which files they end up in, that they are whole, and what is written
down of them is the same for all kinds (`write.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from llm.corpus.fetch.entries import Entry, Place
from llm.corpus.fetch.folder import Known, list_folder, read_file
from llm.errors import ExpectedError

Read = Callable[[Entry], Iterator[bytes]]


class UnknownPlaceError(ExpectedError, ValueError):
    """There is no reader for a kind of place."""


def list_place(place: Place, known: Sequence[Known]) -> Iterator[Entry]:
    """Every entry of a place, in order.

    Args:
        known: of a folder, its files.

    Raises:
        UnknownPlaceError
    """
    if place.kind == "folder":
        return list_folder(known)
    raise _unknown(place)


def reader(place: Place, path: Path) -> Read:
    """What hands out the bytes of an entry, in portions, or raises `NotFetchedError`.

    Args:
        path: of a folder, the file its entries are read from.

    Raises:
        UnknownPlaceError
    """
    if place.kind == "folder":
        return lambda _entry: read_file(path)
    raise _unknown(place)


def _unknown(place: Place) -> UnknownPlaceError:
    return UnknownPlaceError(f"{place.name}: there is no reader for places of kind {place.kind!r}")
