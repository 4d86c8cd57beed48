"""The files of a model's weights: one, or shards that an index names."""

from __future__ import annotations

import json
from pathlib import Path

from llm.model.config_file import ForeignModelError, ModelFolderError

_LFS = b"version https://git-lfs"
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"


def weight_files(folder: Path) -> list[Path]:
    """The files of a folder's weights, the index of shards with them.

    Raises:
        ModelFolderError: there are none, one that the index names is missing, or one is a pointer
            of Git LFS; a `ForeignModelError` where they are a pickle.
    """
    found = _named(folder)
    for path in found:
        with path.open("rb") as stream:
            if stream.read(len(_LFS)) == _LFS:
                raise ModelFolderError(
                    f"{path}: no readable weights: it is a pointer of Git LFS; run git lfs pull"
                )
    return found


def _named(folder: Path) -> list[Path]:
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    index = folder / INDEX
    if index.is_file():
        try:
            names = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
            found = [folder / Path(name).name for name in names]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelFolderError(f"{index}: no readable index of shards: {error!r}") from error
        missing = next((path for path in found if not path.is_file()), None)
        if missing is not None:
            raise ModelFolderError(f"{missing} is missing; {index.name} names it")
        return [index, *found]
    if any(folder.glob("*.bin")):
        raise ForeignModelError(
            f"{folder} holds its weights as a pickle, which is not read; save it again with "
            "transformers 5, which writes safetensors"
        )
    raise ModelFolderError(f"{folder / WEIGHTS} is missing")
