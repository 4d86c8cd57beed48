"""A store in S3 whose answers are late, cut, lost or "busy"."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks.engine.errors import StoreError
from tasks.engine.run.build import build
from tasks.engine.store import remote
from tasks.engine.store.lease import Lease, holder
from tasks.engine.store.remote import passes
from tasks.engine.store.store import Store
from tests.tasks.engine.faulty_s3 import FaultyS3
from tests.tasks.engine.small_chain import planner, write_corpus
from tests.tasks.engine.test_build import data_ids, ran

KEY, SECRET = "AKIDNOTREAL0000000", "neverwrittenanywhere/0123456789"
MIB = 1 << 20


@pytest.fixture(scope="module")
def server() -> Iterator[FaultyS3]:
    pytest.importorskip("moto.server", reason="moto is an extra for development")
    served = FaultyS3()
    yield served
    served.close()


@pytest.fixture
def home(server: FaultyS3, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Store:
    import boto3

    for name, value in {
        "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_ENDPOINT_URL": server.url,
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
        "INGOT_CACHE": str(tmp_path / "cache"),
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    bucket = f"b-{abs(hash(str(tmp_path))):x}"
    boto3.client("s3").create_bucket(Bucket=bucket)
    server._faults.clear()
    return Store(f"s3://{bucket}/home")


def test_a_chain_is_built_through_faults(
    tmp_path: Path, home: Store, server: FaultyS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "_FIRST_WAIT", 0.05)
    for method, part, how in [
        ("PUT", "manifest.json", "busy"), ("PUT", "receipts/", "lost"), ("GET", ".parquet", "cut"),
        ("GET", "manifest.json", "cut"), ("PUT", "/lease/", "lost"), ("PUT", "staging/", "busy"),
        ("GET", "list-type=2", "busy"), ("HEAD", ".parquet", "late"),
        ("PUT", "reserved", "lost"),
    ]:  # fmt: skip
        server.fail(method, part, how)
    corpus = write_corpus(tmp_path / "corpus", files=2)
    there = build(planner(home, corpus))
    here = build(planner(Store(str(tmp_path / "here")), corpus))
    assert data_ids(there) == data_ids(here)
    assert ran(build(planner(home, corpus))) == set()
    assert not [fault for fault in server._faults if fault[3]], "every fault was met"
    assert {built.artifact.folder.rsplit("/")[-1] for built in there.values()} == {"0001"}
    written = b"".join(home.read(path) for path in home.files("artifacts"))
    assert SECRET.encode() not in written
    assert KEY.encode() not in written


def test_created_once_though_the_answer_was_lost(home: Store, server: FaultyS3) -> None:
    server.fail("PUT", "one", "lost")
    home.create("one", b"first")
    assert [line for line in server.seen if line.startswith("PUT") and "one" in line][1:]
    with pytest.raises(FileExistsError):
        home.create("one", b"first")
    server.fail("PUT", "one", "busy", times=2)
    with pytest.raises(FileExistsError):
        home.create("one", b"second")
    assert home.read("one") == b"first"


def test_one_of_many_creates(home: Store, server: FaultyS3) -> None:
    server.fail("PUT", "raced", "lost", times=2)
    server.fail("PUT", "raced", "busy", times=2)
    home.create("before", b"")  # it was looked at whether the store can do this at all
    won: list[int] = []

    def race(number: int) -> None:
        try:
            home.create("raced", b"the same bytes")
        except FileExistsError:
            return
        won.append(number)

    threads = [threading.Thread(target=race, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1


def test_a_lease_whose_answers_are_lost_is_held_by_one(home: Store, server: FaultyS3) -> None:
    server.fail("PUT", "lease/000001.json", "lost")
    with Lease(home, "lease") as lease:
        lease.check()
        found = holder(home, "lease")
        assert found is not None
        assert found.number == 1, "its own file is no other's"
    with Lease(home, "lease") as lease:
        lease.check()


@pytest.mark.long
def test_a_large_file_goes_in_parts(tmp_path: Path, home: Store, server: FaultyS3) -> None:
    source, size = tmp_path / "large", 101 * MIB
    source.write_bytes(os.urandom(MIB) * (size // MIB))
    digest = home_digest(source)
    before = len(server.seen)
    for method, part in [("POST", "uploads"), ("PUT", "partNumber=2"), ("POST", "uploadId=")]:
        server.fail(method, part, "busy")
    server.fail("GET", "large", "cut", times=2)
    home.put("large", source)
    assert len([line for line in server.seen[before:] if "partNumber" in line]) == 4
    assert home.size("large") == size
    assert home_digest(home.fetch("large", digest)) == digest
    assert not [fault for fault in server._faults if fault[3]], "every fault was met"
    home.move("large", "moved")
    assert (home.size("large"), home.size("moved")) == (None, size)


def home_digest(path: Path) -> str:
    return Store(str(path.parent)).digest(path.name)


@pytest.mark.long
def test_a_store_that_stays_busy_is_told_and_loses_nothing(
    tmp_path: Path, home: Store, server: FaultyS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "_TRIES", 2)
    monkeypatch.setattr(remote, "_FIRST_WAIT", 0.01)
    monkeypatch.setattr(remote, "_BOTOCORE_TRIES", 1)
    monkeypatch.setattr(remote, "_S3FS_TRIES", 1)
    home = Store(home.url)
    corpus = write_corpus(tmp_path / "corpus", files=2)
    read = build(planner(home, corpus))["read"]
    server.fail("GET", f"{read.artifact.folder}/manifest.json", "busy", times=100)
    server.fail("HEAD", f"{read.artifact.folder}/manifest.json", "busy", times=100)
    with pytest.raises(StoreError, match="does not answer as it should, after 2 tries"):
        build(planner(home, corpus, shout={"mark": "?"}))
    server._faults.clear()
    assert ran(build(planner(home, corpus, shout={"mark": "?"}))) == {"shout", "count"}


def test_nobody_says_who_asks(home: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    type(home.fs).clear_instance_cache()
    with pytest.raises(StoreError, match=r"no credentials .* set AWS_ACCESS_KEY_ID"):
        Store(home.url).read("anything")


@pytest.mark.parametrize("secret", [SECRET, "without-a-slash"])
def test_no_credentials_in_the_address(secret: str) -> None:
    with pytest.raises(StoreError, match="by the environment") as told:
        Store(f"s3://{KEY}:{secret}@bucket/home")
    assert secret not in str(told.value)


@pytest.mark.parametrize(
    ("error", "again"),
    [(FileNotFoundError(), False), (PermissionError(), False), (FileExistsError(), False),
     (ConnectionResetError(), True), (TimeoutError(), True), (OSError(28, "full"), False),
     (OSError(16, "busy"), True), (ValueError(), False)],
)  # fmt: skip
def test_what_passes(error: Any, again: bool) -> None:
    assert passes(error) is again
