"""Files of a store elsewhere: the few things fsspec is asked for, each tried until it is settled.

An object store answers "busy" when it is asked too much, cuts answers short, and loses some. What
only reads, or writes a key whole, is simply done again. Creating is not: where the answer was lost,
a second try finds the object there, and whether it is this writer's stands in its metadata.
Nothing is renamed: there is no such thing in an object store.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import random
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

from tasks.engine.errors import StoreError

T = TypeVar("T")

_TRIES = 4
_FIRST_WAIT = 0.5  # seconds, doubled from try to try, each drawn between half of it and all
# Below that, botocore tries by itself: after 500, 502, 503, 504, throttling, lost connections.
_BOTOCORE_TRIES = 5
_S3FS_TRIES = 3
_WRITER = "writer"  # in the metadata of an object: who created it
_PASSES = {
    errno.EBUSY, errno.EIO, errno.EAGAIN, errno.ETIMEDOUT, errno.ECONNRESET, errno.ECONNREFUSED,
    errno.ECONNABORTED, errno.EPIPE,
}  # fmt: skip
_SETTLED = (FileNotFoundError, FileExistsError, PermissionError)
_CLIENTS = {"aiohttp", "aiobotocore", "botocore", "urllib3"}
_NO_CREDENTIALS = {"NoCredentialsError", "PartialCredentialsError", "TokenRetrievalError"}


def open_filesystem(url: str) -> tuple[Any, str]:
    """The filesystem of a URL, and the path in it.

    Raises:
        StoreError: it is unknown, its library is not installed, or the URL has credentials in it.
    """
    # Not before: every worker imports stages, and none opens a store.
    import fsspec

    protocol, host = urlsplit(url).scheme, urlsplit(url).netloc
    port = host.partition(":")[2]
    # The secret keys of S3 may have slashes in them: then what is a password ends no host.
    if "@" in host or (port and not port.isdigit()):
        raise StoreError(
            f"the home {protocol}://... has credentials in it, which manifests and logs would "
            "show: give them by the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, or "
            "AWS_PROFILE)"
        )
    options = {}
    if protocol in ("s3", "s3a"):
        tries = {"mode": "standard", "total_max_attempts": _BOTOCORE_TRIES}
        options = {"config_kwargs": {"retries": tries, "connect_timeout": 10, "read_timeout": 60}}
    try:
        # A cached listing would hide what other machines do: takeovers, attempts, receipts.
        fs, root = fsspec.url_to_fs(url, use_listings_cache=False, **options)
    except (ImportError, ValueError) as error:
        raise StoreError(
            f"the home {url!r} cannot be opened: {error}. Take a folder, or install what "
            "its protocol needs (for s3://: pip install -e '.[s3]')"
        ) from error
    if options:
        fs.retries = _S3FS_TRIES
    return fs, root


def passes(error: Exception) -> bool:
    """Whether the same request may well succeed a moment later."""
    if isinstance(error, _SETTLED):
        return False
    if isinstance(error, TimeoutError):
        return True
    if isinstance(error, OSError):
        return error.errno in _PASSES or isinstance(error, ConnectionError)
    kind = type(error)
    return kind.__module__.partition(".")[0] in _CLIENTS and kind.__name__ not in _NO_CREDENTIALS


class RemoteFiles:
    """Paths are those of the filesystem.

    Args:
        url: of the store, for messages.

    Raises:
        StoreError: by all methods: it does not answer, or nobody said who asks.
    """

    def __init__(self, fs: Any, url: str) -> None:
        self._fs, self._url = fs, url
        protocols = fs.protocol if isinstance(fs.protocol, tuple) else (fs.protocol,)
        self._s3 = "s3" in protocols

    def _settled(self, request: Callable[[], T]) -> T:
        """The answer to a request that may be made again."""
        wait = _FIRST_WAIT
        for left in reversed(range(_TRIES)):
            try:
                return request()
            except Exception as error:
                if type(error).__name__ in _NO_CREDENTIALS:
                    raise StoreError(
                        f"{self._url}: no credentials ({error}); set AWS_ACCESS_KEY_ID and "
                        "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, in the environment of this "
                        "process and of its workers"
                    ) from error
                if not passes(error):
                    raise
                if not left:
                    raise StoreError(
                        f"{self._url} does not answer as it should, after {_TRIES} tries of this "
                        f"request: {type(error).__name__}: {error}. What was built is kept; run "
                        "the same command again"
                    ) from error
                time.sleep(wait * random.uniform(0.5, 1))
                wait *= 2
        raise AssertionError("the last try returns or raises")

    def exists(self, path: str) -> bool:
        return bool(self._settled(lambda: self._fs.exists(path)))

    def size(self, path: str) -> int:
        """Raises FileNotFoundError."""
        return int(self._settled(lambda: self._fs.info(path))["size"])

    def read(self, path: str) -> bytes:
        """Raises FileNotFoundError."""
        return cast("bytes", self._settled(lambda: self._fs.cat_file(path)))

    def find(self, path: str) -> list[str]:
        """Every file below a path. Raises FileNotFoundError."""
        return cast("list[str]", self._settled(lambda: self._fs.find(path)))

    def listed(self, path: str) -> list[str]:
        """What lies directly below. Raises FileNotFoundError, NotADirectoryError."""
        return cast("list[str]", self._settled(lambda: self._fs.ls(path, detail=False)))

    def digest(self, path: str) -> str:
        """SHA-256 of what the store holds. Raises FileNotFoundError."""

        def read_through() -> str:
            with self._fs.open(path, "rb") as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest()

        return self._settled(read_through)

    def download(self, path: str, target: Path) -> None:
        """Raises FileNotFoundError."""

        def whole() -> None:
            size = int(self._fs.info(path)["size"])
            self._fs.get_file(path, str(target))
            got = target.stat().st_size
            if got != size:
                raise OSError(errno.EIO, f"{path}: {got} bytes came of {size}")

        self._settled(whole)

    def create(self, path: str, data: bytes) -> None:
        """Write a new object.

        Raises:
            FileExistsError: there is one, of another writer.
        """
        writer = uuid.uuid4().hex
        marked = {"Metadata": {_WRITER: writer}} if self._s3 else {}

        def once() -> None:
            try:
                self._fs.pipe_file(path, data, mode="create", **marked)
            except FileExistsError:
                if not marked or self._writer(path) != writer:
                    raise
                # An earlier try of ours, of which the answer did not arrive.

        self._settled(once)

    def _writer(self, path: str) -> str | None:
        try:
            return cast("str | None", self._fs.metadata(path, refresh=True).get(_WRITER))
        except FileNotFoundError:  # gone again meanwhile
            return None

    def replace(self, path: str, data: bytes) -> None:
        self._settled(lambda: self._fs.pipe_file(path, data))

    def upload(self, source: Path, path: str) -> None:
        """A large one goes in parts: it is there whole once they all are."""

        def whole() -> None:
            self._fs.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
            self._fs.put_file(str(source), path)

        self._settled(whole)

    def copy(self, path: str, target: str) -> None:
        self._settled(lambda: self._fs.cp_file(path, target))

    def move(self, path: str, target: str) -> None:
        """A copy, then one object less."""
        self.copy(path, target)
        with contextlib.suppress(FileNotFoundError):  # an earlier try removed it
            self._settled(lambda: self._fs.rm_file(path))

    def remove(self, path: str) -> None:
        """With all below it. Raises FileNotFoundError."""
        self._settled(lambda: self._fs.rm(path, recursive=True))
