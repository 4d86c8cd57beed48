"""A place that is a folder of files, here or mounted from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from llm.corpus.fetch.entries import Entry, NotFetchedError

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Known:
    """A file that was found when the run was planned; `name` is relative to the folder."""

    name: str
    size: int
    sha256: str


def list_folder(files: Iterable[Known]) -> Iterator[Entry]:
    """An entry a file."""
    for file in files:
        yield Entry(file.name, file.name, None, file.size, f"sha256:{file.sha256}")


def read_file(path: Path) -> Iterator[bytes]:
    """The bytes of a file, in portions.

    Raises:
        NotFetchedError: it is gone ("missing"), may not be read ("forbidden"), or cannot be
            ("unreadable").
    """
    try:
        with path.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                yield chunk
    except FileNotFoundError as error:
        raise NotFetchedError("missing", "it is gone since the run was planned") from error
    except PermissionError as error:
        raise NotFetchedError("forbidden", str(error.strerror)) from error
    except OSError as error:
        raise NotFetchedError("unreadable", str(error.strerror or error)) from error
