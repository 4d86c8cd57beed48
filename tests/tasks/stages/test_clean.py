"""The stage: every page is in one output, whatever it does, and parts do not depend on batches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

import tasks.stages.clean
from llm.process.child import Child
from llm.process.sandbox import close_warm, warm_sandbox
from llm.tables import REJECTED, REMOVED
from tasks.engine.run.build import build
from tasks.engine.run.chain import chain
from tasks.engine.run.plan import Planner, Selection
from tasks.engine.shards.unit import Fact, Unit
from tasks.engine.store.artifact import Artifact
from tasks.engine.store.store import Store
from tasks.panels.panels import Histogram, Samples, Table
from tasks.stages.clean import DOCUMENTS, STAGE, CleanConfig, clean_part, panels
from tasks.stages.source import STAGE as SOURCE
from tasks.stages.source_config import SourceConfig

PAGES = pa.schema(
    [
        ("doc_id", pa.string()),
        ("url", pa.string()),
        ("content_type", pa.string()),
        ("charset", pa.string()),
        ("robots", pa.string()),
        ("html", pa.binary()),
        ("source", pa.string()),
    ]
)


@pytest.fixture(autouse=True)
def _no_process_of_another_test() -> Iterator[None]:
    close_warm()
    yield
    close_warm()


def _unit(folder: Path, payloads: list[tuple[str | None, bytes]], group: int = 1000) -> Unit:
    rows = [
        {
            "doc_id": f"{index:032x}",
            "url": f"https://example.org/{index}",
            "content_type": kind,
            "charset": None,
            "robots": None,
            "html": payload,
            "source": "test",
        }
        for index, (kind, payload) in enumerate(payloads)
    ]
    path = folder / f"pages-{group}.parquet"
    pq.write_table(pa.Table.from_pylist(rows, PAGES), path, row_group_size=group)
    return Unit("pages", path, len(rows), "0" * 64)


def _clean(unit: Unit, **changes: Any) -> tuple[dict[str, pa.Table], dict[str, Any]]:
    tables: dict[str, list[pa.Table]] = {"documents": [], "removed": [], "rejected": []}
    notes: dict[str, Any] = {}
    for emitted in clean_part(unit, **CleanConfig(**changes).identity()):
        if isinstance(emitted, Fact):
            notes[emitted.name] = emitted.value
        else:
            assert isinstance(emitted, tuple)
            tables[emitted[0]].append(emitted[1])
    return {name: pa.concat_tables(found) for name, found in tables.items()}, notes


def _page(number: int) -> bytes:
    text = f"Page {number} tells of a very long walk through the hills. " * (1 + number % 7)
    return f"<title>Walk {number}</title><body><h1>Walk</h1><p>{text}</p>".encode()


MIXED: list[tuple[str | None, bytes]] = [
    ("text/html", _page(0)),
    ("text/html", b"<p> "),
    ("image/png", b"\x89PNG"),
    ("text/plain", "Grüße".encode("cp1252")),
    ("text/html", b"<p>" + b"x" * 3_000),
    ("text/html", b"<div>" * 300 + b"x"),
    ("application/xhtml+xml", _page(6)),
]


def test_every_page_is_in_one_output_with_its_reason(tmp_path: Path) -> None:
    tables, notes = _clean(_unit(tmp_path, MIXED), max_bytes=2_000)
    documents = tables["documents"].to_pylist()
    assert [int(row["doc_id"], 16) for row in documents] == [0, 3, 6]
    assert [row["extractor"] for row in documents] == ["blocks", "plain", "blocks"]
    assert documents[0]["title"] == "Walk 0"
    assert documents[1]["text"] == "Grüße"
    assert (documents[1]["html_bytes"], documents[1]["text_chars"]) == (5, 5)
    reasons = {
        int(row["doc_id"], 16): row["reason"]
        for name in ("removed", "rejected")
        for row in tables[name].to_pylist()
    }
    assert reasons == {1: "empty", 2: "not_text", 4: "too_large", 5: "too_deep"}
    assert notes == {}
    for name, schema in (("documents", DOCUMENTS), ("removed", REMOVED), ("rejected", REJECTED)):
        assert tables[name].schema.equals(schema)


def test_markdown_is_made_by_one_engine_alone() -> None:
    assert CleanConfig(format="markdown").engine == "auto"
    with pytest.raises(ValidationError, match="format: markdown needs engine: auto; both gives"):
        CleanConfig(format="markdown", engine="both")


def test_what_a_page_says_of_itself_is_in_its_row(tmp_path: Path) -> None:
    page = (
        "<html lang=de><head><title>Weg</title><link rel=canonical href=https://example.org/weg>"
        "<meta name=author content='Ida Moos'><meta name=date content='2021-05-03T08:00'>"
        "<link rel=license href=https://creativecommons.org/licenses/by/4.0/></head><body><main>"
        f"<article class=entry-content><h2>Berg</h2>{'<p>Der Weg war lang und steil.</p>' * 9}"
    )
    unit = _unit(tmp_path, [("text/html", page.encode())])
    tables, _ = _clean(unit, format="markdown", signals=True)
    (row,) = tables["documents"].to_pylist()
    address = "https://creativecommons.org/licenses/by/4.0/"
    assert row["signals"] == [{"kind": "licence", "value": address, "place": "link rel=license"}]
    assert row["licence_id"] == "CC-BY-4.0"
    assert _clean(unit)[0]["documents"].schema == DOCUMENTS, "only where it is asked for"
    assert row["text"].startswith("## Berg\n\nDer Weg")
    said = ("title", "date", "author", "language", "canonical_url", "licence")
    assert [row[name] for name in said] == [
        "Weg", "2021-05-03", "Ida Moos", "de", "https://example.org/weg",
        "https://creativecommons.org/licenses/by/4.0/",
    ]  # fmt: skip
    assert (row["page_type"], row["page_type_sign"]) == ("other", None)
    assert (row["rule"], row["place"], row["kept_share"]) == ("article", "article.entry-content", 1)


def test_batches_and_row_groups_leave_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages: list[tuple[str | None, bytes]] = [("text/html", _page(number)) for number in range(50)]
    whole, _ = _clean(_unit(tmp_path, pages))
    monkeypatch.setattr(tasks.stages.clean, "_BATCH_PAGES", 3)
    assert _clean(_unit(tmp_path, pages, group=7))[0] == whole


def test_files_of_one_page_share_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Child] = []
    start = Child._start

    def counted(self: Child, function: str) -> Any:
        if self.pid is None:
            started.append(self)
        return start(self, function)

    monkeypatch.setattr(Child, "_start", counted)
    pages: list[tuple[str | None, bytes]] = [("text/html", _page(number)) for number in range(6)]
    whole, _ = _clean(_unit(tmp_path, pages))
    found = []
    for number, page in enumerate(pages):
        folder = tmp_path / str(number)
        folder.mkdir()
        found += _clean(_unit(folder, [page]))[0]["documents"].column("text").to_pylist()
    assert found == whole["documents"].column("text").to_pylist()
    assert len(started) == 1
    _clean(_unit(tmp_path, pages), comments=True)  # other arguments, another process
    assert len(started) == 2


def test_the_warm_process_ends_when_it_is_closed() -> None:
    sandbox = warm_sandbox("builtins:list", (), 30, 4 << 30, 1 << 40)
    assert sandbox.run([1, 2]) == [1, 2]
    assert warm_sandbox("builtins:list", (), 30, 4 << 30, 1 << 40) is sandbox
    close_warm()
    assert warm_sandbox("builtins:list", (), 30, 4 << 30, 1 << 40) is not sandbox


def test_markup_that_explodes_when_parsed_costs_itself_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Formatting elements left open are opened again in every paragraph: 40,000 times 200."""
    monkeypatch.setattr(tasks.stages.clean, "_SANDBOX_MEMORY_BYTES", 600 << 20)
    bomb = b"<p>" + b"".join(b"<b id=%d>" % number for number in range(200)) + b"<p>x" * 40_000
    pages: list[tuple[str | None, bytes]] = [
        ("text/html", _page(0)),
        ("text/html", bomb),
        ("text/html", _page(2)),
    ]
    tables, _ = _clean(_unit(tmp_path, pages), engine="resiliparse")
    assert [row["title"] for row in tables["documents"].to_pylist()] == ["Walk 0", "Walk 2"]
    (row,) = tables["rejected"].to_pylist()
    assert row["reason"] in ("crashed", "extractor_error")


@pytest.mark.parametrize("reason", ["timeout", "crashed"])
def test_a_page_that_kills_its_process_costs_itself_alone(
    reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3]))
    monkeypatch.setenv("INGOT_TEST_HANG", "1" if reason == "timeout" else "")
    call = Child.call

    def hostile(self: Child, function: str, *args: Any, **options: Any) -> Any:
        limit, _, *rest = args
        hostile_pages = "tests.tasks.hostile_pages:clean_pages"
        return call(self, function, limit, hostile_pages, *rest, **options)

    monkeypatch.setattr(Child, "call", hostile)
    pages: list[tuple[str | None, bytes]] = [
        ("text/html", _page(0)),
        ("text/html", b"<p>KILL</p>"),
        ("text/html", _page(2)),
    ]
    tables, notes = _clean(_unit(tmp_path, pages), deadline_seconds=2)
    assert [row["title"] for row in tables["documents"].to_pylist()] == ["Walk 0", "Walk 2"]
    (row,) = tables["rejected"].to_pylist()
    assert (int(row["doc_id"], 16), row["reason"]) == (1, reason)
    assert notes == ({"timing_dependent": [f"{1:032x}"]} if reason == "timeout" else {})


def test_panels_count_what_the_tables_hold(tmp_path: Path) -> None:
    tables, _ = _clean(_unit(tmp_path, MIXED), max_bytes=2_000)

    whole = tables["documents"]
    parts = {"a": whole.slice(0, 2), "b": whole.slice(2)}
    read: list[list[str]] = []

    def part_table(part: Any, columns: list[str]) -> pa.Table:
        read.append(columns)
        return parts[part.path].select(columns)

    documents = SimpleNamespace(
        parts=[SimpleNamespace(path=path) for path in parts], part_table=part_table
    )
    artifact: Any = SimpleNamespace(
        data=lambda name: documents,
        facts={"timing_dependent": ["1"]},
        manifest=SimpleNamespace(
            outputs={
                "documents": SimpleNamespace(
                    columns=[f"{field.name}: {field.type}" for field in whole.schema]
                )
            },
            totals=SimpleNamespace(
                rows_in=7,
                removed={"empty": 1, "not_text": 1},
                rejected={"too_deep": 1, "too_large": 1},
            ),
        ),
    )
    by_extractor, by_kind, reasons, lengths, samples = panels(artifact)
    assert isinstance(by_extractor, Table)
    assert [list(row[:3]) for row in by_extractor.rows] == [
        ["test", "blocks", 2],
        ["test", "plain", 1],
    ]
    assert isinstance(by_kind, Table)
    assert [list(row[:3]) for row in by_kind.rows] == [["", "", 1], ["other", "article", 2]]
    assert isinstance(reasons, Table)
    assert sum(int(row[2] or 0) for row in reasons.rows) == 4
    assert isinstance(lengths, Histogram)
    assert sum(map(sum, lengths.counts.values())) == 3
    assert all(len(counts) + 1 == len(lengths.edges) for counts in lengths.counts.values())
    assert isinstance(samples, Samples)
    assert len(samples.items) == 3
    shown = sorted(whole.to_pylist(), key=lambda row: str(row["doc_id"]))
    assert [item.text for item in samples.items] == [row["text"] for row in shown]
    assert ["text" in columns for columns in read] == [False, False, True, True]


def _built(home: Path, pages: Path) -> Artifact:
    stages = {stage.name: stage for stage in (SOURCE, STAGE)}
    configs = {
        "source": SourceConfig(sources=[{"name": "web", "paths": [str(pages)]}], workers=1),
        "clean": CleanConfig(workers=1),
    }
    planner = Planner(chain(stages, configs), configs, "r", Store(str(home)), Selection())
    return build(planner)["clean"].artifact


def test_of_many_small_files_several_are_a_shard(tmp_path: Path) -> None:
    pages = tmp_path / "pages"
    pages.mkdir()
    for number in range(25):
        (pages / f"{number:02}.html").write_text(f"<p>Page number {number} of the shelf.")
    first = _built(tmp_path / "home", pages).manifest
    assert first.timings.shards_built < 10
    (pages / "11-new.html").write_text("<p>A page more.")
    second = _built(tmp_path / "home", pages)
    # Its own group, and what it is split into where its name ends one.
    assert second.manifest.timings.shards_built <= 2
    texts = second.data("documents").table(["url", "text"]).to_pylist()
    assert {row["url"].rpartition("/")[2]: row["text"].strip() for row in texts} == {
        **{f"{n:02}.html": f"Page number {n} of the shelf." for n in range(25)},
        "11-new.html": "A page more.",
    }
