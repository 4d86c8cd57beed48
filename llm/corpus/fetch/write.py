"""Writing one file of a snapshot out of the entries that go into it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from llm.corpus.fetch.entries import Entry, Fetched, NotFetchedError, Read, Refused

_OURS = "sha256"


def write_entries(
    read: Read, entries: Sequence[Entry], target: Path
) -> Iterator[Fetched | Refused]:
    """Write the bytes of entries one behind the other; what became of each, in order.

    Of an entry that could not be had, or is not what the list said of it, no byte stays.

    Args:
        target: written over.

    Raises:
        OSError: the file cannot be written.
    """
    with target.open("wb") as stream:
        for entry in entries:
            start = stream.tell()
            algorithm, _, wanted = (entry.digest or "").partition(":")
            ours = hashlib.sha256()
            theirs = ours if algorithm in ("", _OURS) else hashlib.new(algorithm)
            try:
                for chunk in read(entry):
                    stream.write(chunk)
                    ours.update(chunk)
                    if theirs is not ours:
                        theirs.update(chunk)
                size = stream.tell() - start
                _check(entry, size, not wanted or theirs.hexdigest() == wanted)
            except NotFetchedError as error:
                stream.seek(start)
                stream.truncate()
                yield Refused(entry, error.reason, error.detail)
            else:
                yield Fetched(entry, start, size, f"{_OURS}:{ours.hexdigest()}")


def _check(entry: Entry, size: int, same: bool) -> None:
    if entry.length is not None and size != entry.length:
        raise NotFetchedError("wrong_length", f"{size} bytes came, {entry.length} were listed")
    if not same:
        raise NotFetchedError("changed", "its bytes are not those whose digest was listed")
