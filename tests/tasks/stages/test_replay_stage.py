"""replay through the engine: what is new stays whole, what was seen is drawn from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tasks.engine.errors import ExternalInputError
from tasks.engine.run.execute import BuildResult
from tasks.stages import pack, replay, tokenizer
from tasks.stages.pack import PackConfig
from tasks.stages.replay import ReplayConfig
from tasks.stages.tokenizer import TokenizerConfig
from tests.llm.tokens.small_tokenizer import library_texts, small_folder
from tests.tasks.documents_stage import DEDUP, built_on, rows, write_parts
from tests.tasks.split_documents import document

STAGES = (DEDUP, tokenizer.STAGE, pack.STAGE, replay.STAGE)
LENGTH = 64
TEXTS = sorted({part for part in library_texts()[0].split("\n\n") if len(part) > 120})
OLD = [document(text, "old", "train" if n % 9 else "validation") for n, text in enumerate(TEXTS)]
LATER = sorted({part for part in library_texts()[3].split("\n\n") if len(part) > 120})[:12]
NEW = [document(text, "new", "train" if n % 9 else "validation") for n, text in enumerate(LATER)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("replay")


def built(folder: Path, parts: list[list[dict[str, Any]]], **more: Any) -> dict[str, BuildResult]:
    configs = {
        "tokenizer": TokenizerConfig(from_folder=str(small_folder(folder / "tokenizer"))),
        "pack": PackConfig(sequence_length=LENGTH, workers=1, by_source=True),
        **more,
    }
    documents = write_parts(folder / "documents", parts)
    return built_on(folder / "home", STAGES, documents, configs)


@pytest.fixture(scope="module")
def learned(folder: Path) -> str:
    """The name of the corpus before it grew."""
    done = built(folder, [OLD])
    return f"pack@{done['pack'].artifact.manifest.build_id}"


def test_new_rows_stay_and_seen_ones_are_drawn(folder: Path, learned: str) -> None:
    config = ReplayConfig(seen=learned, share=0.5, tokens=0, seed=0)
    done = built(folder, [OLD, NEW], replay=config)
    packed, kept = rows(done, "pack", "sequences"), rows(done, "replay", "sequences")
    new_ids = {each["doc_id"] for each in NEW}
    by_id = {row["sequence_id"]: row for row in packed}
    assert all(by_id[row["sequence_id"]] == row for row in kept)  # as they were, source and all
    held = [row for row in packed if row["split"] == "validation"]
    assert [row for row in kept if row["split"] == "validation"] == held
    fresh = [row for row in packed if row["split"] == "train" and new_ids & set(row["doc_ids"])]
    train = [row for row in kept if row["split"] == "train"]
    assert [row for row in train if new_ids & set(row["doc_ids"])] == fresh
    assert len(train) == 2 * len(fresh) > 0
    facts = done["replay"].artifact.facts
    tokens = sum(
        length
        for row in fresh
        for doc_id, length in zip(row["doc_ids"], row["doc_lengths"], strict=True)
        if doc_id in new_ids
    )
    assert facts == {
        "new_tokens": tokens,
        "new_rows": len(fresh),
        "replayed_rows": len(fresh),
        "tokens": len(train) * LENGTH,
    }
    totals = done["replay"].artifact.manifest.totals
    assert totals.rows_in == len(packed) == totals.kept + totals.removed["not_replayed"]
    [table] = replay.panels(done["replay"].artifact)
    assert "rows with new documents" in str(table)


def test_a_longer_run_repeats_more(folder: Path, learned: str) -> None:
    config = ReplayConfig(seen=learned, share=0.5, tokens=10**9, seed=0)
    done = built(folder, [OLD, NEW], replay=config)
    assert rows(done, "replay", "sequences") == rows(done, "pack", "sequences")


def test_a_corpus_that_has_not_grown_has_nothing_new(folder: Path, learned: str) -> None:
    done = built(folder, [OLD], replay=ReplayConfig(seen=learned, share=0.5, tokens=0, seed=0))
    assert done["replay"].artifact.facts["new_tokens"] == 0
    assert {row["split"] for row in rows(done, "replay", "sequences")} == {"validation"}


@pytest.mark.parametrize(
    ("seen", "says"),
    [
        ("", "replay.seen: '' names no corpus; write pack@"),
        ("pack@0123", "has no finished artifact pack@0123"),
    ],
)
def test_a_corpus_that_is_not_there(folder: Path, learned: str, seen: str, says: str) -> None:
    config = ReplayConfig(seen=seen, share=0.5, tokens=0, seed=0)
    with pytest.raises(ExternalInputError, match=says):
        built(folder, [OLD, NEW], replay=config)
