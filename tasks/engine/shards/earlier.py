"""Shards of earlier attempts: which there are, and whether one is still whole."""

from __future__ import annotations

from tasks.engine.shards.receipt import Receipt
from tasks.engine.store.store import Store


def known_receipts(store: Store, stage: str) -> dict[str, str]:
    """shard id -> attempt folder, over every attempt of the stage; the newest attempt wins.

    Only names are read: a receipt is called by its shard id.
    """
    found: dict[str, str] = {}
    for path in store.files(f"artifacts/{stage}"):
        folder, _, name = path.partition("/receipts/")
        if name.endswith(".json"):
            found[name[:-5]] = folder
    return found


def verified_receipt(store: Store, folder: str, shard: str) -> Receipt | None:
    """The receipt of an earlier attempt, if every file it lists still has its hash."""
    record = store.read_json(f"{folder}/receipts/{shard}.json")
    if record is None:
        return None
    receipt = Receipt.model_validate(record)
    for output, files in receipt.files.items():
        for file in files:
            path = f"{folder}/{output}/{file.path}"
            if store.size(path) != file.bytes:
                return None
            if store.digest(path) != file.sha256:
                return None
    return receipt
