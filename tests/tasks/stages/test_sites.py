"""The stage sites through the real engine: which pages go, which lines, and how that is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from llm.corpus.identity import doc_id as document_id
from tasks.engine.run.execute import BuildResult
from tasks.panels.panels import Table
from tasks.stages import sites
from tests.tasks.documents_stage import CLEAN, built_on, data_id, rows, write_parts

BAR = "Home | Articles | Archive | About us | Sign in or register"
OUTPUTS = ("documents", "removed", "lines", "cut", "duplicates", "sites")


def _page(url: str, text: str, **more: Any) -> dict[str, Any]:
    identity = document_id("test", url, f"{text}{more}".encode())
    known = {"source": "test", "text": text, "text_chars": len(text), **more}
    return {"doc_id": identity, "url": url, **known}


def _corpus() -> list[dict[str, Any]]:
    """Twelve pages of a site with a bar, one of which has nothing else, one there twice; ten of
    another site."""
    own = [
        _page(f"https://a.org/{n}", f"Page {n}\n\n{BAR}\n\nExamples\n\nWhat page {n} says.")
        for n in range(11)
    ]
    empty = _page("https://a.org/gone", BAR)
    printed = _page(
        "https://a.org/print?id=3",
        f"Page 3\n\n{BAR}\n\nExamples\n\nWhat page 3 says.",
        canonical_url="http://www.a.org/3/",
        date="2020-01-01",
    )
    others = [_page(f"https://b.org/{n}", f"{BAR}\n\nOnly once, number {n}.") for n in range(9)]
    return [*own, empty, printed, *others]


def _built(folder: Path, parts: int = 2, workers: int = 1, **fields: Any) -> dict[str, BuildResult]:
    pages = _corpus()
    corpus = write_parts(folder / f"in{parts}", [pages[part::parts] for part in range(parts)])
    config = sites.SitesConfig(workers=workers, **fields)
    return built_on(folder / "home", (CLEAN, sites.STAGE), corpus, {"sites": config})


def test_repeated_pages_and_lines_go(tmp_path: Path) -> None:
    done = _built(tmp_path)
    ids = {row["doc_id"]: row["url"] for row in _corpus()}
    removed = {ids[r["doc_id"]]: (r["reason"], r["detail"]) for r in rows(done, "sites", "removed")}
    # The page printed says a date, the other none.
    (kept,) = [doc_id for doc_id, url in ids.items() if url.startswith("https://a.org/print")]
    assert removed == {
        "https://a.org/3": ("same_address", f"{kept}: a.org/3"),
        "https://a.org/gone": ("empty", "nothing but lines of a.org"),
    }
    totals = done["sites"].artifact.manifest.totals
    assert (totals.rows_in, totals.kept) == (22, 20)
    documents = rows(done, "sites", "documents")
    for row in documents:
        number = row["url"].rpartition("/")[2].removeprefix("print?id=")
        if "a.org" in row["url"]:
            assert row["text"] == f"Page {number}\n\nExamples\n\nWhat page {number} says."
        else:
            assert row["text"] == f"{BAR}\n\nOnly once, number {number}."
        assert row["text_chars"] == len(row["text"])
    (line,) = rows(done, "sites", "lines")
    assert line == {
        "site": "a.org",
        "line": BAR,
        "pages": 12,
        "site_pages": 12,
        "removed": 12,
        "characters": 12 * len(BAR),
    }
    cut = rows(done, "sites", "cut")
    before = {row["doc_id"]: len(row["text"]) for row in _corpus()}
    after = {row["doc_id"]: row["text_chars"] for row in documents}
    assert len(cut) == 12
    for row in cut:
        assert row["characters"] == before[row["doc_id"]] - after.get(row["doc_id"], 0)


def test_lines_are_counted_once_a_page(tmp_path: Path) -> None:
    """Of one page under twelve addresses no line is repeated."""
    text = f"Page\n\n{BAR}\n\nWhat it says."
    pages = [
        _page(f"https://a.org/x?utm_source={n}", text, date=f"2020-01-{n + 1:02}")
        for n in range(12)
    ]
    corpus = write_parts(tmp_path / "in", [pages])
    for keep, stays in (("newest", pages[-1]), ("first", pages[0])):
        config = sites.SitesConfig(workers=1, keep=keep)
        done = built_on(tmp_path / "home", (CLEAN, sites.STAGE), corpus, {"sites": config})
        (row,) = rows(done, "sites", "documents")
        assert (row["doc_id"], row["text"]) == (stays["doc_id"], text)
    config = sites.SitesConfig(workers=1, duplicate_urls=False)
    done = built_on(tmp_path / "home", (CLEAN, sites.STAGE), corpus, {"sites": config})
    assert done["sites"].artifact.manifest.totals.removed == {"empty": 12}


def test_each_half_can_be_left_off(tmp_path: Path) -> None:
    done = _built(tmp_path, repeated_lines=False)
    assert done["sites"].artifact.manifest.totals.removed == {"same_address": 1}
    assert rows(done, "sites", "lines") == []
    done = _built(tmp_path, duplicate_urls=False, min_pages=13)
    assert done["sites"].artifact.manifest.totals.removed == {"empty": 1}
    assert rows(done, "sites", "lines")[0]["pages"] == 13


def test_workers_and_cut_into_parts_do_not_matter(tmp_path: Path) -> None:
    one = _built(tmp_path / "one")
    two = _built(tmp_path / "two", workers=2)
    cut = _built(tmp_path / "three", parts=5)
    for output in OUTPUTS:
        assert data_id(one, "sites", output) == data_id(two, "sites", output)
        key = str if output == "documents" else repr
        assert sorted(map(key, rows(one, "sites", output))) == sorted(
            map(key, rows(cut, "sites", output))
        )


def test_panels_name_the_line(tmp_path: Path) -> None:
    shown = {panel.title: panel for panel in sites.STAGE.panels(_built(tmp_path)["sites"].artifact)}
    lines = shown["Lines that went"]
    assert isinstance(lines, Table)
    assert list(lines.rows[0]) == ["a.org", BAR, 12, 12, 12, 12 * len(BAR)]
    pages = shown["Pages with the address of another"]
    assert isinstance(pages, Table)
    assert [row[2:] for row in pages.rows] == [["a.org/3", False]]


def test_a_corpus_of_nothing(tmp_path: Path) -> None:
    corpus = write_parts(tmp_path / "in", [[]])
    config = sites.SitesConfig(workers=1)
    done = built_on(tmp_path / "home", (CLEAN, sites.STAGE), corpus, {"sites": config})
    assert done["sites"].artifact.manifest.totals.rows_in == 0
    assert sites.STAGE.panels(done["sites"].artifact)


def test_a_line_of_one_page_is_not_repeated() -> None:
    with pytest.raises(ValidationError, match="min_pages"):
        sites.SitesConfig(min_pages=1)
