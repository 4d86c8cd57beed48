"""Every file is read once, and what is made of it is what reading it with all known would make."""

from __future__ import annotations

import gzip
import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llm.corpus.identity import doc_id
from llm.corpus.source.open import Origin, read_records
from llm.corpus.source.records import Page, Record, Rejected, Removed
from tasks.engine.identity.snapshot import Item
from tasks.engine.run.execute import BuildRequest, execute
from tasks.engine.shards.unit import Emitted, Kept, Unit
from tasks.engine.stage.out import Out
from tasks.engine.store.artifact import Artifact, Inputs
from tasks.engine.store.store import Store
from tasks.stages import source
from tasks.stages.source_config import SourceConfig
from tasks.stages.source_items import all_items, externals, origin_of
from tests.tasks.stages.test_source import SHARED, capture, rows

LIMIT = 10_000_000


def request(specs: Sequence[Mapping[str, Any]], stage: Any = source.STAGE) -> BuildRequest:
    config = SourceConfig.model_validate({"workers": 1, "sources": specs})
    return BuildRequest(stage, config, {}, externals(config))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each file was decompressed and parsed."""
    counted: Counter[str] = Counter()

    def count(path: Path, name: str, origin: Origin, limit: int) -> Iterator[Record]:
        counted[f"{origin.name}/{name}"] += 1
        return read_records(path, name, origin, limit)

    monkeypatch.setattr(source, "read_records", count)
    return counted


# -- reading twice, for comparison ---------------------------------------------------------------


def list_alone(unit: Unit, **arguments: Any) -> Iterator[Emitted]:
    for emitted in source.list_captures(unit, **arguments):
        if not isinstance(emitted, Kept):
            yield emitted


class ReadingTwice:
    """An `Out` for which nothing is kept."""

    def __init__(self, out: Out) -> None:
        self._out = out

    def map(self, function: Any, *args: Any, from_kept: bool = False, **named: Any) -> None:
        twice = list_alone if function is source.list_captures else function
        self._out.map(twice, *args, **named)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._out, name)


def run_twice(config: SourceConfig, inputs: Inputs, out: Out) -> None:
    source.run(config, inputs, ReadingTwice(out))  # type: ignore[arg-type]


TWICE = replace(source.STAGE, run=run_twice)


# -- what ought to come out ----------------------------------------------------------------------


def expected(config: SourceConfig, items: Sequence[Item]) -> dict[str, list[tuple[Any, ...]]]:
    """Rows by output, in order of files and records: by the words of docs/stages/source.md."""
    specs = {spec.name: spec for spec in config.sources}
    read: dict[str, list[Record]] = {}
    holders: defaultdict[str, list[tuple[bool, Any, str]]] = defaultdict(list)
    for item in items:
        name, _, file = item.name.partition("/")
        origin = Origin(**origin_of(specs[name]))
        read[item.name] = list(read_records(Path(item.path), file, origin, LIMIT))
        first: dict[str, Any] = {}
        for record in read[item.name]:
            if isinstance(record, Page):
                first.setdefault(doc_id(name, record.url, record.payload), record.fetched_at)
        for identity, when in first.items():
            holders[identity].append((when is None, when, item.name))
    found: dict[str, list[tuple[Any, ...]]] = {"pages": [], "removed": [], "rejected": []}
    for unit, records in read.items():
        name, _, file = unit.partition("/")
        written: set[str] = set()
        for record in records:
            if isinstance(record, Page):
                identity = doc_id(name, record.url, record.payload)
                dated = [holder for holder in holders[identity] if not holder[0]]
                keeper = min(dated or holders[identity])[2]
                if keeper == unit and identity not in written:
                    written.add(identity)
                    found["pages"].append((identity, record.url, record.payload, file))
                else:
                    kept = keeper.partition("/")[2]
                    detail = f"{record.url} ({file}: kept from {kept})"
                    found["removed"].append((identity, "repeated_capture", None, detail))
            else:
                identity = doc_id(name, record.url, record.key)
                if isinstance(record, Rejected):
                    found["rejected"].append((identity, record.reason, record.detail))
                else:
                    assert isinstance(record, Removed)
                    where = f"{record.url} ({record.detail})" if record.detail else record.url
                    found["removed"].append((identity, record.reason, record.value, where))
    return found


def made_of(artifact: Artifact) -> dict[str, list[tuple[Any, ...]]]:
    pages = [
        (row["doc_id"], row["url"], row["html"], row["provenance"]["file"])
        for row in rows(artifact, "pages")
    ]
    removed = [
        (row["doc_id"], row["reason"], row["value"], row["detail"])
        for row in rows(artifact, "removed")
    ]
    rejected = [(r["doc_id"], r["reason"], r["detail"]) for r in rows(artifact, "rejected")]
    return {"pages": pages, "removed": removed, "rejected": rejected}


def write_crawls(folder: Path, seed: int, files: int, records: int) -> None:
    """Archives and tables of one small set of pages, of interleaved dates, some in several."""
    draw = random.Random(seed)
    folder.mkdir(parents=True)
    for number in range(files):
        archive, lines = [], []
        for _ in range(draw.randint(1, records)):
            which, day = draw.randint(0, records * files // 2), draw.randint(1, 28)
            body = f"<html><p>{'word ' * (which % 40)}{which}</p></html>".encode()
            record = gzip.decompress(capture(f"http://x.org/{which}", body, day))
            if draw.random() < 0.1:
                record = record.replace(b"200 OK", b"404 Not Found")
            archive.append(gzip.compress(record, mtime=0))
            row = {"url": f"http://x.org/{which}", "text": body.decode()}
            if draw.random() < 0.5:
                row["date"] = f"2024-05-{day:02}"
            lines.append(json.dumps(row if draw.random() < 0.9 else {"body": "no text"}))
        (folder / f"{number}.warc.gz").write_bytes(b"".join(archive))
        (folder / f"{number}.jsonl").write_text("\n".join(lines))
        with (folder / f"{number}.parquet").open("wb") as stream:
            found = [json.loads(line) for line in lines]
            columns = {name: [row.get(name) for row in found] for name in ("url", "text", "date")}
            pq.write_table(pa.table(columns), stream)
    for name in ("0.warc.gz", "0.jsonl", "0.parquet"):
        whole = folder / name.replace("0", "whole", 1)
        whole.write_bytes((folder / name).read_bytes())
    (folder / "page.html").write_text("<html>of a kind that is not listed</html>")


@pytest.mark.parametrize(("seed", "files", "records"), [(1, 3, 12), (2, 2, 700), (3, 40, 1)])
def test_repeats_leave_as_if_all_had_been_known(
    tmp_path: Path, reads: Counter[str], seed: int, files: int, records: int
) -> None:
    for number, name in enumerate(("a", "b")):
        write_crawls(tmp_path / name, seed + 10 * number, files, records)
    order = request([{"name": name, "paths": [str(tmp_path / name)]} for name in ("a", "b")])
    made = execute(order, Store(str(tmp_path / "home"))).artifact
    items = all_items(order.config, Inputs({}, order.externals))  # type: ignore[arg-type]
    assert reads == {item.name: 1 for item in items}
    ought = expected(order.config, items)  # type: ignore[arg-type]
    assert made.data("repeats").rows > files
    assert len({row["unit"] for row in rows(made, "repeats")}) > files
    found = made_of(made)
    # Parts are in order of their names, which are not quite those of the files.
    for output, wanted in ought.items():
        assert sorted(map(repr, found[output])) == sorted(map(repr, wanted))
    for output in ("pages", "removed"):
        by_file: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
        for part in made.data(output).parts:
            ids = made.data(output).part_table(part, ["doc_id"])["doc_id"].to_pylist()
            by_file[part.path] = ids
        sequences = [row[0] for row in ought[output]]
        assert all(_is_run(ids, sequences) for ids in by_file.values())
    twice = execute(replace(order, stage=TWICE), Store(str(tmp_path / "twice"))).artifact
    assert_equal(made, twice)
    assert max(reads.values()) == 3


def _is_run(part: Sequence[Any], sequence: Sequence[Any]) -> bool:
    """Whether the ids of a part follow each other so in the sequence."""
    return any(
        sequence[start : start + len(part)] == list(part)
        for start, first in enumerate(sequence)
        if first == part[0]
    )


def assert_equal(one: Artifact, other: Artifact) -> None:
    assert one.manifest.outputs.keys() == other.manifest.outputs.keys()
    for output in one.manifest.outputs:
        assert one.data(output).data_id == other.data(output).data_id
    assert one.facts == other.facts
    assert one.manifest.totals == other.manifest.totals


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared test data is not beside the checkout")
def test_real_archives_come_out_as_read_twice(tmp_path: Path, reads: Counter[str]) -> None:
    patterns = [str(SHARED / "warc" / "**" / pattern) for pattern in ("*.arc*", "*.warc*")]
    order = request([{"name": "web", "kind": "warc", "paths": patterns}])
    made = execute(order, Store(str(tmp_path / "home"))).artifact
    assert set(reads.values()) == {1}
    assert made.data("repeats").rows > 10
    twice = execute(replace(order, stage=TWICE), Store(str(tmp_path / "twice"))).artifact
    assert_equal(made, twice)


def large(word: str, day: int, pages: range) -> bytes:
    """An archive that is too large to be listed together with others."""
    draw = random.Random(word)
    bodies = [f"{number} {draw.randbytes(4000).hex()}".encode() for number in pages]
    return b"".join(
        capture(f"http://x.org/{number}", b"<html>" + body, day)
        for number, body in zip(pages, bodies, strict=True)
    )


def test_a_later_crawl_is_read_once_and_nothing_else(tmp_path: Path, reads: Counter[str]) -> None:
    data, store = tmp_path / "data", Store(str(tmp_path / "home"))
    data.mkdir()
    specs = [{"name": "web", "paths": [str(data)]}]
    for number in range(3):
        pages = range(number * 100, number * 100 + 100)
        (data / f"{number}.warc.gz").write_bytes(large(str(number), 5, pages))
    execute(request(specs), store)
    assert reads == {f"web/{number}.warc.gz": 1 for number in range(3)}
    reads.clear()
    second = large("1", 9, range(100, 200)) + large("new", 9, range(900, 950))
    (data / "second.warc.gz").write_bytes(second)
    made = execute(request(specs), store).artifact
    assert reads == {"web/second.warc.gz": 1}
    assert (made.data("pages").rows, made.data("repeats").rows) == (350, 100)
    reads.clear()
    # An earlier capture of what an old file has: that one is not kept any more, so it is read.
    (data / "found-late.warc.gz").write_bytes(large("2", 1, range(200, 300)))
    made = execute(request(specs), store).artifact
    assert reads == {"web/found-late.warc.gz": 1, "web/2.warc.gz": 1}
    assert {row["unit"] for row in rows(made, "repeats")} == {"web/second.warc.gz", "web/2.warc.gz"}
    fresh = execute(request(specs), Store(str(tmp_path / "fresh"))).artifact
    assert_equal(made, fresh)
