"""Pages that are asked to be left out are removed, and nothing but the files they are in is read
or written again."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from llm.corpus.forget.opt_outs import OptOutFileError
from llm.corpus.identity import doc_id
from llm.corpus.source.open import Origin, read_records
from tasks.engine.errors import ExternalInputError
from tasks.stages import source
from tasks.stages.source_config import SourceConfig
from tasks.stages.source_items import externals
from tests.tasks.stages.test_source import A, B, C, build, build_id, capture, rows


def crawl(tmp_path: Path) -> list[dict[str, Any]]:
    """Three archives; `b` has again what `a` has."""
    data = tmp_path / "data"
    data.mkdir()
    pages = {"a": [("http://x.org/a", A), ("http://y.org/", B)], "b": [("http://x.org/a", A)]}
    pages |= {"c": [("http://blog.x.org/", C), ("http://z.org/", C)]}
    for day, (name, own) in enumerate(pages.items(), 1):
        written = b"".join(capture(url, body, day) for url, body in own)
        (data / f"{name}.warc.gz").write_bytes(written)
    (data / "note.txt").write_text("a note\n")
    return [{"name": "web", "paths": [str(data)]}]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    counted: Counter[str] = Counter()

    def count(path: Path, name: str, origin: Origin, limit: int) -> Any:
        counted[name] += 1
        return read_records(path, name, origin, limit)

    monkeypatch.setattr(source, "read_records", count)
    return counted


def urls(artifact: Any) -> set[str]:
    return {row["url"] for row in rows(artifact, "pages")}


def parts(artifact: Any) -> dict[str, str]:
    return {part.path: part.sha256 for part in artifact.data("pages").parts}


def test_what_is_listed_is_removed_and_only_its_files_are_built_again(
    tmp_path: Path, reads: Counter[str]
) -> None:
    specs, home = crawl(tmp_path), tmp_path / "home"
    before = build(home, specs)
    assert len(urls(before)) == 5
    listed = tmp_path / "leave_out.txt"
    listed.write_text("# nobody yet\n")
    empty = build(home, specs, opt_outs=[str(listed)])
    assert parts(empty) == parts(before)
    assert empty.manifest.timings.shards_adopted >= 4, "their pages are what they were"
    reads.clear()
    listed.write_text("blog.x.org\n")
    after = build(home, specs, opt_outs=[str(listed)])
    assert reads == {"c.warc.gz": 1}
    assert urls(after) == urls(before) - {"http://blog.x.org/"}
    assert after.manifest.totals.removed == {"opted_out": 1, "repeated_capture": 1}
    [row] = [row for row in rows(after, "removed") if row["reason"] == "opted_out"]
    assert row["doc_id"] == doc_id("web", "http://blog.x.org/", C)
    asked_by = "http://blog.x.org/ (c.warc.gz: asked for by domain blog.x.org)"
    assert row["detail"] == asked_by
    changed = [name for name, digest in parts(after).items() if parts(before).get(name) != digest]
    assert len(changed) == 1
    listed.write_text("")
    assert urls(build(home, specs, opt_outs=[str(listed)])) == urls(before)


def test_a_page_in_two_files_is_left_out_of_both(tmp_path: Path) -> None:
    specs = crawl(tmp_path)
    listed = tmp_path / "leave_out.csv"
    listed.write_text("url,asked\nhttps://www.x.org/a,2026-01-02\n")
    made = build(tmp_path / "home", specs, opt_outs=[str(listed)])
    assert "http://x.org/a" not in urls(made)
    totals = made.manifest.totals
    assert totals.removed == {"opted_out": 1, "repeated_capture": 1}
    assert totals.rows_in == totals.kept + 2 == 6


def test_a_single_file_and_documentation_can_be_left_out_of(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "one", "id": "1"}\n{"text": "two", "id": "2"}\n')
    listed = tmp_path / "leave_out.txt"
    listed.write_text("id:1\npydocs://xxhash/README\n")
    specs = [
        {"name": "rows", "paths": [str(tmp_path / "a.jsonl")]},
        {"name": "docs", "kind": "pydocs", "distributions": ["xxhash"]},
    ]
    left = urls(build(tmp_path / "home", specs, opt_outs=[str(listed)]))
    assert "id:2" in left
    assert not {"id:1", "pydocs://xxhash/README"} & left


def test_what_is_listed_is_part_of_the_identity_and_where_it_lies_is_not(tmp_path: Path) -> None:
    specs = crawl(tmp_path)

    def identity(*files: Path) -> str:
        config = {"sources": specs, "opt_outs": [str(file) for file in files]}
        return source_identity(SourceConfig.model_validate(config))

    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        folder.mkdir()
        (folder / "l.txt").write_text("x.org\n")
    first = identity(one / "l.txt")
    assert first == identity(other / "l.txt")
    assert identity() == build_id(specs) != first
    (one / "l.txt").write_text("y.org\n")
    assert identity(one / "l.txt") != first


def source_identity(config: SourceConfig) -> str:
    from tasks.engine.run.execute import BuildRequest

    return BuildRequest(source.STAGE, config, {}, externals(config)).build_id


def test_a_list_that_is_wrong_is_told_when_the_run_is_planned(tmp_path: Path) -> None:
    specs = crawl(tmp_path)
    listed = tmp_path / "l.txt"
    listed.write_text("x.org\nnot an entry\n")
    config = SourceConfig.model_validate({"sources": specs, "opt_outs": [str(listed)]})
    with pytest.raises(OptOutFileError, match=r"l\.txt, line 2"):
        externals(config)
    gone = SourceConfig.model_validate({"sources": specs, "opt_outs": [str(tmp_path / "no.csv")]})
    with pytest.raises(ExternalInputError, match=r"source\.opt_outs: .*no\.csv"):
        externals(gone)
