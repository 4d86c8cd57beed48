"""dedup, file after file: what a new one costs, and that it ends where one pass would have."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import xxhash

from llm.corpus.source.pages import PAGES
from tasks.engine.config import ShardedConfig
from tasks.engine.declare import Input, Output
from tasks.engine.shards.unit import Emitted, Unit
from tasks.engine.stage.out import Out
from tasks.engine.stage.stage import Stage
from tasks.engine.store.artifact import Artifact, Inputs
from tasks.stages import decontaminate, dedup
from tests.tasks.documents_stage import CLEAN, built_on, no_panels

FIRST = datetime(2024, 1, 1, tzinfo=UTC)


def _words(start: int, stop: int) -> str:
    return " ".join(f"word{number}" for number in range(start, stop))


class PagesConfig(ShardedConfig):
    pass


def dated_part(unit: Unit) -> Iterator[Emitted]:
    """Pages of which the source is the day they were fetched on, if it is a number."""
    table = unit.table(["doc_id", "source"])
    days = [int(day) if day else None for day in table.column("source").to_pylist()]
    dates = [None if day is None else FIRST + timedelta(days=day) for day in days]
    yield "pages", pa.table([table.column("doc_id"), dates], schema=DATES)


def dated(config: PagesConfig, inputs: Inputs, out: Out) -> None:
    out.map(dated_part, over="documents")
    rows = inputs["documents"].rows
    out.conserve(rows_in=rows, kept=rows)


DATES = pa.schema([PAGES.field("doc_id"), PAGES.field("fetched_at")])
SOURCE = Stage(
    name="source",
    version=1,
    description="Dates.",
    config=PagesConfig,
    inputs={"documents": Input(("clean.documents",), "Documents.")},
    outputs={"pages": Output("Dates.", DATES)},
    run=dated,
    panels=no_panels,
)


def _id(name: str) -> str:
    return xxhash.xxh3_128_hexdigest(name.encode())


def _write(folder: Path, files: Mapping[str, Sequence[tuple[str, str, str]]]) -> Path:
    """A JSON lines file each of (name, text, source)."""
    folder.mkdir(exist_ok=True)
    for file, rows in files.items():
        lines = [
            json.dumps(
                {
                    "doc_id": _id(name),
                    "url": f"https://example.org/{name}",
                    "text": text,
                    "source": source,
                    "text_chars": len(text),
                }
            )
            for name, text, source in rows
        ]
        (folder / file).write_text("".join(line + "\n" for line in lines))
    return folder


def _build(home: Path, corpus: Path, hold: tuple[str, ...] = (), **fields: Any) -> Artifact:
    configs = {"dedup": dedup.DedupConfig(workers=1, **fields)}
    if "first_seen" in fields.get("keep", ()):
        configs["source"] = PagesConfig(workers=1)
    stages = (CLEAN, SOURCE, dedup.STAGE)
    return built_on(home, stages, corpus, configs, hold=hold)["dedup"].artifact


def _kept(artifact: Artifact) -> list[str]:
    urls = artifact.data("documents").table(["url"]).column("url").to_pylist()
    return sorted(url.rpartition("/")[2] for url in urls)


def test_a_new_file_rewrites_the_parts_whose_documents_it_concerns(tmp_path: Path) -> None:
    files = {
        f"part{part}.jsonl": [
            (f"own{part}{n}", _words(1000 * part + 100 * n, 1000 * part + 100 * n + 60), "")
            for n in range(5)
        ]
        for part in range(3)
    }
    home, corpus = tmp_path / "home", _write(tmp_path / "corpus", files)
    before = _build(home, corpus)
    # Of two that are alike the one with the smaller doc_id is kept.
    copy = next(name for name in map("copy{}".format, range(99)) if _id(name) < _id("own00"))
    _write(corpus, {"part3.jsonl": [("new", _words(9000, 9060), ""), (copy, _words(0, 60), "")]})
    after = _build(home, corpus)
    timings = after.manifest.timings
    # Signed: the new part. Split: that, and part0, where a document is no longer kept.
    assert (timings.shards_built, timings.shards_adopted) == (3, 5)
    assert set(_kept(after)) == {*_kept(before), "new", copy} - {"own00"}
    same = {part.sha256 for part in before.data("decisions").parts}
    assert len(same & {part.sha256 for part in after.data("decisions").parts}) == 2


def test_what_is_like_a_document_that_is_held_rewrites_no_part_but_its_own(tmp_path: Path) -> None:
    first = [(f"own{n}", _words(100 * n, 100 * n + 60), "") for n in range(5)]
    home, corpus = tmp_path / "home", _write(tmp_path / "corpus", {"a.jsonl": first})
    before = _build(home, corpus, ("dedup",))
    # Copies of some, and near-duplicates of others that are kept as well.
    later = [(f"copy{n}", _words(100 * n, 100 * n + 60), "") for n in range(3)]
    later += [(f"near{n}", _words(100 * n, 100 * n + 75), "") for n in range(3, 5)]
    after = _build(home, _write(corpus, {"b.jsonl": later}), ("dedup",))
    timings = after.manifest.timings
    assert (timings.shards_built, timings.shards_adopted) == (2, 2)
    assert set(_kept(after)) == {*_kept(before), "near3", "near4"}
    assert after.data("clusters").rows == 10


@pytest.mark.parametrize("bucket_cap", [2, 64])
def test_what_is_held_stays_though_a_later_one_contains_it(tmp_path: Path, bucket_cap: int) -> None:
    home, corpus = tmp_path / "home", tmp_path / "corpus"
    fields = {"keep": ["longest"], "containment": 0.9, "bucket_cap": bucket_cap}
    batches = [
        [("part0", _words(0, 60), ""), ("part1", _words(500, 560), "")],
        [("all0", _words(0, 95), ""), ("all1", _words(500, 595), "")],
        [("own", _words(900, 950), ""), ("bit0", _words(3, 58), ""), ("other0", _words(0, 62), "")],
    ]
    for number, batch in enumerate(batches):
        _write(corpus, {f"{number}.jsonl": batch})
        grown = _build(home, corpus, ("dedup",), **fields)
    assert _kept(grown) == ["all0", "all1", "own", "part0", "part1"]
    # Looser values bring some back, and none goes for it; what stricter ones ask for is done.
    higher = _build(home, corpus, ("dedup",), **fields, threshold=0.99)
    assert {*_kept(grown)} <= {*_kept(higher)}
    lower = _build(home, corpus, ("dedup",), **fields, threshold=0.6)
    assert _kept(lower) == ["all0", "all1", "own"]
    assert _kept(_build(home, corpus, **fields)) == ["all0", "all1", "own"]


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(1, 5))]
)
def test_batches_in_any_order_end_where_one_pass_does(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    texts = []
    for number in range(60):
        base = 200 * chance.randrange(8)
        text = _words(base + chance.randrange(30), base + 100 + chance.randrange(30))
        texts.append((f"d{number}", text, str(chance.randrange(9))))
    names = [f"{number:03}.jsonl" for number in chance.sample(range(1000), 4)]
    files = {name: texts[place::4] for place, name in enumerate(names)}
    fields = {"validation_fraction": 0.4, "containment": 0.9, "cluster_sizes": True}
    corpus = tmp_path / "corpus"
    order = chance.sample(list(files), len(files))
    for batch in (order[:1], order[1:]) if not seed else (order[:2], order[2:3], order[3:]):
        _write(corpus, {name: files[name] for name in batch})
        grown = _build(tmp_path / "grown", corpus, **fields)
    fresh = _build(tmp_path / "fresh", corpus, **fields)
    assert grown.manifest.timings.shards_adopted > 0
    assert grown.manifest.outputs == fresh.manifest.outputs
    facts = [{**made.facts, "search": {**made.facts["search"]}} for made in (grown, fresh)]
    known = [found["search"].pop("known") for found in facts]
    assert facts[0] == facts[1]
    assert known[0] > known[1] == 0  # what was compared before is not compared again
    assert 0 < len(_kept(grown)) < len(texts)


def test_the_one_that_was_fetched_first_is_kept(tmp_path: Path) -> None:
    rows = [
        ("late", _words(0, 200), "9"),
        ("early", _words(2, 200), "1"),
        ("never", _words(1, 201), ""),
        ("other", _words(500, 600), "5"),
    ]
    corpus = _write(tmp_path / "corpus", {"part.jsonl": rows})
    keep = ["first_seen", "longest", "doc_id"]
    artifact = _build(tmp_path / "home", corpus, keep=keep)
    assert artifact.facts["keep_order"] == keep
    assert _kept(artifact) == ["early", "other"]


def test_kept_documents_have_the_size_of_their_cluster(tmp_path: Path) -> None:
    rows = [
        ("whole", _words(0, 200), ""),
        ("again", _words(0, 199), ""),
        ("half", _words(20, 150), ""),
        ("alone", _words(500, 600), ""),
    ]
    corpus = _write(tmp_path / "corpus", {"part.jsonl": rows})
    artifact = _build(tmp_path / "home", corpus, cluster_sizes=True, containment=0.95)
    table = artifact.data("documents").table(["url", "cluster_size"]).to_pylist()
    sizes = {row["url"].rpartition("/")[2]: row["cluster_size"] for row in table}
    assert sizes == {"whole": 3, "alone": 1}
    removed = artifact.manifest.totals.removed
    assert removed == {"near": 1, "contained": 1}
    pairs = artifact.data("pairs").table().to_pylist()
    contained = [row for row in pairs if row["rule"] == "contained"]
    assert [row["containment"] for row in contained] == [1.0, 1.0]  # in both of the others
    assert sum(row["kept_doc_id"] is not None for row in contained) == 1
    # Whoever reads the documents takes the columns it knows.
    stages = (CLEAN, dedup.STAGE, decontaminate.STAGE)
    configs = {
        "dedup": dedup.DedupConfig(workers=1, cluster_sizes=True, containment=0.95),
        "decontaminate": decontaminate.DecontaminateConfig(workers=1),
    }
    done = built_on(tmp_path / "home", stages, corpus, configs)["decontaminate"].artifact
    assert done.data("documents").rows == 2


def test_what_was_kept_stays_and_stays_on_its_side(tmp_path: Path) -> None:
    chance = random.Random(4)
    first = [(f"old{n}", _words(100 * n, 100 * n + 60), "") for n in range(30)]
    # Longer, so kept before the old ones by the keep order; some only as alike as a side is.
    later = [(f"new{n}", _words(100 * n, 100 * n + chance.choice((64, 80))), "") for n in range(30)]
    for hold in ((), ("dedup",)):
        home, corpus = tmp_path / f"home{len(hold)}", tmp_path / f"corpus{len(hold)}"
        fields: dict[str, Any] = {"validation_fraction": 0.5, "keep": ["longest", "doc_id"]}
        before = _build(home, _write(corpus, {"a.jsonl": first}), hold, **fields)
        after = _build(home, _write(corpus, {"b.jsonl": later}), hold, **fields)
        sides = [
            {row["url"]: row["split"] for row in each.data("documents").table().to_pylist()}
            for each in (before, after)
        ]
        assert len(after.data("documents").table()) > len(before.data("documents").table())
        assert (sides[0].items() <= sides[1].items()) is bool(hold)
        by_group: dict[str, set[str]] = {}
        split = {row["doc_id"]: row["split"] for row in after.data("documents").table().to_pylist()}
        for row in after.data("clusters").table().to_pylist():
            if row["doc_id"] in split:
                by_group.setdefault(row["split_group"], set()).add(split[row["doc_id"]])
        assert by_group
        assert all(len(each) == 1 for each in by_group.values())
