"""A folder opened as an object store is: by its URL, from any process, by keys alone."""

from __future__ import annotations

from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

PROTOCOL = "bucket"


class Bucket(LocalFileSystem):
    """`bucket:///some/folder`; the engine sees no local folder in it."""

    protocol = PROTOCOL

    def __init__(self, **options: Any) -> None:
        super().__init__(auto_mkdir=True, **options)

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        stripped: str = super()._strip_protocol(str(path).removeprefix(f"{PROTOCOL}://"))
        return stripped


fsspec.register_implementation(PROTOCOL, Bucket, clobber=True)
