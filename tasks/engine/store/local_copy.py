"""Files of a store as local files, whole: as they lie there, or downloaded once."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

from tasks.engine.errors import DamagedArtifactError
from tasks.engine.store.store import Store


@dataclass(frozen=True)
class StoredFolder:
    """All files of one output.

    Attributes:
        path: relative to the store.
        data_id: of their content.
        files, bytes: how many, and of what size together.
    """

    path: str
    data_id: str
    files: int
    bytes: int


def local_copy(store: Store, path: str, size: int, identity: str) -> Path:
    """A local file with the bytes of one in the store.

    Args:
        identity: of its content, see `Store.fetch`.

    Raises:
        DamagedArtifactError: it is missing or of another size.
    """
    if store.size(path) != size:
        raise DamagedArtifactError(
            f"{store.full(path)} is missing or cut short; `ingot run` rebuilds what "
            "the recipe last built, `ingot promote` then points other channels at it"
        )
    return store.fetch(path, identity)


@functools.lru_cache(maxsize=256)
def local_folder(store: Store, folder: StoredFolder) -> Path:
    """A local folder with the files of one in the store; each process looks at it once.

    Raises:
        DamagedArtifactError: files are missing, or of another size.
    """
    if store.local:
        return store.local_path(folder.path)  # whoever planned has looked at it
    found = [store.fetch(path, folder.data_id) for path in store.files(folder.path)]
    size = sum(path.stat().st_size for path in found)
    if (len(found), size) != (folder.files, folder.bytes):
        raise DamagedArtifactError(
            f"{store.full(folder.path)}: {len(found)} files of {size} bytes, where {folder.files} "
            f"of {folder.bytes} were published; `ingot run` rebuilds them"
        )
    return store.cache_folder(folder.data_id) / folder.path
