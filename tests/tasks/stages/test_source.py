import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from pydantic import ValidationError

from llm.corpus.identity import doc_id
from tasks.engine.errors import ExternalInputError
from tasks.engine.run.execute import BuildRequest, execute
from tasks.engine.store.artifact import Artifact
from tasks.engine.store.store import Store
from tasks.panels.panels import Samples, Table
from tasks.stages.source import STAGE, EmptySourceError
from tasks.stages.source_config import SourceConfig
from tasks.stages.source_items import externals

SHARED = Path(__file__).resolve().parents[3].parent / "shared" / "data"


def build(home: Path, sources: list[dict[str, Any]], **fields: Any) -> Artifact:
    config = SourceConfig.model_validate({"workers": 1, "sources": sources, **fields})
    order = BuildRequest(STAGE, config, {}, externals(config))
    return execute(order, Store(str(home))).artifact


def build_id(sources: list[dict[str, Any]]) -> str:
    config = SourceConfig.model_validate({"sources": sources})
    return BuildRequest(STAGE, config, {}, externals(config)).build_id


def rows(artifact: Artifact, output: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = artifact.data(output).table().to_pylist()
    return found


def capture(url: str, body: bytes, day: int) -> bytes:
    block = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + body
    head = (
        f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {url}\r\n"
        f"WARC-Date: 2024-05-{day:02}T00:00:00Z\r\nWARC-Record-ID: <urn:{url}:{day}>\r\n"
        f"Content-Type: application/http\r\nContent-Length: {len(block)}\r\n\r\n"
    )
    return gzip.compress(head.encode() + block + b"\r\n\r\n", mtime=0)


A, B, C = (f"<html><p>{word}</p></html>".encode() for word in ("alpha", "beta", "gamma"))


def test_every_kind_becomes_pages_with_provenance(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "a.warc.gz").write_bytes(capture("http://x.org/", A, 1))
    (data / "b.jsonl").write_text('{"text": "one", "url": "http://y.org"}\n{"body": "two"}\n')
    (data / "c.html").write_bytes(B)
    (data / "d.md").write_text("# Title\n")
    artifact = build(
        tmp_path / "home",
        [
            {"name": "mixed", "paths": [str(data)], "license": "CC0-1.0"},
            {"name": "docs", "kind": "pydocs", "distributions": ["xxhash"]},
        ],
    )
    pages = {row["url"]: row for row in rows(artifact, "pages")}
    assert {"http://x.org/", "http://y.org", "file:///mixed/c.html", "file:///mixed/d.md"} < set(
        pages
    )
    page = pages["http://x.org/"]
    assert page["doc_id"] == doc_id("mixed", "http://x.org/", A)
    assert page["html"] == A
    assert page["provenance"]["file"] == "a.warc.gz"
    assert page["provenance"]["license"] == "CC0-1.0"
    documented = pages["pydocs://xxhash/README"]
    assert documented["provenance"]["distribution"] == "xxhash"
    assert documented["provenance"]["license"].startswith("BSD")
    (rejected,) = rows(artifact, "rejected")
    assert rejected["reason"] == "missing_field"
    assert "b.jsonl, line 2" in rejected["detail"]
    totals = artifact.manifest.totals
    assert totals.rows_in == totals.kept + sum(totals.removed.values()) + 1


def test_a_repeated_capture_is_kept_once_the_earliest(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "1.warc.gz").write_bytes(
        capture("http://x.org/a", A, 5) + capture("http://x.org/a", A, 6)
    )
    (data / "2.warc.gz").write_bytes(
        capture("http://x.org/a", A, 2) + capture("http://x.org/b", B, 2)
    )
    (data / "3.warc.gz").write_bytes(capture("http://x.org/a", C, 3))
    artifact = build(tmp_path / "home", [{"name": "web", "paths": [str(data)]}])
    pages = rows(artifact, "pages")
    found = sorted((row["url"], row["html"], row["provenance"]["file"]) for row in pages)
    assert found == [
        ("http://x.org/a", A, "2.warc.gz"),
        ("http://x.org/a", C, "3.warc.gz"),
        ("http://x.org/b", B, "2.warc.gz"),
    ]
    removed = rows(artifact, "removed")
    assert [row["reason"] for row in removed] == ["repeated_capture"] * 2
    assert artifact.manifest.totals.rows_in == 5


def test_a_new_file_leaves_the_parts_of_the_others_alone(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for number in range(4):
        body = f"<html>{number}</html>".encode()
        (data / f"{number}.warc.gz").write_bytes(capture(f"http://x.org/{number}", body, 9))
    sources = [{"name": "web", "paths": [str(data / "*.warc.gz")]}]
    before = {part.path: part.sha256 for part in build(tmp_path / "h", sources).data("pages").parts}
    again = capture("http://x.org/2", b"<html>2</html>", 20)  # a later repeat of what is known
    (data / "00.warc.gz").write_bytes(again + capture("http://x.org/new", C, 20))
    artifact = build(tmp_path / "h", sources)
    after = {part.path: part.sha256 for part in artifact.data("pages").parts}
    assert len(after) == 5
    assert before.items() < after.items()
    assert artifact.manifest.timings.shards_built == 2  # the new file: listed, then read
    third = capture("http://x.org/3", b"<html>3</html>", 21)
    (data / "01.warc.gz").write_bytes(third + capture("http://x.org/newer", A, 21))
    artifact = build(tmp_path / "h", sources)
    assert after.items() < {p.path: p.sha256 for p in artifact.data("pages").parts}.items()
    assert artifact.manifest.timings.shards_built == 2  # nor again those with repeats of their own


def test_another_source_leaves_the_files_of_the_others_alone(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for number in range(6):
        body = f"<html>{number}</html>".encode()
        (data / f"{number}.warc.gz").write_bytes(capture(f"http://x.org/{number}", body, 9))
    (tmp_path / "one.html").write_bytes(A)
    web = {"name": "web", "paths": [str(data / "*.warc.gz")]}
    own = {"name": "own", "paths": [str(tmp_path / "one.html")]}
    build(tmp_path / "h", [web])
    artifact = build(tmp_path / "h", [web, own])
    assert artifact.manifest.timings.shards_built == 1
    licensed = build(tmp_path / "h", [web, {**own, "license": "MIT"}])
    assert licensed.manifest.timings.shards_built == 1


def test_the_same_bytes_whatever_the_number_of_workers(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for number in range(5):
        lines = [{"text": f"text {number * 7 + i} {i % 3}"} for i in range(30)]
        (data / f"{number}.jsonl").write_text("\n".join(map(json.dumps, lines)))
    sources = [{"name": "rows", "paths": [str(data)]}]
    one = build(tmp_path / "one", sources, workers=1)
    three = build(tmp_path / "three", sources, workers=3)
    for output in one.manifest.outputs:
        assert one.data(output).data_id == three.data(output).data_id


def test_identity_knows_contents_not_places(tmp_path: Path) -> None:
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.txt").write_text("text")
    here, there = (
        build_id([{"name": "s", "paths": [str(tmp_path / folder)]}]) for folder in ("here", "there")
    )
    assert here == there
    (tmp_path / "there" / "a.txt").write_text("other")
    assert build_id([{"name": "s", "paths": [str(tmp_path / "there")]}]) != here
    assert build_id([{"name": "t", "paths": [str(tmp_path / "here")]}]) != here


def _parquet(path: Path, texts: list[str]) -> None:
    with path.open("wb") as stream:
        pq.write_table(pa.table({"text": pa.array(texts, pa.string())}), stream)


def test_a_file_of_nothing_is_a_row(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    empty = {
        "0.warc": b"", "1.warc.gz": gzip.compress(b"") * 3, "2.warc": b"\r\n\0\0", "3.jsonl": b"",
        "4.jsonl": b"\n  \n\r\n", "5.jsonl.gz": gzip.compress(b"\n"), "6.arc": b"\n",
        "7.jsonl.zst": zstandard.compress(b""),
    }  # fmt: skip
    for name, content in empty.items():
        (data / name).write_bytes(content)
    _parquet(data / "8.parquet", [])
    (data / "9.txt").write_bytes(b"")
    (data / "good.txt").write_text("text")
    artifact = build(tmp_path / "home", [{"name": "s", "paths": [str(data)]}])
    found = sorted(
        (row["detail"].split(" ")[0], row["reason"]) for row in rows(artifact, "removed")
    )
    assert found == [
        *((name, "empty_file") for name in sorted([*empty, "8.parquet"])),
        ("file:///s/9.txt", "empty_body"),
    ]
    assert artifact.data("pages").rows == 1


def test_one_damaged_file_of_any_kind_fails_nothing(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    sound = capture("http://x.org/", A, 1)
    plain = gzip.decompress(sound)
    long = plain.replace(b"Content-Length: ", b"Content-Length: " + b"9" * 5000)
    arc = b"http://x.org/ 1.2.3.4 20240101000000 text/html \xc2\xb2\n" + plain
    damaged = {
        "1.warc": long, "2.warc.gz": gzip.compress(long), "3.arc": arc, "4.parquet": b"PAR1 no",
        "5.jsonl": b'{"\\ud800": 1}\n{"text": "\xff"}\n{"text": ' + b"9" * 5000 + b"}",
        "6.html.gz": sound[:40], "7.txt": bytes(range(256)) * 9, "9.warc": b"no archive",
        "8.warc.zst": b"\x28\xb5\x2f\xfd??",
    }  # fmt: skip
    for name, content in damaged.items():
        (data / name).write_bytes(content)
    with (data / "10.parquet").open("wb") as stream:
        bad = pa.array([b"good", b"caf\xe9"]).view(pa.string())
        pq.write_table(pa.table({"text": bad}), stream)
    (data / "good.txt").write_text("text")
    artifact = build(tmp_path / "home", [{"name": "s", "paths": [str(data)]}])
    totals = artifact.manifest.totals
    told = {row["detail"].split(",")[0].split(":")[0] for row in rows(artifact, "rejected")}
    assert told == {*damaged, "10.parquet"}
    assert totals.kept == 2
    assert totals.rows_in == totals.kept + sum(totals.removed.values()) + sum(
        totals.rejected.values()
    )


def test_names_that_are_not_utf8_are_read_and_shown(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    raw = os.fsencode(data) + b"/caf\xe9"
    contents = {
        b".warc.gz": capture("http://x.org/", A, 1), b".jsonl": b'{"text": "row"}', b".html": B,
        b".txt": b"words", b".arc": b"http://y.org/ 1.2.3.4 20240101000000 text/html x\n",
    }  # fmt: skip
    try:
        for ending, content in contents.items():
            Path(os.fsdecode(raw + ending)).write_bytes(content)
    except OSError:
        pytest.skip("this file system takes only names in UTF-8")
    _parquet(Path(os.fsdecode(raw + b".parquet")), ["cell"])
    artifact = build(tmp_path / "home", [{"name": "s", "paths": [str(data)]}], workers=2)
    files = sorted(row["provenance"]["file"] for row in rows(artifact, "pages"))
    assert files == [
        f"caf\\xe9.{ending}" for ending in ("html", "jsonl", "parquet", "txt", "warc.gz")
    ]
    assert "file:///s/caf%5Cxe9.html" in {row["url"] for row in rows(artifact, "pages")}
    (lost,) = rows(artifact, "rejected")
    assert lost["detail"].startswith("caf\\xe9.arc, byte 0")


def test_an_empty_source_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("\n\n")
    with pytest.raises(EmptySourceError, match=r"no page in 1 file\(s\) of rows.*1 as empty_file"):
        build(tmp_path / "home", [{"name": "rows", "paths": [str(tmp_path / "a.jsonl")]}])


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"paths": ["nowhere/*.warc.gz"]}, r"sources\[s\]\.paths.*matches no file"),
        ({"paths": ["{here}/a.xyz"]}, r"sources\[s\].*'s/a.xyz' does not say.*set `kind`"),
        ({"kind": "pydocs", "distributions": ["no-such"]}, "'no-such' is not installed"),
    ],
)
def test_what_is_missing_is_named_at_plan_time(
    tmp_path: Path, source: dict[str, Any], message: str
) -> None:
    (tmp_path / "a.xyz").write_text("?")
    paths = [path.format(here=tmp_path) for path in source.get("paths", [])]
    config = SourceConfig.model_validate({"sources": [{"name": "s", **source, "paths": paths}]})
    with pytest.raises(ExternalInputError, match=message):
        externals(config)


@pytest.mark.parametrize(
    "sources",
    [
        [{"name": "a", "paths": ["x"]}, {"name": "a", "paths": ["y"]}],
        [{"name": "a/b", "paths": ["x"]}],
        [{"name": "a"}],
        [{"name": "a", "kind": "pydocs", "paths": ["x"]}],
        [{"name": "a", "kind": "warc", "paths": ["x"], "distributions": ["numpy"]}],
        [{"name": "a", "paths": ["x"], "colour": "red"}],
    ],
)
def test_configs_that_mean_nothing_are_refused(sources: list[dict[str, Any]]) -> None:
    with pytest.raises(ValidationError):
        SourceConfig.model_validate({"sources": sources})


def test_planning_needs_no_heavy_import() -> None:
    code = (
        "import sys, tasks.stages.source; "
        "print([m for m in ('torch', 'fastwarc', 'resiliparse', 'docutils', 'markdown_it') "
        "if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared test data is not beside the checkout")
def test_all_shared_archives_add_up(tmp_path: Path) -> None:
    patterns = [str(SHARED / "warc" / "**" / pattern) for pattern in ("*.arc*", "*.warc*")]
    artifact = build(tmp_path / "home", [{"name": "web", "kind": "warc", "paths": patterns}])
    totals = artifact.manifest.totals
    assert totals.rows_in == totals.kept + sum(totals.removed.values()) + sum(
        totals.rejected.values()
    )
    assert totals.kept > 140
    assert set(totals.rejected) == {
        "bad_content_encoding", "bad_http", "bad_record", "truncated_record",
    }  # fmt: skip
    panels = {panel.title: panel for panel in STAGE.panels(artifact)}
    table = panels["Sources"]
    assert isinstance(table, Table)
    (row,) = table.rows
    assert row[1] == totals.rows_in
    assert row[2] == totals.kept
    samples = panels["Pages"]
    assert isinstance(samples, Samples)
    assert all(item.text for item in samples.items)
    part = artifact.data("pages").parts[0]
    assert pq.read_schema(artifact.data("pages").path(part)).names == [
        "doc_id", "url", "fetched_at", "content_type", "charset", "robots", "html", "source",
        "provenance",
    ]  # fmt: skip
