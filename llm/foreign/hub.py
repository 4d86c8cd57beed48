"""Models of the Hugging Face hub: those on this machine already, and fetching one.

A revision is resolved once. What the hub's cache holds under a name is taken from there, whatever
the hub has under it by now: a plan says the same tomorrow, and without a network.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from llm.errors import ExpectedError
from llm.hub_access import kept_off_by_user
from llm.model.config_file import ModelFolderError
from llm.model.weight_files import weight_files

# ORGANISATION/MODEL, and which state of it: a branch, a tag or a commit.
HUB_ID = re.compile(r"([A-Za-z0-9._-]+/[A-Za-z0-9._-]+)(?:@([A-Za-z0-9._/-]+))?")
_MAIN = "main"


class HubModelError(ExpectedError, ValueError):
    """The hub has no such model, or this machine has it not and cannot reach the hub."""


def cached_model(name: str) -> Path:
    """The folder of a model in the hub's cache; no network is asked.

    Args:
        name: see `HUB_ID`.

    Raises:
        HubModelError: it is not there, or not whole.
    """
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    repository, revision = _parts(name)
    try:
        found = try_to_load_from_cache(repository, "config.json", revision=revision)
    except HFValidationError as error:
        raise HubModelError(f"{name} is no id of a model: {error}") from error
    if not isinstance(found, str):
        raise HubModelError(
            f"{name} is neither a folder nor in the cache of the Hugging Face hub on this machine; "
            f"where there is a network, download it first: {_command(repository, revision)}"
        )
    return Path(found).parent


def hub_model(name: str) -> Path:
    """The folder of a model in the hub's cache, fetched where it is not there.

    The hub is asked in a process of its own: all else of Ingot is kept off it.

    Args:
        name: see `HUB_ID`.

    Raises:
        HubModelError: there is no such model, or the hub cannot be reached.
    """
    try:
        folder = cached_model(name)
        weight_files(folder)
    except (HubModelError, ModelFolderError):
        repository, revision = _parts(name)
        return _fetched(repository, revision)
    return folder


def _fetched(repository: str, revision: str) -> Path:
    if kept_off_by_user():
        raise HubModelError(
            f"{repository}@{revision} is not on this machine, and HF_HUB_OFFLINE is set, so the "
            "hub is not asked: unset it, or give a folder"
        )
    environment = {**os.environ, "HF_HUB_OFFLINE": "0"}
    command = [sys.executable, "-m", "llm.foreign.fetch", repository, revision]
    print(f"fetches {repository}@{revision} from the Hugging Face hub", file=sys.stderr)
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False
    )
    try:
        reply = json.loads(done.stdout)
    except ValueError:
        reply = {"error": f"its process ended with {done.returncode}"}
    if "folder" in reply:
        return Path(reply["folder"])
    raise HubModelError(
        f"{repository}@{revision} is not on this machine, and could not be fetched: "
        f"{reply['error']}. Give a folder; or, where there is a network, "
        f"{_command(repository, revision)}, and copy the hub's cache (HF_HOME) here; or name a "
        "mirror as HF_ENDPOINT"
    )


def _parts(name: str) -> tuple[str, str]:
    repository, _, revision = name.partition("@")
    return repository, revision or _MAIN


def _command(repository: str, revision: str) -> str:
    return f"hf download {repository}" + (f" --revision {revision}" if revision != _MAIN else "")
