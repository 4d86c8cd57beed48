"""What is there of a file that is being fetched: kept through a kill, never taken for another."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from llm.corpus.fetch.entries import Entry

_CHUNK = 1 << 20


class Partial:
    """The first bytes of an entry, in a file of their own, with a note beside it of what they are.

    Args:
        folder: that outlives the process.
        entry: what is there of another version, or of a place that tells none, is dropped.
    """

    def __init__(self, folder: Path, entry: Entry) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        name = hashlib.sha256(entry.location.encode()).hexdigest()[:32]
        self.path, self._note = folder / name, folder / f"{name}.json"
        state = {"location": entry.location, "version": entry.version, "length": entry.length}
        known = self._note.exists() and self.path.exists() and entry.version is not None
        if not known or json.loads(self._note.read_text()) != state:
            self._note.unlink(missing_ok=True)  # first: bytes without a note are nobody's
            self.path.write_bytes(b"")
            self._note.write_text(json.dumps(state))

    @property
    def size(self) -> int:
        """Bytes that are there."""
        return self.path.stat().st_size

    def open(self, at: int) -> BinaryIO:
        """To write on from a byte on; what is behind it is dropped."""
        stream = self.path.open("r+b")
        stream.truncate(at)
        stream.seek(at)
        return stream

    def take(self) -> Iterator[bytes]:
        """All bytes, in portions; then there are none."""
        with self.path.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                yield chunk
        self._note.unlink()
        self.path.unlink()
