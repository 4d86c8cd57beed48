"""Which shards of earlier attempts are known, and which of them are whole."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tasks.engine.errors import StoreError
from tasks.engine.shards.earlier_receipts import known_receipts, verified_receipt
from tasks.engine.shards.receipt import Receipt
from tasks.engine.store.manifest import File
from tasks.engine.store.store import Store

BUILD = "artifacts/clean/0123456789abcdef"
CONTENT = b"some rows"


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    local = request.param == "local"
    return Store(str(tmp_path / "home") if local else f"memory://{tmp_path.name}-{request.param}")


def leave(store: Store, folder: str, shard: str, code: str = "") -> None:
    """A finished shard of one part, with its receipt."""
    digest = hashlib.sha256(CONTENT).hexdigest()
    file = File(path=f"{shard}.parquet", rows=1, bytes=len(CONTENT), sha256=digest)
    receipt = Receipt(
        shard_id=shard,
        code=code,
        unit=shard,
        rows_in=1,
        files={"documents": [file]},
        reasons={},
        notes={},
        seconds=0.5,
    )
    store.replace(f"{folder}/documents/{file.path}", CONTENT)
    store.replace(f"{folder}/receipts/{shard}.json", receipt.model_dump_json().encode())


def test_shards_of_every_attempt_are_known_the_newest_first(store: Store) -> None:
    other = BUILD.replace("0", "f")
    leave(store, f"{BUILD}/0001", "a")
    leave(store, f"{BUILD}/0001", "b")
    leave(store, f"{BUILD}/0002", "b")
    leave(store, f"{other}/0001", "c")
    leave(store, f"{BUILD}/scratch", "d")
    leave(store, "artifacts/filter/0123456789abcdef/0001", "e")
    store.replace(f"{BUILD}/current.json", b"{}")
    store.replace(f"{BUILD}/0003/reserved", b"")
    assert known_receipts(store, "clean") == {
        "a": f"{BUILD}/0001",
        "b": f"{BUILD}/0002",
        "c": f"{other}/0001",
    }
    assert known_receipts(store, "dedup") == {}


def test_a_shard_is_whole_or_it_is_none(store: Store) -> None:
    folder = f"{BUILD}/0001"
    leave(store, folder, "a", code="then")
    found = verified_receipt(store, folder, "a", None)
    assert found is not None
    assert found.unit == "a"
    assert verified_receipt(store, folder, "a", "then") == found
    assert verified_receipt(store, folder, "a", "now") is None
    assert verified_receipt(store, folder, "b", None) is None
    store.replace(f"{folder}/documents/a.parquet", CONTENT[:-1])
    assert verified_receipt(store, folder, "a", None) is None
    store.replace(f"{folder}/documents/a.parquet", CONTENT[:-1] + b"?")
    assert verified_receipt(store, folder, "a", None) is None
    store.remove(f"{folder}/documents/a.parquet")
    assert verified_receipt(store, folder, "a", None) is None


@pytest.mark.parametrize("content", [b"", b"{", b'{"shard_id": "a"}', b"[]"])
def test_a_receipt_that_is_none_is_named(store: Store, content: bytes) -> None:
    store.replace(f"{BUILD}/0001/receipts/a.json", content)
    with pytest.raises(StoreError, match=r"receipts/a\.json is no receipt(.|\n)*remove it"):
        verified_receipt(store, f"{BUILD}/0001", "a", None)
