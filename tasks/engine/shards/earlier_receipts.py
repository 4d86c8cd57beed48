"""Shards of earlier attempts: which there are, and whether one is still whole.

A stage may have a hundred thousand of them, so both look at no more than they need: names of
receipts, without the parts beside them; and of a shard its own files.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from tasks.engine.errors import StoreError
from tasks.engine.shards.intermediate import (
    Intermediate,
    contents_path,
    intermediate_path,
    quick_digest,
)
from tasks.engine.shards.receipt import Receipt
from tasks.engine.store.store import Store

_Record = TypeVar("_Record", bound=BaseModel)
_LISTINGS = 8  # at once: where the store is elsewhere, each is an answer to wait for


def known_receipts(store: Store, stage: str) -> dict[str, str]:
    """shard id -> attempt folder, over every attempt of the stage; the newest attempt wins.

    Only names are read: a receipt is called by its shard id.
    """
    base = f"artifacts/{stage}"
    with ThreadPoolExecutor(_LISTINGS) as pool:
        builds = [f"{base}/{build}" for build in store.names(base)]
        attempts = [
            f"{build}/{name}"
            for build, names in zip(builds, pool.map(store.names, builds), strict=True)
            for name in names
            if name.isdigit()
        ]
        listed = pool.map(store.names, [f"{attempt}/receipts" for attempt in attempts])
        return {
            name.removesuffix(".json"): attempt
            for attempt, names in zip(attempts, listed, strict=True)
            for name in names
            if name.endswith(".json")
        }


def verified_intermediate(store: Store, folder: str, shard: str) -> Intermediate | None:
    """What a shard of an earlier attempt kept for a later map, if that is there, whole.

    Raises:
        StoreError: what is to say what was kept does not.
    """
    kept = _parsed(store, f"{folder}/{contents_path(shard)}", Intermediate)
    if kept is None:
        return None
    path = f"{folder}/{intermediate_path(shard)}"
    if store.size(path) != kept.bytes:
        return None
    return kept if quick_digest(store.fetch(path, kept.digest)) == kept.digest else None


def verified_receipt(store: Store, folder: str, shard: str, code: str | None) -> Receipt | None:
    """The receipt of an earlier attempt, if every file it lists still has its hash.

    Args:
        code: the shard must have been built by it; `None` = by whatever code.

    Raises:
        StoreError: what is called like a receipt is none.
    """
    receipt = _parsed(store, f"{folder}/receipts/{shard}.json", Receipt)
    if receipt is None or (code is not None and receipt.code != code):
        return None
    for output, files in receipt.files.items():
        for file in files:
            part = f"{folder}/{output}/{file.path}"
            if store.size(part) != file.bytes or store.digest(part) != file.sha256:
                return None
    return receipt


def _parsed(store: Store, path: str, kind: type[_Record]) -> _Record | None:
    """The record a file holds; `None` where there is no such file."""
    try:
        return kind.model_validate_json(store.read(path))
    except FileNotFoundError:
        return None
    except ValidationError as error:
        what = kind.__name__.lower()
        raise StoreError(f"{store.full(path)} is no {what} ({error}); remove it") from error
