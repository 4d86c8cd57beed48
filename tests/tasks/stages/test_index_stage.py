"""index through the engine: what is trained on and what was left out, by part, exact."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llm.alignment.examples.tables import INSTRUCTIONS, PREFERENCES, THUMBS
from llm.corpus.attribution.spans import Index, spans_shared
from tasks.engine.declare import Output
from tasks.engine.run.execute import BuildResult
from tasks.engine.store.manifest import ROWS_PER_PART
from tasks.stages import dedup, index, pack, tokenizer
from tasks.stages.dedup import DedupConfig
from tasks.stages.index import IndexConfig
from tasks.stages.pack import PackConfig, Weight
from tasks.stages.tokenizer import TokenizerConfig
from tests.llm.tokens.small_tokenizer import library_texts
from tests.tasks import stand_in_examples
from tests.tasks.documents_stage import CLEAN, built_on, rows, write_parts
from tests.tasks.split_documents import document

STAGES = (CLEAN, dedup.STAGE, tokenizer.STAGE, pack.STAGE, index.STAGE)


def paragraphs(source: int) -> list[str]:
    return sorted({part for part in library_texts()[source].split("\n\n") if len(part) > 80})[:40]


def cleaned(text: str, source: str) -> dict[str, Any]:
    row = document(text, source)
    del row["split"]
    return row | {"url": f"https://example.org/{row['doc_id'][:6]}", "title": text[:9]}


UNUSED = [cleaned(text, "unused") for text in paragraphs(1)[:5]]
ONE = [cleaned(text, "one") for text in paragraphs(0)]
TWO = [cleaned(text, "two") for text in paragraphs(3)]
TWIN = cleaned(ONE[0]["text"] + " ", "twin")


def indexed(folder: Path, parts: list, **config: Any) -> dict[str, BuildResult]:
    configs = {
        "dedup": DedupConfig(validation_fraction=0.1, workers=1),
        "tokenizer": TokenizerConfig(vocabulary_size=640, sample_bytes=60_000),
        "pack": PackConfig(
            sequence_length=64, workers=1, weights=[Weight(source="unused", epochs=0.0)]
        ),
        "index": IndexConfig(workers=1),
        **config,
    }
    return built_on(folder / "home", STAGES, write_parts(folder / "documents", parts), configs)


def folder_of(done: dict[str, BuildResult]) -> Path:
    return done["index"].artifact.data("index").folder()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("index")


@pytest.fixture(scope="module")
def done(home: Path) -> dict[str, BuildResult]:
    return indexed(home, [ONE, [*TWO, TWIN, *UNUSED]])


def test_what_is_trained_on_is_found_and_nothing_else(done: dict[str, BuildResult]) -> None:
    training = Index(folder_of(done) / "trained")
    kept = {row["doc_id"]: row for row in rows(done, "dedup", "documents")}
    held = [row for row in kept.values() if row["split"] == "validation"]
    trained = [
        row for row in kept.values() if row["split"] == "train" and row["source"] != "unused"
    ]
    assert held
    for row in trained:
        [span] = spans_shared(row["text"], training, 1)
        assert (span.start, span.end) == (0, len(row["text"].encode()))
    assert training.size == sum(len(row["text"].encode()) for row in trained)
    assert {row["doc_id"] for row in rows(done, "index", "trained")} == {
        row["doc_id"] for row in trained
    }
    for row in held:
        longest = max(
            (span.end - span.start for span in spans_shared(row["text"], training, 1)), default=0
        )
        assert longest < len(row["text"].encode())


def test_a_place_leads_to_its_document(done: dict[str, BuildResult]) -> None:
    data = done["index"].artifact.data("trained")
    listed = {part.path: data.part_table(part).to_pylist() for part in data.parts}
    texts = {row["doc_id"]: row for row in (*ONE, *TWO)}
    training = Index(folder_of(done) / "trained")
    for rows_of_part in listed.values():
        for row in rows_of_part[:10]:
            text = texts[row["doc_id"]]["text"].encode()
            found = [
                listed[f"{place.part}.parquet"][place.passage.document]
                for place in training.places(text, 9, 0)
            ]
            assert row in found
            assert row["url"] == texts[row["doc_id"]]["url"]


def test_what_was_left_out_is_found_with_the_reason(done: dict[str, BuildResult]) -> None:
    left = rows(done, "index", "left_out")
    kept = rows(done, "dedup", "documents")
    removed = {row["doc_id"]: row for row in rows(done, "dedup", "removed")}
    held = {row["doc_id"] for row in kept if row["split"] == "validation"}
    unused = {row["doc_id"] for row in kept if row["source"] == "unused"} - held
    assert {row["doc_id"] for row in left} == {*removed, *held, *unused}
    for row in left:
        if row["doc_id"] in unused:
            continue
        expected = removed.get(row["doc_id"], {"reason": "held_out", "detail": None})
        assert (row["stage"], row["reason"]) == ("dedup", expected["reason"])
        assert row["detail"] == expected["detail"]
    outside = Index(folder_of(done) / "left_out")
    texts = {row["doc_id"]: row["text"] for row in (*ONE, *TWO, TWIN, *UNUSED)}
    assert outside.size == sum(len(texts[row["doc_id"]].encode()) for row in left)
    assert all(outside.count(texts[row["doc_id"]].encode()) for row in left)


def test_documents_the_mixture_does_not_use_are_left_out(done: dict[str, BuildResult]) -> None:
    assert "unused" not in {row["source"] for row in rows(done, "index", "trained")}
    unused = [row for row in rows(done, "index", "left_out") if row["stage"] == "pack"]
    assert {(row["source"], row["reason"]) for row in unused} == {("unused", "mixture")}
    totals = done["index"].artifact.manifest.totals
    assert totals.removed["mixture"] == len(unused)


def test_only_touched_parts_are_built_again(home: Path, done: dict[str, BuildResult]) -> None:
    fewer = indexed(home, [ONE, [*TWO[:-1], TWIN, *UNUSED]])
    names = {part.path: part.sha256 for part in done["index"].artifact.data("index").parts}
    after = {part.path: part.sha256 for part in fewer["index"].artifact.data("index").parts}
    first = [name for name in names if name.startswith("trained/part0")]
    assert first
    # The vocabulary is another, and stands for the same texts.
    assert [after[name] for name in first] == [names[name] for name in first]
    assert any(after.get(name) != digest for name, digest in names.items() if "part1" in name)


def test_examples_that_are_two_answers_each_may_fill_several_parts(tmp_path: Path) -> None:
    def turn(role: str, content: str) -> list[dict[str, str]]:
        return [{"role": role, "content": content}]

    pairs = [
        {
            "doc_id": f"{number:032x}",
            "source": "pairs",
            "split": "train",
            "parent_doc_ids": [],
            "prompt": turn("user", "Which?"),
            "chosen": turn("assistant", f"It is the better of the two, number {number}."),
            "rejected": turn("assistant", f"It is the worse of the two, number {number}."),
        }
        for number in range(ROWS_PER_PART + 10)
    ]
    (tmp_path / "examples").mkdir()
    for name, rows_of, schema in (
        ("preferences", pairs, PREFERENCES),
        ("instructions", [], INSTRUCTIONS),
        ("thumbs", [], THUMBS),
    ):
        table = pa.Table.from_pylist(rows_of, schema)
        pq.write_table(table, tmp_path / "examples" / f"{name}.parquet")
    configs = {
        "dedup": DedupConfig(validation_fraction=0.1, workers=1),
        "tokenizer": TokenizerConfig(vocabulary_size=640, sample_bytes=60_000),
        "pack": PackConfig(sequence_length=64, workers=1),
        "examples": stand_in_examples.StandInConfig(folder=str(tmp_path / "examples")),
        "index": IndexConfig(workers=1),
    }
    given = stand_in_examples.EXAMPLES
    schemas = {"instructions": INSTRUCTIONS, "preferences": PREFERENCES, "thumbs": THUMBS}
    outputs = {name: Output(f"{name}.", schema, True) for name, schema in schemas.items()}
    stages = (*STAGES[:-1], replace(given, outputs=outputs), index.STAGE)
    documents = write_parts(tmp_path / "documents", [ONE])
    done = built_on(tmp_path / "home", stages, documents, configs)
    assert len(done["examples"].artifact.data("preferences").parts) == 2
    listed = rows(done, "index", "preferences")
    assert len(listed) == 2 * len(pairs)
    assert {row["role"] for row in listed} == {"chosen", "rejected"}
