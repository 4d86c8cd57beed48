"""Models of the Hugging Face hub that are on this machine already."""

from __future__ import annotations

from pathlib import Path

from llm.errors import ExpectedError


class NotDownloadedError(ExpectedError, ValueError):
    """The hub's cache has no such model; says how to get it."""


def cached_model(name: str) -> Path:
    """The folder of a model in the hub's cache; no network is asked.

    Args:
        name: its id, "organisation/model".

    Raises:
        NotDownloadedError: it is not there.
    """
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(name, "config.json")
    except HFValidationError as error:
        raise NotDownloadedError(f"{name} is no id of a model: {error}") from error
    if not isinstance(found, str):
        raise NotDownloadedError(
            f"{name} is neither a folder nor in the cache of the Hugging Face hub on this machine; "
            f"where there is a network, download it first: hf download {name}"
        )
    return Path(found).parent
