"""report through the engine: the counts, the lineage, hostile text, and recipes cut short."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tasks.engine.errors import DamagedArtifactError
from tasks.engine.progress import NullListener
from tasks.engine.run.execute import BuildRequest, BuildResult, execute
from tasks.engine.store.artifact import Artifact
from tasks.engine.store.store import Store
from tasks.engine.store.views import kept_view
from tasks.panels.html import html
from tasks.panels.panels import Samples, Table
from tasks.report.evidence import foreign_inputs
from tasks.report.funnel import Step, funnel
from tasks.report.guide import Recorded, guide
from tasks.report.page import page as page_from
from tasks.report.samples import SampleLimits, kept_samples, left_out_samples, readable
from tasks.stages import report
from tests.tasks.report_chain import HOSTILE, STAGES, Page, built, configs, page_of, write_pages

Done = dict[str, BuildResult]
NO_SAMPLES = SampleLimits(0, 100)


class Logged(NullListener):
    """Hears what is said to the user."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def log(self, stage: str, message: str) -> None:
        self.lines.append(message)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("report")
    return built(folder / "home", configs(write_pages(folder / "pages"), *STAGES))


@pytest.fixture(scope="module")
def page(done: Done) -> Page:
    return Page(page_of(done))


def test_the_funnel_adds_up_from_records_to_packed_documents(page: Page) -> None:
    #                      handed on, in, kept, removed, rejected
    assert page.row("source", "–") == ["source", "–", "65", "64", "0", "1", "✓"]
    assert page.row("clean", "64") == ["clean", "64", "64", "63", "1", "0", "✓"]
    assert page.row("dedup", "63") == ["dedup", "63", "63", "60", "3", "0", "✓"]
    assert page.row("decontaminate", "60") == ["decontaminate", "60", "60", "60", "0", "0", "✓"]
    assert page.row("pack", "60") == ["pack", "60", "60", "60", "0", "0", "✓"]
    assert "Every stage adds up" in page.text
    assert page.row("dedup", "removed", "exact")[3] == "3"
    assert page.row("source", "rejected", "missing_field")[3] == "1"


def test_a_funnel_that_does_not_add_up_is_told(done: Done) -> None:
    artifacts = {name: built.artifact for name, built in done.items()}
    assert all(step.adds_up for step in funnel(artifacts))
    lost = Step("clean", 64, 64, 60, {"empty": 1}, {})
    between = Step("dedup", 63, 64, 60, {"exact": 3}, {})
    assert not lost.adds_up
    assert not between.adds_up, "the stage before handed on one more than came in"
    assert replace(between, handed_on=63).adds_up


def test_one_file_that_loads_nothing(page: Page, done: Done) -> None:
    assert page.tags.isdisjoint({"script", "link", "img", "iframe", "object", "base"})
    assert page.links
    assert {link.removeprefix("#") for link in page.links} <= set(page.anchors)
    assert all(link.startswith("#") for link in page.links)
    assert page_of(done).count("<svg") >= 4
    assert "url(" not in page_of(done)
    folder = done["report"].artifact.data("report").folder()
    assert [path.name for path in folder.iterdir()] == [report.PAGE]


def test_hostile_text_is_shown_and_harmless(done: Done, page: Page) -> None:
    assert "Small <run>" in page.text
    assert HOSTILE in page.text
    assert "<script" not in page_of(done)


def test_sections_and_what_they_hold(page: Page, done: Done) -> None:
    names = ("source", "clean", "dedup", "decontaminate", "tokenizer", "pack")
    assert {f"stage-{name}" for name in names} <= set(page.anchors)
    assert page.row("shop", "", "CC0-1.0") == ["shop", "", "CC0-1.0", "64"]
    assert "Probability that a pair is compared" in page.text
    assert "removal: 16 bands of 8" in page.text
    assert page.row("validation_fraction")[1:3] == ["0.2", "0.02"]
    assert page.row("dedup", "validation_fraction")[2] == "0.2", "in the chapter on duplicates"
    identity = done["dedup"].artifact.manifest.outputs["documents"].data_id
    assert ["documents", "dedup.documents", identity] in page.cells
    assert page.row("python")[2] == "all"
    assert page.row("pack", "documents")[-1] == "yes"
    assert "vocabulary_size: 512" in page.text


def test_samples_of_every_fate_with_their_text(done: Done) -> None:
    artifacts = {name: built.artifact for name, built in done.items() if name != "report"}
    shown = kept_samples(artifacts, SampleLimits(2, 200))
    assert isinstance(shown, Samples)
    assert [item.heading for item in shown.items] == ["train", "train", "validation", "validation"]
    texts = {
        row["doc_id"]: row["text"]
        for row in artifacts["clean"].data("documents").table(["doc_id", "text"]).to_pylist()
    }
    for item in shown.items:
        assert item.text[:200] == str(texts[str(item.facts["doc_id"])])[:200]
    (copies,) = left_out_samples(artifacts["dedup"], artifacts, SampleLimits(2, 200))
    assert [item.heading for item in copies.items] == ["exact", "exact"]
    removed = sorted(artifacts["dedup"].data("removed").table()["doc_id"].to_pylist())
    assert [item.facts["doc_id"] for item in copies.items] == removed[:2]
    assert all(item.text[:200] == texts[item.facts["doc_id"]][:200] for item in copies.items)
    (broken,) = left_out_samples(artifacts["source"], artifacts, SampleLimits(2, 200))
    assert broken.items[0].text == ""
    assert "line 65" in str(broken.items[0].facts["detail"])
    assert kept_samples(artifacts, SampleLimits(0, 200)) is None


def test_what_is_read_of_a_row() -> None:
    talk = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]
    assert readable({"messages": talk}, 100) == "[user] Why?\n\n[assistant] So."
    assert readable({"prompt": talk[:1], "chosen": talk[1:]}, 9) == "[prompt]  …"
    assert readable({"html": b"\xff" + "ä".encode()}, 100) == "\ufffdä"


def test_a_recipe_that_ends_early(tmp_path: Path) -> None:
    pages = write_pages(tmp_path / "pages")
    shown = Page(page_of(built(tmp_path / "home", configs(pages, "source", "report"))))
    assert shown.row("source", "–") == ["source", "–", "65", "64", "0", "1", "✓"]
    assert "stage-source" in shown.anchors
    assert "stage-clean" not in shown.anchors


def test_a_report_on_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(report.EmptyReportError, match="no other stage"):
        built(tmp_path, {"report": report.ReportConfig()})


def test_equal_rows_by_another_recipe_are_another_report(done: Done) -> None:
    artifact = done["pack"].artifact
    one = BuildRequest(STAGES["report"], report.ReportConfig(), {"pack": (artifact, "sequences")})
    manifest = artifact.manifest.model_copy(update={"build_id": "0" * 64})
    other = type(artifact)(artifact.store, manifest)
    two = replace(one, inputs={"pack": (other, "sequences")})
    assert one.build_id != two.build_id


def test_a_parent_that_was_built_again_is_told(done: Done) -> None:
    artifacts = {name: built.artifact for name, built in done.items() if name != "report"}
    assert foreign_inputs(artifacts) == []
    clean = artifacts["clean"]
    outputs = dict(clean.manifest.outputs)
    outputs["documents"] = outputs["documents"].model_copy(update={"data_id": "f" * 64})
    other = type(clean)(clean.store, clean.manifest.model_copy(update={"outputs": outputs}))
    mixed = {**artifacts, "clean": other}
    assert foreign_inputs(mixed) == ["dedup reads clean.documents"]
    assert next(step.handed_on for step in funnel(mixed) if step.stage == "dedup") is None


def test_a_page_shows_what_was_kept_and_needs_no_stage(done: Done, tmp_path: Path) -> None:
    """A stage that Ingot no longer has is reported on like any other."""
    pack = done["pack"].artifact
    store = Store(str(tmp_path))
    shutil.copytree(pack.store.local_path(pack.folder), store.local_path("artifacts/repack/0/0001"))
    manifest = pack.manifest.model_copy(update={"stage": "repack", "build_id": "0"})
    other = Artifact(store, manifest)
    view = kept_view(other)
    assert view is not None
    text = page_from(guide("t", {"repack": Recorded(other, view)}, [], NO_SAMPLES))
    assert "stage-repack" in Page(text).anchors
    assert Page(text).row("sequence_length", "32")[3], "what the field means"
    for panel in STAGES["pack"].panels(pack):
        assert html(panel) in text


def test_an_artifact_published_without_panels_is_told(done: Done, tmp_path: Path) -> None:
    store = Store(str(tmp_path / "home"))
    shutil.copytree(done["pack"].artifact.store.root, store.root, dirs_exist_ok=True)
    manifest = done["pack"].artifact.manifest
    pack = Artifact(store, manifest.model_copy(update={"panels": None}))
    store.remove(f"{pack.folder}/panels.json")
    logged = Logged()
    order = BuildRequest(STAGES["report"], report.ReportConfig(), {"pack": (pack, "sequences")})
    made = execute(order, store, logged, force=True)
    advice = "`ingot run --force pack --force report` builds it and the report again, with panels."
    assert [line for line in logged.lines if advice in line]
    shown = Page(page_of({"report": made}))
    assert advice in shown.text
    assert shown.row("sequence_length") == ["sequence_length", "32", "", ""]
    store.replace(f"{pack.folder}/panels.json", b'{"version": 99}')
    with pytest.raises(
        DamagedArtifactError, match=r"version 99; this is version 1; .*--force pack"
    ):
        execute(order, store, force=True)


def test_its_own_panel_is_the_funnel(done: Done) -> None:
    (shown,) = report.panels(done["report"].artifact)
    assert isinstance(shown, Table)
    assert list(shown.rows[2]) == ["dedup", 63, 60, 3, 0, "✓"]
