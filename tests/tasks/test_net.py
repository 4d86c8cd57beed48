"""A document that never ends or kills its process costs that document, in every stage that works
on texts; all others are what they are without it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from llm.process import guarded, sandbox
from tasks.engine.config import StageConfig
from tasks.engine.run.execute import BuildResult
from tasks.engine.stage.stage import Stage
from tasks.stages import decontaminate, dedup, examples, pack, tokenizer
from tasks.stages.annotate import AnnotateConfig
from tasks.stages.decontaminate import DecontaminateConfig, EvaluationSet
from tasks.stages.dedup import DedupConfig
from tasks.stages.examples import ExamplesConfig
from tasks.stages.pack import PackConfig
from tasks.stages.quality_config import QualityConfig
from tasks.stages.quality_labels import LabelSource
from tasks.stages.tokenizer import TokenizerConfig
from tests import hostile_texts
from tests.hostile_texts import CRASHES, HANGS
from tests.language_model import language_model
from tests.llm.pydocs.documentation import pages
from tests.llm.tokens.small_tokenizer import library_texts
from tests.tasks import split_documents
from tests.tasks import stand_in_documents as stand_in
from tests.tasks.documents_stage import CLEAN, DEDUP, built_on, data_id, rows, write_parts
from tests.tasks.stages.test_quality_stage import BAD, GOOD, SMALL, text

PROSE = (
    "The river runs past the old town, and the people of the valley have lived with it for as "
    "long as anyone can remember. In the spring the water rises to the doors of mill number"
)


@pytest.fixture(autouse=True)
def _hostile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "_ENTRY", hostile_texts.ENTRY)
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))


def _totals(done: Mapping[str, BuildResult], stage: str) -> tuple[int, int, dict[str, int]]:
    totals = done[stage].artifact.manifest.totals
    return totals.rows_in, totals.kept, totals.rejected


def _rejected(done: Mapping[str, BuildResult], stage: str) -> dict[str, str]:
    return {row["doc_id"]: row["reason"] for row in rows(done, stage, "rejected")}


def _chained(
    home: Path, stages: Sequence[Stage], documents: Sequence[Any], **configs: StageConfig
) -> dict[str, BuildResult]:
    return built_on(home / "home", stages, write_parts(home / "documents", [documents]), configs)


def test_a_text_that_never_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guarded, "DEADLINE_SECONDS", 4.0)
    sound = [stand_in.document(f"https://a.example/{n}", f"{PROSE} {n}.") for n in range(6)]
    bad = stand_in.document("https://a.example/bad", f"{PROSE} {HANGS}")
    settings = AnnotateConfig(workers=1, language_model=str(language_model()))
    parts = write_parts(tmp_path / "with", [[*sound[:3], bad, *sound[3:]]])
    done = stand_in.built(tmp_path / "one", parts, annotate=settings)
    assert _totals(done, "annotate") == (7, 6, {"timeout": 1})
    assert _rejected(done, "annotate") == {bad["doc_id"]: "timeout"}
    assert done["annotate"].artifact.facts["timing_dependent"] == [bad["doc_id"]]
    parts = write_parts(tmp_path / "without", [sound])
    without = stand_in.built(tmp_path / "two", parts, annotate=settings)
    assert data_id(done, "annotate", "attributes") == data_id(without, "annotate", "attributes")
    assert "timing_dependent" not in without["annotate"].artifact.facts


def test_dedup(tmp_path: Path) -> None:
    sound = [stand_in.document(f"https://a.example/{n}", f"{PROSE} {n}.") for n in range(6)]
    bad = stand_in.document("https://a.example/bad", f"{PROSE} {CRASHES}")

    def run(name: str, documents: list[dict[str, Any]]) -> dict[str, BuildResult]:
        config = DedupConfig(workers=1, keep=["doc_id"])
        return _chained(tmp_path / name, (CLEAN, dedup.STAGE), documents, dedup=config)

    done, without = run("with", [bad, *sound]), run("without", sound)
    assert _rejected(done, "dedup") == {bad["doc_id"]: "crashed"}
    rows_in, kept, _ = _totals(done, "dedup")
    assert (rows_in, kept) == (7, _totals(without, "dedup")[1])
    for output in ("documents", "clusters", "pairs", "removed", "signatures"):
        assert data_id(done, "dedup", output) == data_id(without, "dedup", output)


def test_decontaminate_tokenizer_and_pack(tmp_path: Path) -> None:
    stages = (DEDUP, decontaminate.STAGE, tokenizer.STAGE, pack.STAGE)
    (tmp_path / "questions.txt").write_text(f"{PROSE} seven hundred and one.\n")
    asked = EvaluationSet(name="asked", paths=[str(tmp_path / "questions.txt")])
    library = library_texts()[1]
    cut = range(0, 40_000, 1_000)
    sound = [split_documents.document(library[place : place + 1_000]) for place in cut]
    hit = split_documents.document(f"{PROSE} seven hundred and one.")
    bad = split_documents.document(f"A river. {CRASHES}")
    configs: dict[str, StageConfig] = {
        "tokenizer": TokenizerConfig(vocabulary_size=384, sample_bytes=50_000),
        "pack": PackConfig(workers=1, sequence_length=64),
    }
    searched = DecontaminateConfig(workers=1, evaluation_sets=[asked])
    given = [*sound[:20], bad, hit, *sound[20:]]
    done = _chained(tmp_path / "one", stages, given, decontaminate=searched, **configs)
    assert _totals(done, "decontaminate") == (42, 40, {"crashed": 1})
    assert _rejected(done, "decontaminate") == {bad["doc_id"]: "crashed"}
    removed = rows(done, "decontaminate", "removed")
    assert [row["doc_id"] for row in removed] == [hit["doc_id"]]

    # Without the stage before them that catches it, the later ones do.
    late = _chained(tmp_path / "two", stages, [*sound, bad], **configs)
    assert late["tokenizer"].artifact.facts["not_measured"] == [bad["doc_id"]]
    assert _rejected(late, "pack") == {bad["doc_id"]: "crashed"}
    assert late["pack"].artifact.data("tokens").rows == 40
    assert sum(row["documents"] for row in rows(late, "tokenizer", "fertility")) == len(sound)


def test_examples(tmp_path: Path) -> None:
    stages = (DEDUP, examples.STAGE)
    sound = [
        {**split_documents.document(body, "docs"), "url": url}
        for url, body in sorted(pages().items())[:4]
    ]
    url = "pydocs://python/bad"
    bad = {**split_documents.document(f"bad\n\n{CRASHES}", "docs"), "url": url}
    done = _chained(tmp_path / "one", stages, [bad, *sound], examples=ExamplesConfig())
    without = _chained(tmp_path / "two", stages, sound, examples=ExamplesConfig())
    assert _totals(done, "examples")[2] == {"crashed": 2}  # one of each kind
    for row in rows(done, "examples", "rejected"):
        assert bad["doc_id"] in row["detail"]
    for output in ("instructions", "preferences", "removed"):
        assert data_id(done, "examples", output) == data_id(without, "examples", output)


def test_quality(tmp_path: Path) -> None:
    sound = [stand_in.document(f"https://shop.example/{n}", text(BAD, n)) for n in range(60)]
    sound += [stand_in.document(f"https://wiki.example/{n}", text(GOOD, n)) for n in range(60)]
    bad = stand_in.document("https://wiki.example/bad", f"{PROSE} {CRASHES}")
    config = QualityConfig(
        positives=[LabelSource(name="wiki", url_pattern=r"^https://wiki\.", min_chars=10)],
        negatives=[LabelSource(name="shop", url_pattern=r"^https://shop\.", min_chars=10)],
        **SMALL,  # type: ignore[arg-type]
    )
    parts = write_parts(tmp_path / "with", [[bad, *sound]])
    done = stand_in.built(tmp_path / "one", parts, quality=config)
    parts = write_parts(tmp_path / "without", [sound])
    without = stand_in.built(tmp_path / "two", parts, quality=config)
    assert _totals(done, "quality")[2] == {"crashed": 2}  # once a label source
    assert _rejected(done, "quality") == {bad["doc_id"]: "crashed"}
    assert data_id(done, "quality", "model") == data_id(without, "quality", "model")
