"""The digest of a file."""

from __future__ import annotations

import hashlib
import os

# `file_digest` makes a buffer of 256 KB first, which for a small file costs more than its bytes.
_SMALL = 1 << 16


def sha256_file(path: str | os.PathLike[str]) -> str:
    """Hex SHA-256 of a file's bytes, read piece by piece.

    Raises:
        OSError: it cannot be read.
    """
    with open(path, "rb") as stream:  # noqa: PTH123 - a path made for each of many small files
        begin = stream.read(_SMALL)
        digest = hashlib.sha256(begin)
        if len(begin) == _SMALL:
            hashlib.file_digest(stream, lambda: digest)
        return digest.hexdigest()
