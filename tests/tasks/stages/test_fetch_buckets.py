"""Files of a store that speaks S3: moto's, on this machine."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llm.corpus.fetch.entries import Entry, NotFetchedError
from llm.corpus.fetch.file_urls import file_name
from llm.corpus.fetch.partial import Partial
from llm.corpus.fetch.places import buckets
from llm.corpus.fetch.places.buckets import Bucket, BucketError
from llm.corpus.fetch.web.client import Manners
from tasks.engine.run.execute import BuildRequest, execute
from tasks.engine.store.artifact import Artifact
from tasks.engine.store.store import Store
from tasks.stages.fetch import STAGE, PlaceNotListedError, externals
from tasks.stages.fetch_config import FetchConfig

KEY, SECRET = "AKIDNOTREAL0000000", "neverwrittenanywhere/0123456789"
MANNERS = Manners("t", (), 5.0, 3, 0.01, 0.05)
FILES = {"crawl/a.txt": b"one", "crawl/deep/b.txt": b"two" * 1000, "crawl/c.bin": b"three"}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server_module = pytest.importorskip("moto.server", reason="moto is an extra for development")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def store(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client of the store, with a bucket "texts"."""
    import boto3

    for name, value in {
        "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_ENDPOINT_URL": endpoint,
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")
    client.create_bucket(Bucket="texts")
    for key, body in FILES.items():
        client.put_object(Bucket="texts", Key=key, Body=body)
    yield client
    for found in client.list_objects_v2(Bucket="texts").get("Contents", []):
        client.delete_object(Bucket="texts", Key=found["Key"])
    client.delete_bucket(Bucket="texts")


def fetch(home: Path, urls: list[str], force: bool = False) -> Artifact:
    waits = {"tries": 2, "first_wait_seconds": 0.01, "longest_wait_seconds": 0.1}
    config = FetchConfig.model_validate(
        {"workers": 1, "files": [{"name": "s3", "urls": urls}], **waits}
    )
    request = BuildRequest(STAGE, config, {}, externals(config))
    return execute(request, Store(str(home)), force=force).artifact


def contents(artifact: Artifact) -> dict[str, bytes]:
    folder = artifact.data("files").folder() / "s3" / "texts"
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")}


def test_folders_globs_and_single_files(tmp_path: Path, store: Any) -> None:
    assert contents(fetch(tmp_path / "one", ["s3://texts/crawl/"])) == FILES
    texts = {name: body for name, body in FILES.items() if name.endswith(".txt")}
    assert contents(fetch(tmp_path / "two", ["s3://texts/crawl/**/*.txt"])) == texts
    single = fetch(tmp_path / "three", ["s3://texts/crawl/c.bin"])
    assert contents(single) == {"crawl/c.bin": b"three"}
    (row,) = single.data("listed").table().to_pylist()
    assert (row["location"], row["length"]) == ("s3://texts/crawl/c.bin", 5)
    assert row["version"] == store.head_object(Bucket="texts", Key="crawl/c.bin")["ETag"]


def test_a_refresh_fetches_what_changed_and_no_key_is_kept(tmp_path: Path, store: Any) -> None:
    fetch(tmp_path, ["s3://texts/crawl/"])
    store.put_object(Bucket="texts", Key="crawl/a.txt", Body=b"ONE")
    store.put_object(Bucket="texts", Key="crawl/d.txt", Body=b"four")
    after = fetch(tmp_path, ["s3://texts/crawl/"], force=True)
    timings = after.manifest.timings
    assert (timings.shards_built, timings.shards_adopted) == (3, 2), "the list, and two files"
    assert contents(after) == {**FILES, "crawl/a.txt": b"ONE", "crawl/d.txt": b"four"}
    for path in tmp_path.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert KEY.encode() not in data, path
            assert SECRET.encode() not in data, path


def test_what_is_not_there_is_told(tmp_path: Path, store: Any) -> None:
    bucket = Bucket(MANNERS, anonymous=False)
    for url in ("s3://texts/nothing/", "s3://texts/*.none", "s3://no-such-bucket/a.txt"):
        with pytest.raises(BucketError, match="matches no file; correct it or leave it out"):
            list(bucket.list(url, file_name))
    with pytest.raises(BucketError, match=r"\*\*x is no pattern: .*entire path component"):
        list(bucket.list("s3://texts/**x", file_name))
    with pytest.raises(
        PlaceNotListedError, match=r"fetch: s3: s3://texts/nothing/ matches no file"
    ):
        fetch(tmp_path, ["s3://texts/nothing/"])


def test_a_file_goes_on_from_its_bytes_and_is_read_in_one_version(
    tmp_path: Path, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buckets, "_BLOCK", 1000)
    bucket = Bucket(MANNERS, anonymous=False)
    (entry,) = bucket.list("s3://texts/crawl/deep/b.txt", file_name)
    partial = Partial(tmp_path, entry)
    with partial.open(0) as stream:
        stream.write(b"X" * 1000)  # what an earlier try left: not asked for again
    data = b"".join(bucket.read(entry, Partial(tmp_path, entry), 10_000))
    assert data == b"X" * 1000 + FILES["crawl/deep/b.txt"][1000:]
    assert b"".join(bucket.read(entry, Partial(tmp_path, entry), 10_000)) == b"two" * 1000
    with pytest.raises(NotFetchedError, match="the limit is 2,999"):
        list(bucket.read(entry, Partial(tmp_path, entry), 2_999))
    store.put_object(Bucket="texts", Key="crawl/deep/b.txt", Body=b"other")
    with pytest.raises(NotFetchedError, match="another version than was listed"):
        list(bucket.read(entry, Partial(tmp_path, entry), 10_000))


def test_a_store_that_fails_is_asked_again(
    tmp_path: Path, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = Entry("a", "s3://texts/crawl/a.txt")
    bucket = Bucket(MANNERS, anonymous=False)
    asked, true_block = [], Bucket._block

    def failing(self: Bucket, location: str, start: int, end: int) -> bytes:
        asked.append(start)
        if len(asked) < 3:
            raise ConnectionError("reset")
        return true_block(self, location, start, end)

    monkeypatch.setattr(Bucket, "_block", failing)
    assert b"".join(bucket.read(entry, Partial(tmp_path, entry), 100)) == b"one"
    assert len(asked) == 3
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(NotFetchedError) as caught:
        list(Bucket(MANNERS, anonymous=True).read(entry, Partial(tmp_path, entry), 100))
    assert caught.value.reason == "busy"
