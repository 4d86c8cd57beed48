"""The data card of a run: figures counted by hand, and runs that end early."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tasks.engine.run.build import build
from tasks.engine.run.chain import chain
from tasks.engine.run.execute import BuildResult
from tasks.engine.run.plan import Planner, Selection
from tasks.engine.stage.stage import registry
from tasks.engine.store.artifact import Artifact
from tasks.engine.store.store import Store
from tasks.panels.panels import Histogram, Panel, Table
from tasks.report.data_card import data_card, panels
from tasks.report.samples import SampleLimits
from tasks.stages import (
    annotate,
    clean,
    decontaminate,
    dedup,
    pack,
    report,
    sites,
    source,
    tokenizer,
)
from tests.tasks.report_chain import HOSTILE, STAGES, Page, configs, page_of, write_pages

MODULES = (source, clean, sites, annotate, dedup, decontaminate, tokenizer, pack, report)
LIMITS = SampleLimits(2, 200)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, BuildResult]:
    folder = tmp_path_factory.mktemp("card")
    pages = write_pages(folder / "pages")
    stages = registry(module.STAGE for module in MODULES)
    asked = {
        **configs(pages, *STAGES),
        "sites": sites.SitesConfig(workers=1),
        "annotate": annotate.AnnotateConfig(workers=1),
    }
    planner = Planner(chain(stages, asked), asked, "test", Store(str(folder / "home")), Selection())
    return build(planner)


@pytest.fixture(scope="module")
def artifacts(built: Mapping[str, BuildResult]) -> dict[str, Artifact]:
    return {name: one.artifact for name, one in built.items() if name != "report"}


def titled(shown: list[Panel], title: str) -> Panel:
    (found,) = (panel for panel in shown if panel.title == title)
    return found


def table(shown: list[Panel], title: str) -> Table:
    found = titled(shown, title)
    assert isinstance(found, Table)
    return found


def test_figures_of_the_documents(artifacts: dict[str, Artifact]) -> None:
    shown = panels(artifacts)
    documents = artifacts["decontaminate"].data("documents").table(["split", "text"]).to_pylist()
    size = sum(len(row["text"].encode()) for row in documents)
    held = sum(row["split"] == "validation" for row in documents)
    tokens = sum(row["tokens_used"] for row in artifacts["pack"].facts["sources"])
    assert table(shown, "Sources").rows == [["shop", 64, 60, size, held, tokens]]
    lengths = titled(shown, "Length of documents")
    assert isinstance(lengths, Histogram)
    assert sum(map(sum, lengths.counts.values())) == 60
    for split, counts in lengths.counts.items():
        for low, high, count in zip(lengths.edges, lengths.edges[1:], counts, strict=False):
            own = [len(row["text"].encode()) for row in documents if row["split"] == split]
            assert count == sum(low <= one < high for one in own), (split, low)
    assert table(shown, "Pages by licence").rows == [["shop", "", "CC0-1.0", 64]]


def test_languages_and_personal_data_before_and_after(artifacts: dict[str, Artifact]) -> None:
    shown = panels(artifacts)
    languages = table(shown, "Languages").rows
    assert languages[0][0] == "en"
    assert [sum(row[place] for row in languages) for place in (1, 3)] == [63, 60]  # type: ignore[misc]
    assert sum(row[2] for row in languages) == pytest.approx(1)  # type: ignore[misc]
    kinds = {row[0]: row[1:] for row in table(shown, "Personal data").rows}
    attributes = artifacts["annotate"].data("attributes").table().to_pylist()
    ids = set(artifacts["decontaminate"].data("documents").table(["doc_id"])["doc_id"].to_pylist())
    for kind in ("email", "ipv4"):
        every = [row[f"{kind}_count"] for row in attributes]
        stayed = [row[f"{kind}_count"] for row in attributes if row["doc_id"] in ids]
        wanted = [sum(map(bool, every)), sum(every), sum(map(bool, stayed)), sum(stayed)]
        assert kinds[kind] == wanted


def test_what_of_the_pages_is_no_text(artifacts: dict[str, Artifact]) -> None:
    (row,) = table(panels(artifacts), "Markup and site chrome removed").rows
    cleaned = artifacts["clean"].data("documents").table(["html_bytes", "text"]).to_pylist()
    text = sum(len(one["text"].encode()) for one in cleaned)
    markup = sum(one["html_bytes"] for one in cleaned)
    assert row == ["shop", 63, markup, text, 1 - text / markup]


def test_the_markdown_holds_every_part(artifacts: dict[str, Artifact]) -> None:
    text = data_card("Data of <mine>", artifacts, LIMITS)
    assert text.startswith("# Data of &lt;mine&gt;\n\n## From pages to training data\n")
    headings = [line for line in text.split("\n") if line.startswith("## ")]
    assert headings == [
        "## From pages to training data",
        "## What the documents are",
        "## What sites repeat",
        "## Near-duplicates",
        "## Contamination",
        "## Removed, to read",
    ]
    assert "| dedup | 63 | 60 | 3 | 0 |" in text
    assert "### Probability that a pair is compared" in text
    assert "| shop |  | CC0-1.0 | 64 |" in text
    assert "removal: 16 bands of 8" in text
    assert "### dedup: removed" in text
    assert "### Lines that went" in text


def test_the_page_has_it_too(built: Mapping[str, BuildResult]) -> None:
    page = Page(page_of(built))
    assert "data-card" in page.anchors
    assert page.row("shop", "64", "60")
    assert page.row("en")
    assert HOSTILE in page.text


def test_a_run_that_ended_early(artifacts: dict[str, Artifact]) -> None:
    only = {"source": artifacts["source"]}
    assert [panel.title for panel in panels(only)] == ["Pages by licence"]
    assert "## Near-duplicates" not in data_card("t", only, LIMITS)
    cleaned = {name: artifacts[name] for name in ("source", "clean")}
    (row,) = table(panels(cleaned), "Sources").rows
    assert row[:3] == ["shop", 64, 63]
    assert row[-1] is None  # nothing is packed
    assert panels({}) == []
    assert data_card("t", {}, SampleLimits(0, 1)) == "# t\n"
