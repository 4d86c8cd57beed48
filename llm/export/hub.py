"""An exported model on the Hugging Face hub: which files, and their upload as one commit.

The only code of Ingot that sends anything to a host of others, and it does so when told to.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from llm.errors import ExpectedError

if TYPE_CHECKING:
    from huggingface_hub import HfApi

TOKEN = "HF_TOKEN"
_ENDPOINT, _OFFICIAL = "HF_ENDPOINT", "https://huggingface.co"
# As the hub takes them: an owner and a name, of letters, digits and single . _ - between them.
_PART = r"[A-Za-z0-9](?:[A-Za-z0-9_]|[.-](?![.-]))*(?<![.-])"
_REPOSITORY = re.compile(rf"{_PART}/{_PART}")
_LONGEST = 96


class RepositoryNameError(ExpectedError, ValueError):
    """What is given names no repository of the hub."""


class MissingTokenError(ExpectedError, ValueError):
    """There is no token to write to the hub with."""


class PublicRepositoryError(ExpectedError, ValueError):
    """A repository everybody can read is there, and the upload was not meant for everybody."""


class HubError(ExpectedError, OSError):
    """The hub refused, or could not be reached; carries what was said."""


@dataclass(frozen=True)
class Upload:
    """A file, and its name in the repository."""

    path: Path
    name: str

    @property
    def bytes(self) -> int:
        return self.path.stat().st_size


def uploads(*folders: Path) -> list[Upload]:
    """The files of folders, by name, side by side in the repository.

    Raises:
        ValueError: two folders have a file of one name.
    """
    found = [Upload(path, path.name) for folder in folders for path in folder.iterdir()]
    if len({upload.name for upload in found}) < len(found):
        raise ValueError(f"two files of one name in {', '.join(map(str, folders))}")
    return sorted(found, key=lambda upload: upload.name)


def check_repository(repository: str) -> None:
    """Raises RepositoryNameError if it is no `owner/name` that the hub takes."""
    if not _REPOSITORY.fullmatch(repository) or len(repository) > _LONGEST:
        raise RepositoryNameError(
            f"{repository!r} is no repository; give OWNER/NAME of letters, digits and single "
            f". _ - between them, at most {_LONGEST} characters"
        )


def hub_address(environment: Mapping[str, str]) -> str:
    """Where the hub is: `HF_ENDPOINT`, else the official one."""
    return environment.get(_ENDPOINT, "").rstrip("/") or _OFFICIAL


def publish(
    repository: str,
    files: Sequence[Upload],
    public: bool,
    message: str,
    environment: Mapping[str, str] = os.environ,
) -> str:
    """Upload files to a repository, made if it is not there, as one commit; its address.

    Args:
        public: everybody may read it; else it is made private.
        environment: has the token, `HF_TOKEN`. No token kept on this machine is looked for.

    Raises:
        RepositoryNameError, MissingTokenError: before anything is sent.
        PublicRepositoryError: the repository is there and public, and `public` is false.
        HubError: the hub refused, or could not be reached. A commit is whole or not at all.
    """
    check_repository(repository)
    token = environment.get(TOKEN, "").strip()
    if not token:
        raise MissingTokenError(
            f"set {TOKEN} to a token that may write to {repository} "
            "(https://huggingface.co/settings/tokens)"
        )
    # Everything else of Ingot is kept off the hub; read when huggingface_hub is first imported.
    os.environ["HF_HUB_OFFLINE"] = "0"
    from huggingface_hub import CommitOperationAdd, HfApi

    # HTTPError is that of its HTTP library, which is another one in other versions.
    from huggingface_hub.errors import HfHubHTTPError, HTTPError  # type: ignore[attr-defined]

    hub = HfApi(endpoint=hub_address(environment), token=token)
    try:
        _make(hub, repository, public)
        made = hub.create_commit(
            repository,
            [CommitOperationAdd(file.name, file.path) for file in files],
            commit_message=message,
        )
    except HfHubHTTPError as error:
        raise HubError(f"{hub.endpoint} refused: {_first_line(error)}{_advice(error)}") from error
    except (HTTPError, RuntimeError) as error:  # the latter: one of its threads
        cause = error.__cause__ or error
        raise HubError(
            f"the upload to {hub.endpoint} failed: {_first_line(cause)}; nothing was committed, "
            "run the command again"
        ) from error
    return str(made.commit_url)


def _make(hub: HfApi, repository: str, public: bool) -> None:
    """See that the repository is there, and no more public than it is to be."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        there = hub.model_info(repository)
    except RepositoryNotFoundError:
        hub.create_repo(repository, private=not public, exist_ok=True)
        return
    if not there.private and not public:
        raise PublicRepositoryError(
            f"{repository} is there already, and everybody can read it; give --public if the "
            "model is for everybody, or name another repository"
        )


def _first_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def _advice(error: BaseException) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403):
        return f"; the token in {TOKEN} may not write there"
    return ""
