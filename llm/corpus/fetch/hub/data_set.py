"""Files of a data set of the Hugging Face Hub, by name and revision, through huggingface_hub.

The revision is resolved to a commit when files are listed, and read from that commit. The token and
the server come from the environment (HF_TOKEN, HF_ENDPOINT), as for any other program.
"""

from __future__ import annotations

import hashlib
import heapq
import time
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, constants, get_token, hf_hub_url

# HTTPError is that of its HTTP library, which is another one in other versions.
from huggingface_hub.errors import (  # type: ignore[attr-defined]
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import DatasetInfo

from llm.corpus.fetch.entries import Entry, NotFetchedError
from llm.corpus.fetch.hub.online import hub_asked
from llm.corpus.fetch.partial import Partial
from llm.corpus.fetch.web.client import Manners, Web
from llm.corpus.fetch.web.download import download
from llm.errors import ExpectedError

_LARGEST_FILE = 1 << 40
_BUSY = (429, 500, 502, 503, 504)
_LOG_IN = (
    "log in (`hf auth login`, or HF_TOKEN in the environment) with an account that may read it"
)


class DataSetError(ExpectedError):
    """A data set cannot be listed; says why, and what to change."""


class DataSet:
    """One data set.

    Args:
        manners: fields of `Manners`.
        name: "owner/name".
        endpoint: the server; "" = the environment's.
    """

    def __init__(self, manners: Mapping[str, Any], name: str, endpoint: str) -> None:
        self._endpoint = endpoint.rstrip("/") or constants.ENDPOINT
        self._manners, self._name = Manners(**manners), name
        self._web = Web(self._manners)

    def list(
        self, revision: str, globs: Sequence[str], max_files: int, seed: int
    ) -> Iterator[Entry]:
        """An entry a file that a pattern fits, in the order of their names.

        Args:
            revision: a branch, a tag or a commit.
            globs: `*` stands for folders too.
            max_files: chosen by the seed where there are more; 0 = all.

        Raises:
            DataSetError: there is no such data set or revision, or nothing fits.
        """
        info = self._info(revision)
        found = [
            file
            for file in info.siblings or ()
            if any(fnmatchcase(file.rfilename, glob) for glob in globs)
        ]
        if not found:
            there = ", ".join(sorted(file.rfilename for file in info.siblings or ())[:5])
            raise DataSetError(
                f"{self._name}@{revision} has no file that fits {', '.join(globs)}; there are, "
                f"among others: {there or 'none'}"
            )
        if max_files:
            found = heapq.nsmallest(
                max_files, found, key=lambda file: _digest(f"{seed}\0{file.rfilename}")
            )
        for file in sorted(found, key=lambda file: file.rfilename):
            large = file.lfs.sha256 if file.lfs is not None else None
            yield Entry(
                file=file.rfilename,
                location=f"hf://datasets/{self._name}/{file.rfilename}",
                length=file.size,
                digest=f"sha256:{large}" if large else None,
                version=file.blob_id,
                revision=info.sha,
            )

    def _info(self, revision: str) -> DatasetInfo:
        number = 0
        while True:
            number += 1
            try:
                with hub_asked():
                    return HfApi(endpoint=self._endpoint).dataset_info(
                        self._name,
                        revision=revision,
                        files_metadata=True,
                        timeout=self._manners.timeout_seconds,
                    )
            except GatedRepoError as error:
                raise DataSetError(
                    f"{self._name} is open to those alone who accepted its terms: do so on its "
                    f"page, then {_LOG_IN}"
                ) from error
            except RevisionNotFoundError as error:
                raise DataSetError(
                    f"{self._name} has no revision {revision!r}: name a branch, tag or commit"
                ) from error
            except RepositoryNotFoundError as error:
                raise DataSetError(
                    f"there is no data set {self._name!r}, or it is private: correct the name, or "
                    f"{_LOG_IN}"
                ) from error
            except HFValidationError as error:
                raise DataSetError(f"{self._name!r} is no name of a data set: {error}") from error
            except HfHubHTTPError as error:
                status = error.response.status_code
                if status not in _BUSY or number >= self._manners.tries:
                    raise DataSetError(
                        f"{self._name}: {self._endpoint} answers {status} after "
                        f"{number} tries; run again later"
                    ) from error
                wait = self._web.wait(number, error.response.headers.get("retry-after"))
            except OfflineModeIsEnabled as error:
                raise DataSetError(
                    f"{self._name}: HF_HUB_OFFLINE is set, so the hub is not asked; unset it"
                ) from error
            except (HTTPError, OSError) as error:
                if number >= self._manners.tries:
                    raise DataSetError(
                        f"{self._name}: {self._endpoint} does not answer "
                        f"({type(error).__name__}): run again where there is a network, or set "
                        "HF_ENDPOINT to a mirror"
                    ) from error
                wait = self._web.wait(number, None)
            time.sleep(wait)

    def read(self, entry: Entry, revision: str, scratch: Path) -> Iterator[bytes]:
        """The bytes of an entry.

        Args:
            revision: the commit it was listed at.
            scratch: where they are gathered, to go on from after a kill.

        Raises:
            NotFetchedError: they cannot be had, or are others than were listed.
        """
        url = hf_hub_url(
            self._name, entry.file, repo_type="dataset", revision=revision,
            endpoint=self._endpoint,
        )  # fmt: skip
        token = get_token()
        secret = {"Authorization": f"Bearer {token}"} if token else {}
        blob = hashlib.sha1(f"blob {entry.length}\0".encode(), usedforsecurity=False)
        partial = Partial(scratch, entry)
        for chunk in download(self._web, url, entry, partial, _LARGEST_FILE, None, secret):
            blob.update(chunk)
            yield chunk
        # Git's own name of a small file; of large ones the list has a digest, which is checked.
        if entry.digest is None and entry.version not in (None, blob.hexdigest()):
            raise NotFetchedError("changed", "its bytes are not those of the commit")


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
