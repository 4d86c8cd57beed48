"""Arrays that hang on the code and on libraries alone: computed once on a machine.

A table over all of Unicode, or a model that a library unpacks, takes a good part of a second; a
process that looks at ten documents would do little else. The arrays lie in the user's cache folder
under a digest of all they hang on, and are mapped, so that processes share their memory. A file
that is damaged (its check sum says so) is made again.

A file is a line of JSON, `{"crc32", "arrays": [[name, dtype, shape, offset]]}`, then the arrays.
"""

from __future__ import annotations

import hashlib
import json
import math
import mmap
import sys
import unicodedata
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llm.cache_folder import cache_folder, keep

Arrays = Mapping[str, NDArray[Any]]

_ALIGNED = 64  # bytes; as C wants it of any type
_PIECE = 1 << 18  # bytes


def kept_arrays(
    kind: str, sources: Sequence[Path], of: Sequence[str], make: Callable[[], Arrays]
) -> Arrays:
    """Arrays by name, as `make` gives them: read where they were kept, else made and kept.

    They may be written to in neither case.

    Args:
        kind: what they are, a word; without a dash.
        sources: the files of code that make them.
        of: what else decides them, such as the version of a library; Python's, NumPy's and
            Unicode's is seen to.
    """
    folder, name = cache_folder() / "arrays", _digest(sources, of)
    known = _read(folder / f"{kind}-{name}")
    if known is not None:
        return known
    made = make()
    keep(folder, kind, name, _file_of(made))
    return made


def _digest(sources: Sequence[Path], of: Sequence[str]) -> str:
    digest = hashlib.sha256()
    for part in (sys.version, unicodedata.unidata_version, np.__version__, *of):
        digest.update(f"{len(part)} {part}".encode())
    for source in (Path(__file__), *sources):
        digest.update(hashlib.sha256(source.read_bytes()).digest())
    return digest.hexdigest()[:32]


def _file_of(arrays: Arrays) -> bytes:
    listed, content = [], bytearray()
    for name, values in arrays.items():
        listed.append([name, values.dtype.str, values.shape, len(content)])
        content += values.tobytes()
        content += bytes(-len(content) % _ALIGNED)
    head = json.dumps({"crc32": zlib.crc32(content), "arrays": listed}).encode()
    return head + b" " * (-(len(head) + 1) % _ALIGNED) + b"\n" + content


def _read(path: Path) -> Arrays | None:
    try:
        with path.open("rb") as stream:
            head = stream.readline()
            found = 0
            # Not by the map: what nobody asks for is to take no memory.
            while piece := stream.read(_PIECE):
                found = zlib.crc32(piece, found)
            mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        said = json.loads(head)
        if found != said["crc32"]:
            return None
        return {
            name: np.frombuffer(mapped, kind, math.prod(shape), len(head) + offset).reshape(shape)
            for name, kind, shape, offset in said["arrays"]
        }
    except (OSError, ValueError, KeyError, TypeError):
        return None
