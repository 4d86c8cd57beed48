"""Data sets of a hub: a server on this machine that answers as it does."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub import constants
from pydantic import ValidationError

from llm.corpus.fetch.hub.rows import Shape, chosen
from llm.hub_access import KEPT_OFF
from tasks.engine.run.execute import BuildRequest, execute
from tasks.engine.store.artifact import Artifact
from tasks.engine.store.store import Store
from tasks.stages.fetch import STAGE, NothingFetchedError, PlaceNotListedError, externals
from tasks.stages.fetch_config import FetchConfig
from tests.web_server import Reply, WebServer

LOCAL = {
    "tries": 2, "first_wait_seconds": 0.01, "longest_wait_seconds": 0.05, "workers": 1,
    "private_hosts": ["127.0.0.1"],
}  # fmt: skip
TOKEN = "hf_neverwrittenanywhere"


def parquet(start: int, count: int) -> bytes:
    numbers = range(start, start + count)
    table = pa.table(
        {"content": [f"text {n}" for n in numbers], "id": list(numbers), "x": [0] * count}
    )
    stream = io.BytesIO()
    pq.write_table(table, stream, row_group_size=100)
    return stream.getvalue()


def lines(count: int) -> bytes:
    return b"".join(
        json.dumps({"content": f"ü {n}", "id": n}).encode() + b"\n" for n in range(count)
    )


class Hub:
    """A data set "org/texts" with a branch "main"."""

    def __init__(self, server: WebServer) -> None:
        self.server, self.commits = server, 0
        self.files: dict[str, bytes] = {}

    def commit(self, large: bool = True, **changed: bytes) -> str:
        self.files |= {
            name.replace("__", "/").replace("_dot_", "."): it for name, it in changed.items()
        }
        self.commits += 1
        sha = f"{self.commits:040x}"
        siblings = []
        for name, data in self.files.items():
            blob = hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()
            digest = hashlib.sha256(data).hexdigest()
            pointer = {"sha256": digest, "size": len(data), "pointerSize": 130}
            row = {"rfilename": name, "size": len(data), "blobId": blob}
            siblings.append({**row, "lfs": pointer} if large else row)
            cdn = self.server.serve(f"/cdn/{digest}", Reply(data, etag='"other"'))
            moved = Reply(status=302, headers={"Location": f"{cdn}?X-Amz-Signature=1"})
            self.server.serve(f"/datasets/org/texts/resolve/{sha}/{name}", moved)
        answer = json.dumps({"id": "org/texts", "sha": sha, "siblings": siblings, "tags": []})
        reply = Reply(answer.encode(), headers={"Content-Type": "application/json"})
        self.server.serve("/api/datasets/org/texts/revision/main", reply)
        self.server.serve(f"/api/datasets/org/texts/revision/{sha}", reply)
        return sha


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with WebServer().running() as server:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        monkeypatch.setenv(KEPT_OFF, "1")  # as every command of Ingot is
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield Hub(server)


def fetch(home: Path, hub: Hub, force: bool = False, **fields: Any) -> Artifact:
    spec = {"name": "hub", "dataset": "org/texts", "endpoint": hub.server.url, **fields}
    config = FetchConfig.model_validate({**LOCAL, "hub": [spec]})
    request = BuildRequest(STAGE, config, {}, externals(config))
    return execute(request, Store(str(home)), force=force).artifact


def files(artifact: Artifact) -> dict[str, Path]:
    folder = artifact.data("files").folder() / "hub"
    return {p.relative_to(folder).as_posix(): p for p in folder.rglob("*.*")}


def test_files_come_from_the_commit_that_was_listed(tmp_path: Path, hub: Hub) -> None:
    sha = hub.commit(
        data__1_dot_parquet=parquet(0, 10), data__2_dot_parquet=parquet(10, 10), README_dot_md=b"#"
    )
    artifact = fetch(tmp_path, hub, files=["data/*.parquet"])
    assert {name: p.read_bytes() for name, p in files(artifact).items()} == {
        "data/1.parquet": parquet(0, 10), "data/2.parquet": parquet(10, 10),
    }  # fmt: skip
    assert artifact.facts["revision:hub"] == sha
    listed = artifact.data("listed").table().to_pylist()
    assert {row["revision"] for row in listed} == {sha}
    assert listed[0]["digest"] == f"sha256:{hashlib.sha256(parquet(0, 10)).hexdigest()}"
    asked = {a.path.partition("?")[0]: a.headers for a in hub.server.asked}
    assert (
        asked[f"/datasets/org/texts/resolve/{sha}/data/1.parquet"]["authorization"]
        == f"Bearer {TOKEN}"
    )
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes(), path


def test_a_new_commit_has_what_changed_fetched_alone(tmp_path: Path, hub: Hub) -> None:
    hub.commit(a_dot_parquet=parquet(0, 10), b_dot_parquet=parquet(10, 10))
    fetch(tmp_path, hub)
    sha = hub.commit(b_dot_parquet=parquet(20, 10), c_dot_parquet=parquet(30, 10))
    after = fetch(tmp_path, hub, force=True)
    timings = after.manifest.timings
    assert (timings.shards_built, timings.shards_adopted) == (3, 1), "the list, and two files"
    assert after.facts["revision:hub"] == sha
    assert set(files(after)) == {"a.parquet", "b.parquet", "c.parquet"}


def test_columns_are_renamed_and_rows_chosen_by_the_seed(tmp_path: Path, hub: Hub) -> None:
    hub.commit(
        a_dot_parquet=parquet(0, 1_000),
        b_dot_jsonl=lines(1_000),
        c_dot_jsonl_dot_gz=gzip.compress(lines(500)),
    )
    asked: dict[str, Any] = {"files": ["*.parquet", "*.jsonl*"], "columns": ["text=content", "id"]}
    artifact = fetch(tmp_path / "1", hub, row_share=0.2, seed=3, **asked)
    table = pq.read_table(files(artifact)["a.parquet"])
    assert table.column_names == ["text", "id"]
    assert 150 < table.num_rows < 250
    ids = table["id"].to_pylist()
    assert ids == sorted(ids)
    assert table["text"].to_pylist() == [f"text {n}" for n in ids]
    rows = [json.loads(line) for line in files(artifact)["b.jsonl"].read_text().splitlines()]
    assert 150 < len(rows) < 250
    assert [row["id"] for row in rows] != ids, "each file by itself"
    assert rows[0] == {"text": f"ü {rows[0]['id']}", "id": rows[0]["id"]}
    packed = gzip.decompress(files(artifact)["c.jsonl.gz"].read_bytes()).splitlines()
    assert 60 < len(packed) < 140
    again = fetch(tmp_path / "2", hub, row_share=0.2, seed=3, **asked)
    assert again.data("files").data_id == artifact.data("files").data_id
    other = fetch(tmp_path / "1", hub, row_share=0.2, seed=4, **asked)
    assert other.data("files").data_id != artifact.data("files").data_id
    (row, *_) = (
        r for r in artifact.data("fetched").table().to_pylist() if r["file"] == "a.parquet"
    )
    assert (
        row["digest"]
        == f"sha256:{hashlib.sha256(files(artifact)['a.parquet'].read_bytes()).hexdigest()}"
    )


def test_a_choice_of_rows_is_even_and_of_each_row_alone() -> None:
    shape = Shape({}, 0.3, 1)
    whole = chosen(shape, "f", 0, 100_000)
    assert abs(whole.mean() - 0.3) < 0.005
    halves = np.concatenate([chosen(shape, "f", 0, 41_000), chosen(shape, "f", 41_000, 59_000)])
    assert (whole == halves).all()
    larger = chosen(Shape({}, 0.5, 1), "f", 0, 100_000)
    assert (larger[whole]).all(), "a smaller share is among a larger"
    assert abs((whole[1:] & whole[:-1]).mean() - 0.09) < 0.005


def test_some_files_by_the_seed(tmp_path: Path, hub: Hub) -> None:
    hub.commit(**{f"f{n}_dot_parquet": parquet(n, 1) for n in range(8)})
    two = set(files(fetch(tmp_path, hub, max_files=2, seed=5)))
    three = set(files(fetch(tmp_path, hub, max_files=3, seed=5)))
    assert len(two) == 2
    assert two < three


def test_other_bytes_than_listed_and_other_columns_are_refused(tmp_path: Path, hub: Hub) -> None:
    sha = hub.commit(
        a_dot_parquet=parquet(0, 9), b_dot_parquet=b"PAR1 no", c_dot_parquet=parquet(0, 7)
    )
    other = Reply(parquet(1, 9))
    hub.server.serve(f"/datasets/org/texts/resolve/{sha}/a.parquet", other)
    artifact = fetch(tmp_path, hub, columns=["id"])
    reasons = {
        r["detail"].split(": ")[1].rpartition("/")[2]: r["reason"]
        for r in artifact.data("rejected").table().to_pylist()
    }
    assert reasons["b.parquet"] == "not_parquet"
    assert reasons["a.parquet"] in ("changed", "wrong_length")
    assert set(files(artifact)) == {"c.parquet"}
    with pytest.raises(
        NothingFetchedError, match="1 missing_column, 1 not_parquet, 1 wrong_length"
    ):
        fetch(tmp_path, hub, columns=["text"])
    small = hub.commit(large=False, a_dot_parquet=parquet(0, 9))
    hub.server.serve(
        f"/datasets/org/texts/resolve/{small}/a.parquet", Reply(parquet(0, 9)[:-1] + b"x")
    )
    with pytest.raises(NothingFetchedError, match="1 changed"):
        fetch(tmp_path, hub, files=["a.*"])


def test_a_data_set_that_is_not_there_is_told(tmp_path: Path, hub: Hub) -> None:
    def answer(code: str, status: int) -> Reply:
        return Reply(b"{}", status=status, headers={"X-Error-Code": code})

    url = "/api/datasets/org/texts/revision/main"
    told = {
        "there is no data set 'org/texts', or it is private": answer("RepoNotFound", 404),
        "has no revision 'main': name a branch": answer("RevisionNotFound", 404),
        "open to those alone who accepted its terms": answer("GatedRepo", 403),
        "answers 503 after 2 tries": Reply(status=503),
    }
    for message, reply in told.items():
        hub.server.serve(url, reply)
        with pytest.raises(PlaceNotListedError, match=message):
            fetch(tmp_path, hub)
    hub.commit(README_dot_md=b"#")
    with pytest.raises(PlaceNotListedError, match=r"no file that fits \*\.parquet; .*README\.md"):
        fetch(tmp_path, hub)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"dataset": "a/b/c"}, "pattern"),
        ({"columns": ["text=a", "text=b"]}, "two columns get one name"),
        ({"columns": ["text="]}, "a column's name, or new=old"),
        ({"row_share": 0}, "greater than 0"),
    ],
)
def test_wrong_fields_of_a_data_set_are_told(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        FetchConfig.model_validate({"hub": [{"name": "h", "dataset": "org/texts", **fields}]})


def test_who_keeps_off_the_hub_is_obeyed(
    tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(KEPT_OFF)
    with pytest.raises(PlaceNotListedError, match="HF_HUB_OFFLINE is set, so the hub is not asked"):
        fetch(tmp_path, hub)
    assert not hub.server.asked


def test_a_hub_out_of_reach_is_told_in_a_line(tmp_path: Path, hub: Hub) -> None:
    with pytest.raises(PlaceNotListedError, match=r"does not answer \(.*HF_ENDPOINT to a mirror"):
        fetch(tmp_path, hub, endpoint="http://127.0.0.1:9")
